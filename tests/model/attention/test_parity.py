"""Every implementation of attention gives what `plain` gives: output and all gradients, with the same dropout.

A covering of all pairs of options in the fast tests, all combinations in the slow ones. cuDNN's kernel runs on GPUs alone; elsewhere the
same call is computed by XLA, so that masks, lengths, windows and biases that it is given are tested.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import encodings, ops
from model.attention import blocks as schedules, blockwise, choice, cudnn, plain, rule as rules, streams, terms, transformer_xl
from tests.helpers import covering

B, N, H, P, M, WINDOW, BUCKETS = 2, 4, 8, 6, 3, 5, 8
TOLERANCE = {'float32': 1e-5, 'bfloat16': 2e-2}   # of the largest entry
OPTIONS = {
    'implementation': ('blockwise', 'cudnn'),
    'rule': ('causal', 'causal window', 'full', 'prefix', 'permuted', 'packed', 'packed window'),
    'bias': ('none', 't5', 'alibi', 'xl'),
    'kv_heads': (4, 2),
    'dropout': (0.0, 0.1),
    'dtype': ('float32', 'bfloat16'),
    'length': (32, 45),                       # blocks of 16 queries and keys: full ones, and three that are not
    'extra': (0, M),
    'soft_cap': (None, 2.0),
}


def possible(case):
    """cuDNN has no dropout, no soft cap and no Transformer-XL; the soft cap goes beside one rule."""
    return case['implementation'] != 'cudnn' or (case['dropout'] == 0 and case['bias'] != 'xl' and case['soft_cap'] is None)


def named(case):
    return ', '.join(str(choice) for choice in case.values())


FAST, ALL = ([case for case in cases(OPTIONS) if possible(case)] for cases in (covering.pairs, covering.every))
SLOW = [case for case in ALL if case not in FAST]


def rule_of(name, T):
    """(rule, hint, window, slots of appended queries) of B rows."""
    rng, place = np.random.default_rng(1), np.broadcast_to(np.arange(T), (B, T))
    one = np.ones((B, T), int)
    padded = np.where(place < np.array([[T], [T - 7]]), 1, 0)
    made = lambda sees, seen, segments=one, positions=place: rules.Rule(
        *(jnp.asarray(x, jnp.int32) for x in (sees, seen, segments, segments, positions, positions)))
    if name == 'causal':
        return made(place, place), rules.Hint('causal', 'one'), None, None
    if name == 'causal window':
        return made(place, place, padded), rules.Hint('causal', 'padded'), WINDOW, None
    if name == 'full':
        return made(place * 0, place * 0, padded), rules.Hint('full', 'padded'), None, None
    if name == 'prefix':
        sees = np.maximum(place, np.array([[9], [T - 2]]))
        return made(sees, sees, padded), rules.Hint('ordered', 'padded'), None, None
    if name == 'permuted':
        rank = np.stack([rng.permutation(T) for _ in range(B)])
        slots = np.stack([np.sort(rng.choice(T - 8, P, replace=False)) for _ in range(B)])
        batch = {'positions': place, 'segments': padded, 'sees': rank, 'seen': rank, 'slots': slots,
                 'weights': np.where(np.arange(P) < np.array([[P], [P - 2]]), 1.0, 0)}
        fields = streams.append({key: jnp.asarray(value) for key, value in batch.items()})
        keys = (jnp.asarray(x, jnp.int32) for x in (rank, padded, place))
        rule = rules.Rule(*(x for pair in zip((fields[name] for name in ('sees', 'segments', 'positions')), keys) for x in pair))
        return rule, rules.UNKNOWN, None, jnp.where(fields['segments'][:, T:] > 0, jnp.asarray(slots), T)
    segments, positions = np.where(place < 13, 1, np.where(place < T - 3, 2, 0)), np.where(place < 13, place, place - 13)
    window = WINDOW if name == 'packed window' else None
    return made(positions, positions, segments, positions), rules.Hint('causal', 'packed'), window, None


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def terms_of(bias, parameters, rule, hint, slots, query):
    """The terms of the scores, from their parameters."""
    if bias == 'xl':
        T, S = rule.sees.shape[1] - (0 if slots is None else P), rule.seen.shape[1]
        types = (rule.query_positions // 7 % 2, rule.key_positions // 7 % 2)
        by_type = jnp.einsum('bnth,znh->bntz', query, parameters['types'])
        distances = parameters['distances'][:, :, :T + S]
        return (transformer_xl.Terms(query + parameters['start'], distances.astype(query.dtype), by_type, types, slots=slots),)
    made = {'none': lambda: None, 'alibi': lambda: encodings.Alibi(N, bidirectional=True),
            't5': lambda: encodings.Buckets(parameters['table'], distance=20, bidirectional=True)}
    return terms.of(made[bias](), rule, hint)


@functools.cache
def computed(module, name, bias, kv_heads, dropout, dtype, length, extra, soft_cap):
    """The output, and its gradients by query, key, value and the parameters of the bias."""
    rule, hint, window, slots = rule_of(name, length)
    if extra:
        at = jnp.asarray(np.arange(-M, 0)[None], jnp.int32)
        rule, hint = rules.prepend(rule, hint, jnp.full((1, M), -1), at)
    T, S = rule.sees.shape[1], rule.seen.shape[1]
    arrays = [normal(i, *shape).astype(dtype) for i, shape in enumerate(((B, N, T, H), (B, kv_heads, S, H), (B, kv_heads, S, H)))]
    parameters = {'table': normal(4, BUCKETS, N), 'start': normal(5, N, 1, H), 'types': normal(6, 2, N, H),
                  'distances': normal(7, B, N, T + S, H)}
    parameters = {key: parameters[key] for key in {'t5': ('table',), 'xl': ('start', 'types', 'distances')}.get(bias, ())}
    drop = (dropout, jax.random.key(8), jnp.array([5, 2])) if dropout else None

    @jax.jit
    def run(query, key, value, parameters, gradient):
        def out(query, key, value, parameters):
            found = terms_of(bias, parameters, rule, hint, slots, query)
            prepared = module.prepare(rule, found if bias != 'xl' else (), hint, (window,))
            prepared = module.add_terms(prepared, *found) if bias == 'xl' else prepared
            return module.attend(query, key, value, prepared, scale=0.4, soft_cap=soft_cap, dropout=drop)

        found, pull = jax.vjp(out, query, key, value, parameters)
        return found, pull(gradient)

    gradient = normal(9, B, N, T, H).astype(dtype)
    return jax.tree.map(lambda x: np.asarray(x, np.float32), run(*arrays, parameters, gradient)), rule, window


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(schedules, 'BLOCK', 16)
    if ops.platform() != 'gpu':
        by_xla = jax.nn.dot_product_attention

        def kernel(*given, implementation, **named):
            """Sums are float32, as in cuDNN's kernel; those of XLA's products of bfloat16 on a CPU are not always."""
            dtype = given[0].dtype
            return by_xla(*(x if x is None or x.dtype != dtype else x.astype(jnp.float32) for x in given), **named).astype(dtype)

        monkeypatch.setattr(cudnn.jax.nn, 'dot_product_attention', kernel)


def check(case):
    case = {**case, 'module': choice.IMPLEMENTATIONS[case['implementation']], 'name': case['rule']}
    tolerance = TOLERANCE[case['dtype']]
    case = {key: value for key, value in case.items() if key not in ('implementation', 'rule')}
    (found, gradients), rule, window = computed(**case)
    (wanted, expected), _, _ = computed(**{**case, 'module': plain})
    blind = ~np.asarray(rules.mask(rule, window)).any(-1)
    assert np.all(found.transpose(0, 2, 1, 3)[blind] == 0) and np.all(gradients[0].transpose(0, 2, 1, 3)[blind] == 0)
    for one, other in zip(jax.tree.leaves((found, gradients)), jax.tree.leaves((wanted, expected)), strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


@pytest.mark.parametrize('case', FAST, ids=named)
def test_a_covering_of_all_pairs_of_options(small_blocks, case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize('case', SLOW, ids=named)
def test_all_combinations_of_options(small_blocks, case):
    check(case)


@pytest.mark.parametrize('order', ['causal', 'full', 'ordered'])
@pytest.mark.parametrize('T, S, offset, window', [
    (16, 16, 0, None), (45, 45, 0, None), (45, 48, 3, None), (70, 70, 0, 5), (70, 70, 0, 33), (45, 48, 3, 9)])
def test_every_pair_that_the_rule_allows_is_in_a_block_that_is_visited(monkeypatch, order, T, S, offset, window):
    monkeypatch.setattr(schedules, 'BLOCK', 16)
    blocks = schedules.of(T, S, rules.Hint(order, 'one', offset), window)
    query, key = np.arange(T)[:, None] + offset, np.arange(S)[None]
    allowed = (key <= query) | (order != 'causal')
    if window is not None:
        allowed &= (abs(query - key) < window) | (key < offset)                       # keys before the row have any positions
    visited = np.zeros((blocks.query_count * blocks.query_size, blocks.key_count * blocks.key_size), bool)
    for i, (first, end) in enumerate(blocks.visited):
        visited[i * blocks.query_size:(i + 1) * blocks.query_size, first * blocks.key_size:end * blocks.key_size] = True
    assert not np.any(allowed & ~visited[:T, :S])
    if order == 'causal' and T == 70:
        assert visited.mean() < (0.5 if window == 5 else 0.8)                          # and blocks without one are not
    for j, (first, end) in enumerate(blocks.visitors()):
        assert [i for i, (a, b) in enumerate(blocks.visited) if a <= j < b] == list(range(first, end))


LONG = 32768


@jax.jit
def long_run(rule, table, query, key, value, gradient):
    """Gradients of a packed causal row with T5's bias and dropout."""
    def out(table, *arrays):
        bias = encodings.Buckets(table, distance=128, bidirectional=False)
        prepared = blockwise.prepare(rule, terms.of(bias, rule, rules.Hint('causal', 'packed')), rules.Hint('causal', 'packed'))
        return blockwise.attend(*arrays, prepared, scale=0.1, dropout=(0.1, jax.random.key(0), jnp.arange(1)))

    return jax.vjp(out, table, query, key, value)[1](gradient)


def test_blockwise_memory_is_linear_in_the_length():
    """32,768 tokens, 4 heads of 64, forward and backward, compiled: less than 200 MB beside arguments and results."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((32, 4), *[(1, 4, LONG, 64)] * 4)]
    rule = rules.Rule(*[jax.ShapeDtypeStruct((1, LONG), jnp.int32)] * 6)
    assert long_run.lower(rule, *shapes).compile().memory_analysis().temp_size_in_bytes < 200e6


@pytest.mark.slow
def test_blockwise_runs_at_that_length():
    """Forward and backward, with finite gradients of everything."""
    place = jnp.arange(LONG, dtype=jnp.int32)[None]
    one = place * 0 + 1
    query, key, value, gradient = (normal(i, 1, 4, LONG, 64) for i in range(4))
    found = long_run(rules.Rule(place, place, one, one, place, place), normal(5, 32, 4), query, key, value, gradient)
    assert all(np.all(np.isfinite(each)) and np.abs(each).max() > 0 for each in found)


def test_a_cache_of_transformer_xl_by_blocks(small_blocks):
    """Looked-up distances, as while decoding: 20 queries and 36 slots."""
    T, S = 20, 36
    at = jnp.broadcast_to(jnp.arange(S, dtype=jnp.int32), (B, S))
    rule = rules.Rule(at[:, -T:], at, *[jnp.ones((B, n), jnp.int32) for n in (T, S)], at[:, -T:], at)
    index = S - (rule.query_positions[:, :, None] - rule.key_positions[:, None])
    own = transformer_xl.Terms(normal(0, B, N, T, H), normal(1, B, N, 2 * S, H), index=jnp.clip(index, 0, 2 * S - 1))
    query, key, value = (normal(i, B, N, n, H) for i, n in ((2, T), (3, S), (4, S)))
    found, wanted = (each.attend(query, key, value, each.add_terms(each.prepare(rule), own), scale=0.4) for each in (blockwise, plain))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_blocks_on_a_mesh_give_what_one_device_gives(small_blocks):
    """Rows over data, heads over tensor, the rows' numbers of the global batch: the same values and the same dropout."""
    rule, hint, _, _ = rule_of('packed', 45)
    query, key, value = (normal(i, B, heads, 45, H) for i, heads in enumerate((N, 2, 2)))

    def run(query, key, value):
        prepared = blockwise.prepare(rule, (), hint)
        return blockwise.attend(query, key, value, prepared, scale=0.4, dropout=(0.1, jax.random.key(8), jnp.array([5, 2])))

    alone = jax.jit(run)(query, key, value)
    mesh = jax.make_mesh((2, 2), ('data', 'tensor'), axis_types=(jax.sharding.AxisType.Auto,) * 2, devices=jax.devices()[:4])
    placed = jax.device_put((query, key, value), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data', 'tensor')))
    with jax.set_mesh(mesh):
        found = jax.jit(run)(*placed)
    assert len(found.sharding.device_set) == 4
    np.testing.assert_allclose(found, alone, atol=1e-6)
