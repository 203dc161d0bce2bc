"""Scores in chunks of the vocabulary equal those of the logits; draws are the same for every chunk size and mesh; what it costs."""
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import chunked_scoring, config as model_config, heads, scoring, transformer
from train.objectives import loss as losses
from train.parallel import sharding
from train.settings import schema

RNG = np.random.default_rng(0)
VOCAB, PADDED, D = 300, 384, 16
X = RNG.normal(size=(4, 6, D)).astype(np.float32)
TARGETS = RNG.integers(0, VOCAB, (4, 6)).astype(np.int32)
WEIGHTS = RNG.integers(0, 2, (4, 6)).astype(np.float32)
HEADS = {'tied': dict(), 'separate': dict(tied=False), 'tied, bias': dict(head='biased'), 'separate, bias': dict(tied=False, head='biased'),
         'transform': dict(head='transform'), 'narrow': dict(embed_dim=8)}
SETTINGS = schema.Loss(label_smoothing=0.1, z_loss=1e-3)
CHUNKS = 1, 100, 128, 383, 384, 1000          # some divide 384, some do not, one is larger


def head(dtype=jnp.float32, **settings):
    """(head, its params, the embedding), all random."""
    config = model_config.Config(vocab_size=VOCAB, dim=D, **settings)
    module = heads.LanguageHead(config, dtype, name='head')
    embedding = RNG.normal(size=(PADDED, config.width)).astype(np.float32)
    params = module.init(jax.random.key(0), X, embedding).get('params', {})
    return module, jax.tree.map(lambda p: RNG.normal(size=p.shape).astype(np.float32), params), embedding


def scored(module, variables, chunk, monkeypatch, draw=None, settings=SETTINGS):
    """(Scores, gradients of x, params and embedding) of the loss; chunk: None = with the logits."""
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 2 ** 60 if chunk is None else 0)
    monkeypatch.setattr(chunked_scoring, 'CHUNK', chunk or 1)

    def loss(x, params, embedding):
        found = module.apply({'params': params}, x, embedding, TARGETS, draw, method='score')
        each, _ = losses.cross_entropy(found, VOCAB, settings.label_smoothing, settings.z_loss)
        return jnp.sum(each * WEIGHTS), found

    (_, found), gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(*variables)
    return found, gradients


def close(found, expected, tolerance=1e-5):
    """Every leaf within a share of its largest entry."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


def cases():
    """All combinations; one of each head and type in `make test`."""
    for number, case in enumerate(itertools.product(HEADS, ('float32', 'bfloat16'), (None, 3.0), (None, 0.7))):
        few = number % 4 == (number // 4) % 4
        yield pytest.param(*case, CHUNKS[number % 5 + number % 2], marks=() if few else pytest.mark.slow)


@pytest.mark.parametrize('kind, dtype, cap, scale, chunk', cases())
def test_chunks_equal_the_logits(kind, dtype, cap, scale, chunk, monkeypatch):
    """In bfloat16 too: both multiply the same operands, and cast the same gradients. The gradient of the table is rounded there alone."""
    module, *given = head(jnp.dtype(dtype), logit_soft_cap=cap, logit_scale=scale, **HEADS[kind])
    whole, expected = scored(module, (X, *given), None, monkeypatch)
    found, gradients = scored(module, (X, *given), chunk, monkeypatch)
    close(found[:3], whole[:3], 1e-6)
    np.testing.assert_array_equal(found.best, whole.best)
    np.testing.assert_array_equal(found.correct, whole.correct)
    assert found.sampled is None and found.best.dtype == jnp.int32
    close(gradients, expected, 1e-5 if dtype == 'float32' else 2 ** -8)
    assert not np.any(np.asarray(gradients[2])[VOCAB:])  # padding learns nothing


LOSSES = schema.Loss(), schema.Loss(label_smoothing=0.2), schema.Loss(z_loss=1e-2)


@pytest.mark.parametrize('settings, chunk', [(LOSSES[number % 3], chunk) for number, chunk in enumerate(CHUNKS)], ids=str)
def test_every_loss_and_chunk(settings, chunk, monkeypatch):
    module, *given = head(tied=False, head='biased')
    whole, expected = scored(module, (X, *given), None, monkeypatch, settings=settings)
    found, gradients = scored(module, (X, *given), chunk, monkeypatch, settings=settings)
    close(found[:3], whole[:3], 1e-6)
    close(gradients, expected)


def test_scores_are_those_of_the_logits():
    logits = np.where(np.arange(PADDED) < VOCAB, RNG.normal(size=(4, 6, PADDED)), scoring.ABSENT).astype(np.float32)
    found, real = scoring.of_logits(jnp.asarray(logits), jnp.asarray(TARGETS), VOCAB), logits[..., :VOCAB].astype(np.float64)
    np.testing.assert_allclose(found.log_z, np.log(np.exp(real).sum(-1)), rtol=1e-6)
    np.testing.assert_array_equal(found.target, np.take_along_axis(logits, TARGETS[..., None], -1)[..., 0])
    np.testing.assert_allclose(found.total, real.sum(-1), atol=1e-4)
    np.testing.assert_array_equal(found.best, real.argmax(-1))
    best = scoring.of_logits(jnp.asarray(logits), found.best, VOCAB)
    assert np.all(best.correct == 1) and found.correct.mean() == np.mean(real.argmax(-1) == TARGETS)


def test_equals_have_the_first_id_and_a_target_that_is_none_shows(monkeypatch):
    """Ties between chunks, and a target in the padding: its loss is 1e9, with the logits and without."""
    module, params, embedding = head()
    embedding[[7, 130, 299]] = 10 * embedding[7]
    x = np.broadcast_to(embedding[7], X.shape)
    found, _ = scored(module, (x, params, embedding), 100, monkeypatch)
    assert np.all(found.best == 7)
    for limit in (0, 2 ** 60):
        monkeypatch.setattr(chunked_scoring, 'LIMIT', limit)
        lost = module.apply({}, X, embedding, np.full((4, 6), VOCAB + 1), method='score')
        assert np.all(lost.log_z - lost.target > 9e8)


# Draws

KEYS = jax.random.split(jax.random.key(3), 4)


def test_noise_is_that_of_jax_random():
    """Over 2^32 counters too: the noise of 3 slots of so large a vocabulary, some of its columns."""
    expected = jax.vmap(lambda key: jax.random.gumbel(key, (6, PADDED)))(KEYS)
    for columns in (jnp.arange(PADDED), jnp.array([383, 5])):
        np.testing.assert_array_equal(scoring.gumbel(*scoring.counted(KEYS, 6, PADDED), columns), expected[..., columns])
    words, start = scoring.counted(KEYS[:1], 3, 2 ** 31 + 5)
    assert start[0].tolist() == [[0, 0], [0, 2 ** 31 + 5], [1, 10]]
    noise = scoring.gumbel(words, start, jnp.array([2 ** 31 - 20, 2 ** 31 - 5]))
    again = scoring.gumbel(words[:, :1], jnp.array([[[1, 0]]], jnp.uint32), jnp.array([0]))
    assert noise[0, 1, 1] == again[0, 0, 0]      # the carry


@pytest.mark.parametrize('draw', [(1.0, False), (1.0, True), (0.5, True), (0.0, False)], ids=str)
def test_draws_are_the_same_for_every_chunk_and_with_the_logits(draw, monkeypatch):
    module, *given = head(head='biased')
    draw = scoring.Draw(KEYS, *draw)
    whole, _ = scored(module, (0.3 * X, *given), None, monkeypatch, draw)
    assert whole.sampled.dtype == jnp.int32 and np.all(whole.sampled < VOCAB)
    assert np.all(whole.sampled == whole.best) == (draw.temperature == 0) and not np.any(draw.avoid_target & (whole.sampled == TARGETS))
    for chunk in (100, 128):
        found, _ = scored(module, (0.3 * X, *given), chunk, monkeypatch, draw)
        np.testing.assert_array_equal(found.sampled, whole.sampled)


@pytest.mark.parametrize('temperature, avoid', [(2.0, False), (1.0, True)])
def test_draws_in_chunks_follow_the_softmax(temperature, avoid, monkeypatch):
    """Chi-square of 40,000 draws from 7 words in chunks of 3."""
    monkeypatch.setattr(chunked_scoring, 'CHUNK', 3)
    logits = RNG.normal(size=7).astype(np.float32) * 1.5
    x, table = jnp.ones((4, 10000, 1)), jnp.asarray(logits)[:, None]
    draw = scoring.Draw(KEYS, temperature, avoid)
    found = jax.jit(lambda: chunked_scoring.in_chunks(x, table, None, jnp.full((4, 10000), 2), chunked_scoring.Table(7), draw))()
    p = np.exp(logits / temperature)
    p[2] *= not avoid
    expected, counts = p / p.sum() * 40000, np.bincount(np.ravel(found.sampled), minlength=7)
    assert counts[expected == 0].sum() == 0
    free = (expected > 0).sum() - 1
    assert ((counts - expected) ** 2 / np.maximum(expected, 1e-9))[expected > 0].sum() < free + 4 * np.sqrt(2 * free)


# Meshes

MESHES = {'data=2,fsdp=2,tensor=2': schema.Mesh(fsdp=2, tensor=2), 'data=4,tensor=2': schema.Mesh(tensor=2),
          'tensor=8': schema.Mesh(tensor=8), 'data=2,tensor=2,context=2': schema.Mesh(tensor=2, context=2), 'fsdp=2': schema.Mesh(fsdp=2)}


def compiled(module, given, mesh, draw=None, manual=False):
    """The program of `scored` on a mesh and its results; manual: inside a jax.shard_map over `data` that adds up the gradients itself."""

    def loss(x, params, embedding, targets, weights, draw):
        found = module.apply({'params': params}, x, embedding, targets, draw, method='score')
        each, _ = losses.cross_entropy(found, VOCAB, 0.1, 1e-3)
        return jnp.sum(each * weights), found

    def run(x, params, embedding, targets, weights, keys):
        if manual:
            params, embedding = jax.lax.pcast((params, embedding), 'data', to='varying')
        (_, found), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(
            x, params, embedding, targets, weights, draw and draw._replace(keys=keys))
        return found, gradients if not manual else (gradients[0], *jax.lax.psum(gradients[1:], 'data'))

    with jax.set_mesh(mesh):
        params = {'embed': {'embedding': given[2]}, 'head': given[1]}
        params = jax.device_put(params, sharding.params(mesh, params))
        split = jax.sharding.NamedSharding(mesh, sharding.LENGTH)
        rows = [jax.device_put(value, split) for value in (given[0], TARGETS, WEIGHTS)]
        placed = rows[0], params['head'], params['embed']['embedding'], *rows[1:], KEYS
        by_row, all_rows = jax.sharding.PartitionSpec('data'), jax.sharding.PartitionSpec()
        if manual:
            run = jax.shard_map(run, axis_names={'data'}, in_specs=(by_row, all_rows, all_rows, by_row, by_row, by_row),
                                out_specs=(by_row, (by_row, all_rows, all_rows)))
        program = jax.jit(run).lower(*placed).compile()
        return program.as_text(), *program(*placed)


def moved(program, mesh, kinds, axis):
    """The shapes that collectives of some kinds move between devices that differ along a mesh axis, from the text of a program."""
    places = np.moveaxis(np.arange(8).reshape(mesh.devices.shape), mesh.axis_names.index(axis), -1)
    along = {tuple(map(int, line)) for line in places.reshape(-1, mesh.shape[axis])}
    found = []
    for shape, groups in re.findall(rf'= (.*) (?:{kinds})(?:-start)?\(.*?replica_groups=(\S+?), ', program):
        if groups.startswith('{'):
            groups = [tuple(map(int, group.split(','))) for group in re.findall(r'{([\d,]+)}', groups)]
        else:                                 # [groups,size]<=[shape]T(order)
            size, shape_of, order = re.fullmatch(r'\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', groups).groups()
            numbers = np.arange(8).reshape([int(n) for n in shape_of.split(',')])
            numbers = numbers.transpose([int(n) for n in order.split(',')]) if order else numbers
            groups = numbers.reshape([int(n) for n in size.split(',')]).tolist()
        if any(len(set(line) & set(group)) > 1 for line in along for group in groups):
            found.append(shape)
    return found


@pytest.mark.parametrize('kind', ['tied', 'separate, bias'])
@pytest.mark.parametrize('name', MESHES)
def test_a_sharded_table_gives_the_same_and_never_moves(name, kind, monkeypatch):
    """No all-gather along `tensor`, forward or backward; what is summed along it is as long as the tokens, never as the vocabulary."""
    module, *given = head(**HEADS[kind], logit_soft_cap=5.0)
    draw = scoring.Draw(KEYS, 1.0, True)
    whole, expected = scored(module, (X, *given), None, monkeypatch, draw)
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 0)
    monkeypatch.setattr(chunked_scoring, 'CHUNK', 100)
    devices = jax.devices()[:4 if name == 'fsdp=2' else 8]
    mesh = sharding.mesh(MESHES[name], devices)
    program, found, gradients = compiled(module, (X, *given), mesh, draw)
    close(found[:3], whole[:3], 1e-6)
    for field in ('best', 'correct', 'sampled'):
        np.testing.assert_array_equal(getattr(found, field), getattr(whole, field))
    close(gradients, expected)
    if len(devices) == 8:
        assert moved(program, mesh, 'all-gather|all-to-all|collective-permute', 'tensor') == []
        assert 'all-gather' in program or mesh.shape['fsdp'] == 1  # of a chunk of the table, along fsdp: the count above can count


@pytest.mark.parametrize('kind', ['tied', 'separate, bias'])
def test_inside_a_shard_map_over_data(kind, monkeypatch):
    """As a step does that adds up the gradients of its microbatches on each device."""
    module, *given = head(**HEADS[kind])
    whole, expected = scored(module, (X, *given), None, monkeypatch)
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 0)
    monkeypatch.setattr(chunked_scoring, 'CHUNK', 100)
    mesh = sharding.mesh(MESHES['data=2,fsdp=2,tensor=2'])
    program, found, gradients = compiled(module, (X, *given), mesh, manual=True)
    close(found[:3], whole[:3], 1e-6)
    close(gradients, expected)
    assert moved(program, mesh, 'all-gather|all-to-all|collective-permute', 'tensor') == []


# Where it is chosen, and what it takes

def test_the_size_on_one_device_decides(monkeypatch):
    x = jax.ShapeDtypeStruct((4, 6, D), np.float32)
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 4 * 24 * PADDED)
    assert chunked_scoring.fits(x, PADDED) and not chunked_scoring.fits(x, PADDED + 1)
    monkeypatch.setattr(chunked_scoring, 'LIMIT', 24 * PADDED)
    assert not chunked_scoring.fits(x, PADDED)
    with jax.set_mesh(sharding.mesh(schema.Mesh(data=2, tensor=2), jax.devices()[:4])):
        assert chunked_scoring.fits(x, PADDED) and not chunked_scoring.fits(x, PADDED + 1)


def test_below_the_size_a_program_makes_the_logits_and_above_it_none(monkeypatch):
    """Through a whole Transformer, with parameters of the same tree."""
    config = model_config.Config(vocab_size=VOCAB, dim=D, layers=1, heads=2, max_length=8)
    module = transformer.Transformer(config)
    batch = transformer.blank(config, 2, 8)

    def score(module, batch):
        return module.score(module.read(batch), batch['tokens'])

    trees, texts = [], []
    for limit in (4 * 16 * PADDED, 4 * 16 * PADDED - 1):
        monkeypatch.setattr(chunked_scoring, 'LIMIT', limit)
        monkeypatch.setattr(chunked_scoring, 'CHUNK', 64)
        variables = jax.eval_shape(lambda: module.init(jax.random.key(0), batch, method=score))  # noqa: B023
        trees.append(jax.tree.map(lambda leaf: leaf.shape, variables))
        texts.append(jax.jit(lambda variables: module.apply(variables, batch, method=score)).lower(variables).as_text())  # noqa: B023
    assert trees[0] == trees[1] == jax.tree.map(np.shape, jax.eval_shape(lambda: module.init(jax.random.key(0), batch)))
    assert ['16x384x' in text for text in texts] == [True, False]


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('tied', [True, False])
def test_temporaries(dtype, tied, monkeypatch):
    """8,192 tokens, 131,072 words, 768 wide, compiled alone: at most 5 % of what the logits take, and of the logits themselves."""
    config = model_config.Config(vocab_size=131072, dim=768, tied=tied)
    module, shape = heads.LanguageHead(config, jnp.dtype(dtype), name='head'), jax.ShapeDtypeStruct
    x, table = shape((1, 8192, 768), dtype), shape((131072, 768), np.float32)
    params = {} if tied else {'kernel': shape((768, 131072), np.float32)}
    taken = []
    for limit in (2 ** 60, 0):
        monkeypatch.setattr(chunked_scoring, 'LIMIT', limit)

        def loss(x, params, table, targets):
            found = module.apply({'params': params}, x, table, targets, method='score')
            return jnp.mean(losses.cross_entropy(found, 131072)[0]), found.correct

        step = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
        taken.append(step.lower(x, params, table, shape((1, 8192), np.int32)).compile().memory_analysis().temp_size_in_bytes)
    whole, chunked = taken
    assert chunked <= 0.05 * min(whole, 4 * 8192 * 131072)
