"""Every implementation of attention against attention by hand over the keys that each query may see, forward and backward."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import encodings, ops
from model.attention import choice, rule as rules, terms
from tests.helpers import attention_rules as cases

ABLE = [name for name, module in choice.IMPLEMENTATIONS.items() if name != 'cudnn' or ops.platform() == 'gpu']
EVERY = pytest.mark.parametrize('implementation', ABLE)
N, K, H, BUCKETS = 4, 2, 3, 6



def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def inputs(rule, dtype=jnp.float32):
    """Query, key, value and the gradient of the output for a rule."""
    (B, T), S = rule.sees.shape, rule.seen.shape[1]
    return [normal(i, *shape).astype(dtype) for i, shape in enumerate(((B, N, T, H), (B, K, S, H), (B, K, S, H), (B, N, T, H)))]


def biases():
    return {'none': None, 'alibi': encodings.Alibi(N, bidirectional=True),
            't5': encodings.Buckets(normal(9, BUCKETS, N), distance=6, bidirectional=True)}


@functools.partial(jax.jit, static_argnames=('implementation', 'window', 'hint', 'soft_cap'))
def run(implementation, rule, window, bias, query, key, value, g, hint=rules.UNKNOWN, soft_cap=None):
    """(output, gradients of query, key, value and bias)."""
    module = choice.IMPLEMENTATIONS[implementation]

    def out(query, key, value, bias):
        prepared = module.prepare(rule, terms.of(bias, rule, hint), hint, (window,))
        return module.attend(query, key, value, prepared, scale=0.7, soft_cap=soft_cap)

    found, pull = jax.vjp(out, query, key, value, bias)
    return found, pull(g)


def expected(rule, window, bias, query, key, value, g, soft_cap=None):
    """The same by hand."""
    written, pull_bias = (0.0, None) if bias is None else jax.vjp(lambda bias: bias(rule.query_positions, rule.key_positions), bias)
    found, pull = cases.attend(query, key, value, cases.mask(rule, window), 0.7, np.float64(written), soft_cap)
    *gradients, of_bias = pull(g)
    return found, (*gradients, pull_bias and pull_bias(jnp.asarray(of_bias, jnp.float32))[0])


def close(found, wanted, atol=5e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol), found, wanted)


@EVERY
@pytest.mark.parametrize('name', cases.MATRIX)
def test_the_mask_matrix_forward_and_backward(implementation, name):
    rule, window = cases.MATRIX[name]
    close(run(implementation, rule, window, None, *inputs(rule)), expected(rule, window, None, *inputs(rule)))


@EVERY
@pytest.mark.parametrize('bias', ['alibi', 't5'])
@pytest.mark.parametrize('name', ['prefix', 'packed causal window'])
def test_a_bias_is_a_function_of_positions_with_parameters(implementation, name, bias):
    rule, window = cases.MATRIX[name]
    found, wanted = (call(rule, window, biases()[bias], *inputs(rule)) for call in (functools.partial(run, implementation), expected))
    close(found, wanted)
    assert bias == 'alibi' or np.abs(found[1][-1].table).max() > 0.01


@pytest.mark.parametrize('bias', ['alibi', 't5'])
def test_a_block_of_a_bias_is_the_bias_of_a_block(bias):
    bias, queries, keys = biases()[bias], jnp.array([[0, 3, 9], [4, 5, 6]]), jnp.array([[0, 2, 1, 7, 8], [6, 5, 4, 3, 2]])
    whole = bias(queries, keys)
    assert whole.shape == (2, N, 3, 5) and whole.dtype == jnp.float32
    np.testing.assert_array_equal(bias(queries[:, 1:], keys[:, 2:4]), whole[:, :, 1:, 2:4])


@EVERY
def test_each_layer_takes_its_own_of_several_windows(implementation):
    (rule, _), windows, module = cases.MATRIX['packed causal'], (2, 3, None), choice.IMPLEMENTATIONS[implementation]
    query, key, value, _ = inputs(rule)

    @jax.jit
    def layers(rule):
        prepared = module.prepare(rule, (), rules.Hint(), windows)
        return jax.lax.map(lambda number: module.attend(query, key, value, prepared, window=number, scale=0.7), jnp.array([2, 0, 1]))

    for found, window in zip(layers(rule), (None, 2, 3)):
        np.testing.assert_allclose(found, cases.attend(query, key, value, cases.mask(rule, window), 0.7)[0], atol=2e-6)


@EVERY
@pytest.mark.parametrize('name', ['causal', 'packed bidirectional', 'permuted query'])
@pytest.mark.parametrize('bias', ['none', 't5'])
def test_three_visible_keys(implementation, name, bias):
    """Keys before the others: as if they were tokens of the row that all of it sees."""
    rule, bias = cases.MATRIX[name][0], biases()[bias]
    segments, places = jnp.array([[-1, -1, -1]]), jnp.array([[2, 0, 5]])
    longer, hint = rules.prepend(rule, rules.Hint(), segments, places)
    arrays = [np.concatenate([first, rest], axis=1) for first, rest in (
        (np.full((1, 3), -1), rule.seen), (segments, rule.key_segments), (places, rule.key_positions))]
    written = rules.Rule(rule.sees, arrays[0], rule.query_segments, arrays[1], rule.query_positions, arrays[2])
    given = inputs(longer)
    found = run(implementation, longer, None, bias, *given, hint=hint)
    close(found, run(implementation, written, None, bias, *given), atol=1e-6)
    close(found, expected(longer, None, bias, *given))


@EVERY
def test_a_query_that_sees_nothing_gives_nothing_and_takes_no_gradient(implementation):
    rule, _ = cases.MATRIX['permuted query']  # rank 0 sees nothing
    blind = ~cases.mask(rule).any(-1)
    assert blind.sum() == 1
    query, key, value, g = inputs(rule)
    g = jnp.asarray(np.broadcast_to(blind[:, None, :, None], g.shape), jnp.float32)  # only for the blind query
    for bias in biases().values():
        out, gradients = run(implementation, rule, None, bias, query, key, value, g)
        assert np.all(np.asarray(out).transpose(0, 2, 1, 3)[blind] == 0)
        assert all(np.all(np.asarray(gradient) == 0) for gradient in jax.tree.leaves(gradients))


@EVERY
def test_hidden_keys_get_exactly_no_gradient(implementation):
    rule, _ = cases.MATRIX['causal']
    query, key, value, g = inputs(rule)
    _, (_, *gradients, _) = run(implementation, rule, None, None, query, key, value, jnp.zeros_like(g).at[:, :, 2].set(1.0))
    for gradient in gradients:
        assert np.all(np.asarray(gradient)[:, :, 3:] == 0) and np.all(np.asarray(gradient)[:, :, :3] != 0)


@EVERY
def test_soft_cap(implementation):
    rule, _ = cases.MATRIX['prefix']
    given = inputs(rule)
    close(run(implementation, rule, None, None, *given, soft_cap=0.5), expected(rule, None, None, *given, soft_cap=0.5))


@EVERY
def test_grouped_queries_equal_repeated_heads(implementation):
    rule, _ = cases.MATRIX['causal']
    query, key, value, g = inputs(rule)
    grouped, _ = run(implementation, rule, None, None, query, key, value, g)
    repeated, _ = run(implementation, rule, None, None, query, jnp.repeat(key, N // K, 1), jnp.repeat(value, N // K, 1), g)
    np.testing.assert_allclose(grouped, repeated, atol=1e-6)


@EVERY
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_scores_are_float32(implementation, dtype):
    """2,048 equal scores: a bfloat16 softmax would lose the mean."""
    S, module = 2048, choice.IMPLEMENTATIONS[implementation]
    key = jnp.ones((1, 1, S, 8), dtype)
    value = jnp.where(jnp.arange(S)[None, None, :, None] % 2 == 0, 1.0, 0.5).astype(dtype) * jnp.ones(8, dtype)
    everything = rules.cross(jnp.ones((1, 1), int), jnp.ones((1, S), int))
    out = module.attend(jnp.ones((1, 1, 1, 8), dtype), key, value, module.prepare(everything), scale=1.0)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.astype(jnp.float32), 0.75, atol=2e-3)
