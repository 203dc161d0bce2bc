"""Losses that alternate over one backbone: each batch trains as its member alone would, and has no metrics of another member."""
import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rich.console

from data import example, pipeline, tokenizer as tokenizers
from data.objectives import alternation, causal_lm, masked_lm, mixture as mixtures, permuted_lm, replaced_token_detection
from data.rows import drawing
from data.text import cache
from model import config as model_config
from train import loop, objectives, state as states, step as steps
from train.monitoring import display, metrics
from train.prediction import evaluation
from train.settings import parse, schema

BYTES = tokenizers.Bytes()
SIZE, ROWS = 16, 4


def source():
    draw = np.random.default_rng(0)
    documents = [draw.integers(3, 259, n) for n in (90, 130, 70, 200, 150)]
    return cache.Tokens.from_arrays(documents, BYTES.special, sentences=[np.arange(0, len(d), 5) for d in documents],
                                    token_bytes=BYTES.token_bytes, tokenizer=BYTES)


def config(architecture, *members, kind=alternation.Objective, **model):
    found = tuple(mixtures.Member(name, objective, weight) for name, objective, weight in members)
    objective = kind(SIZE, found, ROWS) if kind is alternation.Objective else kind(SIZE, found)
    shape = model_config.Config(architecture=architecture, vocab_size=BYTES.vocab_size, layers=1, dim=16, heads=2, max_length=SIZE, **model)
    return schema.Config(steps=10, batch_size=ROWS, sequence_length=SIZE, objective=objective, model=shape)


DECODER = config('decoder', ('masked', masked_lm.Objective(SIZE, rate=0.3), 1.0), ('text', causal_lm.Objective(SIZE), 3.0), dropout=0.1)
ENCODER = config('encoder', ('pairs', masked_lm.Objective(SIZE, rate=0.3, inputs='next_sentence'), 1.0),
                 ('replaced', replaced_token_detection.Objective(SIZE, rate=0.3), 1.0),
                 ('permuted', permuted_lm.Objective(SIZE, ROWS, memory_length=8), 1.0),
                 positions='xl', types=3, norm_position='post', head='transform')


@functools.cache
def made(settings):
    """(module, {member: its first batch}, params, carry)."""
    module, batches = objectives.build(settings), {}
    host = pipeline.batches(settings.objective, source(), seed=1, batch_size=ROWS, stop=60 * ROWS, shuffle=False, threads=0)
    for batch in host:
        name = settings.objective.names[int(batch['task'][0]) % len(settings.objective.names)]
        batches.setdefault(name, jax.tree.map(jnp.asarray, example.given(batch)))
        if len(batches) == len(settings.objective.names):
            break
    first = next(iter(batches.values()))
    carry = module.initial_carry(ROWS)
    shapes = jax.eval_shape(lambda batch: module.init(jax.random.key(0), batch, carry, None)['params'], first)
    draw = np.random.default_rng(0)           # nothing is compiled for it
    params = jax.tree.map(lambda leaf: np.float32(0.02 * draw.normal(size=leaf.shape)), shapes)
    return module, batches, params, carry


@functools.cache
def graded(module):
    """jit((params, batch, carry) -> (loss, Loss), gradients)."""
    rows, keys = jnp.arange(ROWS, dtype=jnp.int32), {'dropout': jax.random.key(3), 'sample': jax.random.key(4)}

    def loss(params, batch, carry):
        out = steps.summed(module.apply({'params': params}, batch, carry, rows, rngs=keys))
        return steps.total(module, out.terms, module.weights(batch)), out

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def alone(settings, name):
    """(the loss module that the member is by itself, its number)."""
    number = settings.objective.names.index(name)
    return objectives.build(dataclasses.replace(settings, objective=settings.objective.members[number].objective)), number


@pytest.mark.parametrize('settings, name', [
    pytest.param(DECODER, 'masked', id='masked'), pytest.param(DECODER, 'text', id='text'),
    *(pytest.param(ENCODER, name, id=name, marks=pytest.mark.slow) for name in ENCODER.objective.names)])
def test_a_batch_is_worth_what_it_is_worth_to_its_member_alone(settings, name):
    """Loss, gradients, metrics, carry."""
    module, batches, params, carry = made(settings)
    single, number = alone(settings, name)
    batch, own = batches[name], {'backbone': params['backbone'], **params.get('members', {}).get(name, {})}
    (whole, out), grads = graded(module)(params, batch, carry)
    (part, expected), own_grads = graded(single)(own, settings.objective.narrow(batch, number), (carry or {}).get(name))

    assert float(whole) == pytest.approx(float(part), rel=1e-6)
    found = {'backbone': grads['backbone'], **grads.get('members', {}).get(name, {})}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, own_grads)
    for other, tree in grads.get('members', {}).items():
        assert other == name or not any(np.any(leaf) for leaf in jax.tree.leaves(tree))
    for kind in ('terms', 'metrics'):
        for key, pair in getattr(out, kind).items():
            member, _, inner = key.partition('/')
            wanted = getattr(expected, kind)[inner] if member == name else (0, 0)
            assert [float(x) for x in pair] == pytest.approx([float(x) for x in wanted], rel=1e-5), key
    for other, value in (out.carry or {}).items():
        wanted = expected.carry if other == name else carry[other]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), value, wanted)
    assert name != 'permuted' or float(jnp.abs(out.carry['permuted']).max()) > 0
    weights = {key: float(value) for key, value in module.weights(batch).items()}
    assert all((value > 0) == key.startswith(f'{name}/') for key, value in weights.items())


def test_operations_are_the_mean_over_turns():
    alone = [objectives.train_flops(dataclasses.replace(DECODER, objective=member.objective)) for member in DECODER.objective.members]
    assert alone[0] < alone[1] and objectives.train_flops(DECODER) == pytest.approx(0.25 * alone[0] + 0.75 * alone[1], rel=1e-6)
    assert objectives.train_flops(ENCODER) > 0


def test_one_backbone_and_what_else_a_member_has():
    _, _, params, carry = made(ENCODER)
    assert set(params) == {'backbone', 'members'} and set(params['members']) == {'pairs', 'replaced', 'permuted'}
    assert set(params['members']['replaced']) == {'generator', 'head'} and set(carry) == {'permuted'}
    _, _, params, carry = made(DECODER)
    assert set(params) == {'backbone'} and carry is None
    module = made(DECODER)[0]
    assert module.scales == {'masked/tokens': 1.0, 'text/tokens': 1.0} and module.shares == {'masked/tokens': 0.25, 'text/tokens': 0.75}
    assert made(ENCODER)[0].scales['replaced/discriminator'] == 50.0


def test_steps_report_their_member_alone():
    module, batches, params, carry = made(DECODER)
    optimizer = optax.sgd(0.1)
    state = states.State(jnp.zeros((), jnp.int32), params, optimizer.init(params), carry, jax.random.key(7), None)
    update = jax.jit(steps.build(module, optimizer, accumulation=2))
    for name in ('masked', 'text'):
        after, measured = update(state, batches[name])
        line = loop.train_line(measured, 0.1)
        assert set(line) == {'train/loss', f'train/{name}/tokens', f'train/{name}/accuracy', 'grad_norm', 'learning_rate'}
        assert line['train/loss'] == pytest.approx(line[f'train/{name}/tokens'], rel=1e-6)
        assert line['train/loss'] == pytest.approx(np.log(BYTES.vocab_size), rel=0.1) and line['grad_norm'] > 0
        assert int(after.step) == 1


def test_an_evaluation_is_the_mean_over_steps_and_leaves_out_who_was_not_there():
    module = made(DECODER)[0]
    evaluator = object.__new__(evaluation.Evaluator)
    evaluator.module, evaluator.objective, evaluator.draw = module, DECODER.objective, drawing.everything(2, 1)
    sums = lambda *pair: tuple(np.array([value]) for value in pair)
    none, some = sums(0.0, 0.0), sums(30.0, 10.0)
    masked = {'terms': {'masked/tokens': some, 'text/tokens': none},
              'metrics': {'masked/accuracy': sums(5.0, 10.0), 'text/accuracy': none}, 'bytes': np.zeros(1)}
    text = {'terms': {'masked/tokens': none, 'text/tokens': sums(10.0, 10.0)},
            'metrics': {'masked/accuracy': none, 'text/accuracy': sums(1.0, 10.0)}, 'bytes': np.zeros(1)}
    assert evaluator.summary([masked, text]) == {
        'eval/loss': 0.25 * 3 + 0.75 * 1, 'eval/masked/tokens': 3.0, 'eval/text/tokens': 1.0,
        'eval/masked/accuracy': 0.5, 'eval/text/accuracy': 0.1}
    assert evaluator.summary([masked]) == {'eval/masked/tokens': 3.0, 'eval/masked/accuracy': 0.5}
    assert evaluator.undefined == ['eval/text/tokens', 'eval/text/accuracy', 'eval/loss']


def test_metrics_of_a_mixture_are_told_apart_by_row():
    settings = config('decoder', ('masked', masked_lm.Objective(SIZE, rate=0.3), 1.0), ('text', causal_lm.Objective(SIZE), 1.0),
                      kind=mixtures.Objective)
    module = objectives.build(settings)
    batch = next(pipeline.batches(settings.objective, source(), seed=1, batch_size=ROWS, stop=60, shuffle=False, threads=0))
    batch = jax.tree.map(jnp.asarray, example.given(batch))
    params = jax.jit(module.init)(jax.random.key(0), batch)
    apply = jax.jit(lambda batch: module.apply(params, batch))
    out = steps.summed(apply(batch))
    assert sorted(set(batch['task'].tolist())) == [0, 1] and module.scales == {'tokens': 1.0}
    apart = [out.metrics[f'{name}/nll'] for name in ('masked', 'text')]
    assert [float(sum(pair[i] for pair in apart)) for i in (0, 1)] == pytest.approx([float(x) for x in out.terms['tokens']], rel=1e-6)
    for number, name in enumerate(('masked', 'text')):
        rows = (batch['task'] == number)[:, None]
        only = steps.summed(apply({**batch, 'weights': batch['weights'] * rows}))
        assert [float(x) for x in only.terms['tokens']] == pytest.approx([float(x) for x in apart[number]], rel=1e-6)
        assert [float(x) for x in only.metrics['accuracy']] == pytest.approx([float(x) for x in out.metrics[f'{name}/accuracy']])
    means = steps.means(steps.summed(apply({**batch, 'weights': batch['weights'] * (batch['task'] == 0)[:, None]})).metrics)
    assert np.isnan(means['text/nll']) and np.isfinite(means['masked/nll'])


def test_a_sampler_asks_the_member_whose_batch_it_is():
    module, batches, params, _ = made(ENCODER)
    for name in ('pairs', 'replaced'):
        batch = jax.tree.map(np.asarray, batches[name])
        said = jax.jit(functools.partial(module.apply, batch=batch, method='say'))({'params': params})
        assert said.shape == batch['slots'].shape and said.dtype == jnp.int32
        assert int(said.max()) < BYTES.vocab_size


@pytest.mark.slow
def test_it_trains_on_a_mesh_as_on_one_device(tmp_path):
    """Same losses on 4 devices, the data over two of them and the model over two."""
    for folder, flags, devices in (('one', [], 1), ('four', ['--config.mesh.tensor=2'], 4)):
        request = parse.parse(['--config=configs/tiny.py:alternation', f'--workdir={tmp_path / folder}', '--config.steps=3',
                               '--config.log_every=1', f'--config.data.cache={tmp_path / "cache"}', '--config.eval_batches=2',
                               '--config.sample.max_new_tokens=2', *flags], devices=False)
        with display.Display(console=rich.console.Console(file=io.StringIO())) as screen:
            loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:devices])
    one, four = (metrics.read(tmp_path / folder) for folder in ('one', 'four'))
    for a, b in zip(one, four):
        assert a.keys() == b.keys()
        assert b['train/loss'] == pytest.approx(a['train/loss'], rel=1e-4)
    assert len(one) == 3 and not any('train/masked/tokens' in line and 'train/text/tokens' in line for line in one)
    assert {'eval/masked/tokens', 'eval/text/tokens', 'eval/loss'} <= one[-1].keys()
