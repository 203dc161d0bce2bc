"""ELECTRA's two networks: a forward by hand, where gradients go, labels, sampling, metrics."""
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import example, pipeline, tokenizer as tokenizers
from data.objectives import replaced_token_detection as examples
from data.text import cache
from model import config as model_config, paths, scoring, transformer
from train import step as steps
from train.objectives import replaced_token_detection
from train.parallel import sharding
from train.prediction import evaluation
from train.settings import schema

TOKENIZER = tokenizers.Bytes()
SPECIAL = TOKENIZER.special
MODEL = model_config.Config(
    architecture='encoder', layers=2, dim=32, embed_dim=16, heads=4, types=2, max_length=32, vocab_size=TOKENIZER.vocab_size,
    norm_position='post', norm_epsilon=1e-12, initializer='bert')
OBJECTIVE = examples.Objective(32, rate=0.3, generator_dim=0.75, short=0.5)


def source(count=60):
    draw = np.random.default_rng(0)
    documents = [draw.integers(3, 259, n) for n in draw.integers(4, 50, count)]
    return cache.Tokens.from_arrays(documents, SPECIAL, [np.arange(0, len(d), 7) for d in documents])


def batch_of(objective=OBJECTIVE, size=8):
    host = pipeline.batches(objective, source(), seed=1, batch_size=size, stop=size, shuffle=False, threads=0)
    return {name: jnp.asarray(value) for name, value in example.given(next(host)).items()}


@pytest.fixture(scope='module')
def built():
    """(module, params far from their start, so that nothing is near zero, a batch)."""
    module = replaced_token_detection.ReplacedTokenDetection(backbone=transformer.Transformer(MODEL), objective=OBJECTIVE)
    batch = batch_of(OBJECTIVE)
    params = jax.jit(module.init)({'params': jax.random.key(0)}, batch)['params']
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return module, structure.unflatten([x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)]), batch


@functools.partial(jax.jit, static_argnames=('module', 'method'))
def run(module, params, batch, rows=None, method=None, seed=0):
    """The module's Loss, summed over the rows, or what one of its methods returns; method: its name."""
    rngs = {'sample': jax.random.key(seed), 'dropout': jax.random.key(9)}
    found = module.apply({'params': params}, batch, *(() if method else (None,)), rows, rngs=rngs, method=method)
    return found if method else steps.summed(found)


@functools.partial(jax.jit, static_argnames='module')
def said(module, params, batch):
    return module.apply({'params': params}, batch, method='say')


def other(module, **fields):
    """The same module with other settings of the objective."""
    return dataclasses.replace(module, objective=dataclasses.replace(module.objective, **fields), parent=None)


# A forward by hand: a post-norm encoder in numpy, float64.

def dense(p, x):
    return x @ p['kernel'] + p['bias']


def norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * p['scale'] + p['bias']


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def encode(shared, own, tokens, batch, heads):
    """Embeddings from `shared`, everything else from `own`: float64[T, D] of one row."""
    encoder, x = shared['encoder'], shared['embed']['embedding'][tokens]
    x = x + encoder['positions']['embedding'][batch['positions']] + encoder['types']['embedding'][batch['types']]
    x = dense(own['project'], norm(encoder['embed_norm'], x))
    real = batch['segments'] > 0
    for layer in range(own['blocks']['mlp']['up']['bias'].shape[0]):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], own['blocks'])
        q, k, v = (np.stack(np.split(dense(block['attention'][name], x), heads, -1)) for name in ('query', 'key', 'value'))
        scores = np.where(real, q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1]), -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.concatenate(list(shares / shares.sum(-1, keepdims=True) @ v), -1)
        x = norm(block['attention_norm'], x + dense(block['attention']['out'], mixed))
        x = norm(block['mlp_norm'], x + dense(block['mlp']['down'], gelu(dense(block['mlp']['up'], x))))
    return x


def test_a_forward_by_hand(built):
    module, params, batch = built
    out = run(module, params, batch)
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    seen, replaced, _, _ = run(module, params, batch, method='replace')
    generator, discriminator, hits, drawn, tokens = 0.0, 0.0, 0, 0, 0
    for b in range(8):
        row = {name: np.asarray(value[b]) for name, value in batch.items()}
        used, real = row['weights'] > 0, row['segments'] > 0
        x = encode(exact['backbone'], exact['generator']['encoder'], row['tokens'], row, heads=1)[row['slots']]
        head = exact['generator']['head']
        logits = norm(head['norm'], gelu(dense(head['transform'], x))) @ exact['backbone']['embed']['embedding'].T + head['bias']
        logits = logits[:, :TOKENIZER.vocab_size]
        nll = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(logits)), row['targets']]
        generator += nll[used].sum()

        original = row['tokens'].copy()
        original[row['slots'][used]] = row['targets'][used]
        read = np.asarray(seen[b])
        assert (read == original)[np.setdiff1d(np.arange(32), row['slots'][used])].all()
        labels = (read != original).astype(float)
        assert (labels == np.asarray(replaced[b])).all()
        x = encode(exact['backbone'], exact['backbone']['encoder'], read, row, heads=4)
        score = dense(exact['head']['labels'], gelu(dense(exact['head']['transform'], x)))[:, 0]
        discriminator += (np.logaddexp(0, score) - labels * score)[real].sum()
        drawn, tokens, hits = drawn + used.sum(), tokens + real.sum(), hits + labels.sum()
    assert float(out.terms['generator'][0]) == pytest.approx(generator, rel=1e-4) and float(out.terms['generator'][1]) == drawn
    assert float(out.terms['discriminator'][0]) == pytest.approx(discriminator, rel=1e-4)
    assert float(out.terms['discriminator'][1]) == tokens
    assert float(out.metrics['replaced'][0]) == hits > 0
    assert module.scales == {'generator': 1.0, 'discriminator': 50.0}


def term_gradients(built, *names):
    """The gradients of several terms, {path of a parameter: array} each."""
    module, params, batch = built
    terms = lambda params: jnp.stack([run(module, params, batch, jnp.arange(8)).terms[name][0] for name in names])
    found = paths.flatten(jax.jit(jax.jacrev(terms))(params))
    return [{path: leaf[i] for path, leaf in found.items()} for i in range(len(names))]


def test_the_discriminators_loss_leaves_the_generator_alone_and_both_reach_the_embeddings(built):
    judge, generator = term_gradients(built, 'discriminator', 'generator')
    shared = [path for path in judge if path.startswith(('backbone/embed/', *(
        f'backbone/encoder/{name}/' for name in ('positions', 'types', 'embed_norm'))))]
    assert len(shared) == 5
    for path in judge:
        zero, not_zero = (judge, generator) if path.startswith('generator/') else (generator, judge)
        assert path in shared or not np.any(zero[path]), path
        assert np.any(not_zero[path]) or path.endswith('key/bias'), path       # softmax ignores a constant of the keys
    assert all(np.any(judge[path]) and np.any(generator[path]) for path in shared)


def test_neither_network_reads_what_was_masked(built):
    """Other originals under the same draws: the generator's samples and the discriminator's logits do not change."""
    module, params, batch = built
    changed = {**batch, 'targets': jnp.where(batch['weights'] > 0, (batch['targets'] + 50) % 200 + 3, batch['targets'])}
    seen, *_ = run(module, params, batch, method='replace')
    again, *_ = run(module, params, changed, method='replace')
    assert (seen == again).all()


def test_labels(built):
    module, params, batch = built
    for disallow in (False, True):
        module = other(module, disallow_correct=disallow)
        seen, replaced, _, metrics = run(module, params, batch, method='replace')
        original, drawn = np.asarray(batch['tokens']).copy(), np.zeros(batch['tokens'].shape, bool)
        for b in range(8):
            slots, targets, used = (np.asarray(batch[name][b]) for name in ('slots', 'targets', 'weights'))
            original[b, slots[used > 0]], drawn[b, slots[used > 0]] = targets[used > 0], True
        assert (np.asarray(replaced) == (drawn & (np.asarray(seen) != original))).all()
        assert (np.asarray(seen) == original)[np.asarray(replaced) == 0].all()
        assert not np.asarray(replaced)[np.isin(original, SPECIAL.reserved)].any()
        out = run(module, params, batch)
        share = float(batch['weights'].sum() / (batch['segments'] > 0).sum())
        accuracy, found = (float(np.divide(*out.metrics[name])) for name in ('sampled_accuracy', 'replaced'))
        assert found == pytest.approx(share * (1 - accuracy), rel=1e-5)
        assert not disallow or accuracy == 0


@pytest.mark.parametrize('kind', ['unigram', 'uniform'])
def test_without_a_generator_the_batch_holds_the_replacements(built, kind):
    module, batch = other(built[0], generator=kind), batch_of(dataclasses.replace(OBJECTIVE, generator=kind))
    params = {name: built[1][name] for name in ('backbone', 'head')}
    shapes = jax.eval_shape(module.init, {'params': jax.random.key(0)}, batch)['params']
    assert shapes.keys() == params.keys() and module.scales == {'discriminator': 50.0}
    out = run(module, params, batch)
    assert set(out.terms) == {'discriminator'} == set(module.weights(batch)) and 'sampled_accuracy' not in out.metrics
    read = jnp.take_along_axis(batch['tokens'], batch['slots'], axis=1)
    assert float(out.metrics['replaced'][0]) == float(((read != batch['targets']) & (batch['weights'] > 0)).sum())
    assert (said(module, params, batch) == read).all()


LOGITS = np.random.default_rng(0).normal(size=7).astype(np.float32) * 1.5


@pytest.mark.parametrize('temperature, not_this', [(1.0, None), (2.0, None), (0.5, None), (1.0, 3)])
def test_samples_follow_the_softmax(temperature, not_this):
    count = 40000
    keys = jax.random.split(jax.random.key(5), 4)
    logits = jnp.broadcast_to(LOGITS, (4, count // 4, 7))
    excluded = None if not_this is None else jnp.full(logits.shape[:2], not_this)
    drawn = scoring.sample(logits, keys, temperature, excluded)
    p = np.exp(LOGITS / temperature)
    if not_this is not None:
        p[not_this] = 0
    expected, found = p / p.sum() * count, np.bincount(np.ravel(drawn), minlength=7)
    assert found[expected == 0].sum() == 0
    free = (expected > 0).sum() - 1
    assert ((found - expected) ** 2 / np.maximum(expected, 1e-9))[expected > 0].sum() < free + 4 * np.sqrt(2 * free)


@pytest.mark.parametrize('temperature', [0.0, 1e-6])
def test_cold_samples_are_the_likeliest(built, temperature):
    module, params, batch = built
    frozen = other(module, temperature=temperature)
    seen, *_ = run(frozen, params, batch, method='replace')
    used = batch['weights'] > 0
    assert (jnp.take_along_axis(seen, batch['slots'], axis=1) == said(module, params, batch))[used].all()
    warm, *_ = run(module, params, batch, method='replace')
    assert (warm != seen).any()


def test_samples_belong_to_the_row_not_to_its_place(built):
    """Half a batch with its rows' numbers draws what the whole batch draws; another key draws something else."""
    module, params, batch = built
    rows = jnp.arange(8)
    whole, *_ = run(module, params, batch, rows, method='replace')
    half, *_ = run(module, params, jax.tree.map(lambda x: x[1::2], batch), rows[1::2], method='replace')
    assert (half == whole[1::2]).all()
    assert (run(module, params, batch, rows, method='replace', seed=1)[0] != whole).any()
    assert (run(module, params, batch, rows, method='replace')[0] == whole).all()


def test_samples_do_not_depend_on_the_mesh(built):
    module, params, batch = built
    replace = jax.jit(lambda params, batch: run(module, params, batch, method='replace')[0])  # once for each mesh
    alone = np.asarray(replace(params, batch))
    mesh = sharding.mesh(schema.Mesh(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        spread = jax.device_put(params, sharding.params(mesh, params))
        parts = jax.tree.map(np.asarray, batch)
        assert (np.asarray(replace(spread, sharding.put(mesh, parts, 8))) == alone).all()


def test_metrics_are_counts(built):
    module, params, batch = built
    out = run(module, params, batch)
    seen, replaced, _, _ = run(module, params, batch, method='replace')
    logits = jax.jit(functools.partial(module.apply, method='detect'))({'params': params}, batch, seen)
    real = np.asarray(batch['segments']) > 0
    guess, label = np.asarray(logits)[real] > 0, np.asarray(replaced)[real] > 0
    found = {name: float(np.divide(*pair)) for name, pair in out.metrics.items() if name != 'auc'}
    assert found['discriminator_accuracy'] == pytest.approx(np.mean(guess == label))
    assert found['discriminator_precision'] == pytest.approx(np.mean(label[guess])) and guess.any()
    assert found['discriminator_recall'] == pytest.approx(np.mean(guess[label])) and label.any()
    assert found['replaced'] == pytest.approx(np.mean(label))
    right = np.asarray(said(module, params, batch) == batch['targets'])[np.asarray(batch['weights']) > 0]
    assert found['generator_accuracy'] == pytest.approx(np.mean(right))
    scores = np.asarray(logits)[real]
    pairs = scores[label][:, None] - scores[~label]
    assert evaluation.area(*map(np.asarray, out.metrics['auc'])) == pytest.approx(np.mean(pairs > 0), abs=0.01)
    assert [float(part.sum()) for part in out.metrics['auc']] == [label.sum(), (~label).sum()]


def test_area_under_the_curve():
    draw = np.random.default_rng(0)
    positives, negatives = draw.integers(0, 5, (2, 6)).astype(float)
    scores = [np.repeat(np.arange(6), counts.astype(int)) for counts in (positives, negatives)]
    pairs = scores[0][:, None] - scores[1]
    assert evaluation.area(positives, negatives) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert evaluation.area(np.array([0.0, 3]), np.array([2.0, 0])) == 1
    assert evaluation.area(np.array([3.0, 0]), np.array([0.0, 2])) == 0
    assert evaluation.area(np.zeros(3), np.ones(3)) == 0
    extreme, = replaced_token_detection.histogram(jnp.array([[-1e9, -32, 0, 31.99, 1e9]]), jnp.array([[1.0, 2, 4, 8, 16]]))
    assert extreme[0] == 3 and extreme[1024] == 4 and extreme[-1] == 24


def test_the_evaluation_adds_the_histograms_of_its_batches(built):
    module, params, _ = built
    text = source()
    mesh = sharding.mesh(schema.Mesh(), jax.devices()[:1])
    found = []
    for size in (8, 16):
        with jax.set_mesh(mesh):
            found.append(evaluation.Evaluator(module, OBJECTIVE, text, mesh, size)({'params': params}))
    first, again = found
    assert set(first) == {f'eval/{name}' for name in (
        'loss generator discriminator generator_accuracy sampled_accuracy discriminator_accuracy discriminator_precision '
        'discriminator_recall replaced auc').split()}
    assert 0 < first['eval/auc'] < 1 and all(isinstance(value, float) for value in first.values())
    assert first['eval/generator'] == pytest.approx(again['eval/generator'], rel=1e-5)
    assert first['eval/loss'] == pytest.approx(first['eval/generator'] + 50 * first['eval/discriminator'], rel=1e-9)


@pytest.mark.parametrize('shape, fields, expected', [
    (dict(dim=256, layers=12, embed_dim=128, heads=4), {}, (64, 12, 1, 256, 128)),                          # small
    (dict(dim=768, layers=12, embed_dim=None), dict(generator_dim=1 / 3), (256, 12, 4, 1024, 768)),         # base
    (dict(dim=1024, layers=24, embed_dim=None), dict(generator_layers=0.5), (256, 12, 4, 1024, 1024)),      # large, half deep
    (dict(dim=256, layers=12, embed_dim=128, heads=4), dict(generator_dim=1.0), (256, 12, 4, 1024, 128))])  # released small
def test_the_generators_shape(shape, fields, expected):
    config = dataclasses.replace(MODEL, **shape)
    found = replaced_token_detection.generator_config(config, examples.Objective(128, **fields))
    assert (found.dim, found.layers, found.heads, found.hidden, found.width) == expected
    assert found.size == found.dim // found.heads and (found.head, found.tied) == ('transform', True)


@pytest.mark.parametrize('positions', ['rotary', 'xl'])
@pytest.mark.parametrize('dim, share', [(32, 0.78), (40, 0.225), (160, 0.8125), (32, 0.01)])  # of 25, 9, 2 x 65, 0.3
def test_a_generator_of_any_share_has_even_widths(positions, dim, share):
    config = dataclasses.replace(MODEL, dim=dim, positions=positions)
    objective = dataclasses.replace(OBJECTIVE, generator_dim=share)
    found = replaced_token_detection.generator_config(config, objective)
    assert found.dim % 2 == found.size % 2 == 0 and abs(found.dim - share * dim) <= 2
    module = replaced_token_detection.ReplacedTokenDetection(backbone=transformer.Transformer(config), objective=objective)
    shapes = jax.eval_shape(module.init, {'params': jax.random.key(0)}, batch_of(OBJECTIVE))['params']
    assert shapes['generator']['head']['transform']['kernel'].shape[0] == found.dim


def test_it_owns_what_the_design_says(built):
    _, params, _ = built
    assert set(params) == {'backbone', 'generator', 'head'} and set(params['generator']) == {'encoder', 'head'}
    assert set(params['generator']['encoder']) == {'project', 'blocks'}
    assert set(params['backbone']) == {'embed', 'encoder'}
    assert set(params['backbone']['encoder']) == {'positions', 'types', 'embed_norm', 'project', 'blocks'}
