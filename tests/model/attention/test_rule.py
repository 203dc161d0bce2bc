"""The attention rule against a triple loop, and the plain implementation against one that reads only visible keys."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.attention import plain, rule as rules

T = 8
PLACES = np.arange(T)
NEVER = rules.NEVER
ORDER = np.array([3, 0, 7, 1, 6, 2, 5, 4])
PACKED = np.array([1, 1, 1, 2, 2, 2, 2, 0])
RESTART = np.array([0, 1, 2, 0, 1, 2, 3, 0])


def make(sees, seen, query_segments=1, key_segments=1, query_positions=PLACES, key_positions=PLACES, window=None):
    """A rule of one row from numbers or vectors."""
    arrays = [jnp.asarray(np.broadcast_to(x, (T,))[None], jnp.int32)
              for x in (sees, seen, query_segments, key_segments, query_positions, key_positions)]
    return rules.Rule(*arrays, window=window)


PREFIX = np.maximum(PLACES, 3 - 1)
MATRIX = {
    'bidirectional': make(0, 0),
    'causal': make(PLACES, PLACES),
    'prefix': make(PREFIX, PREFIX),
    'permuted content': make(ORDER, ORDER),
    'permuted query': make(ORDER - 1, ORDER),
    'never seen': make(ORDER - 1, np.where(PLACES % 3 == 0, NEVER, ORDER)),
    'packed causal': make(RESTART, RESTART, PACKED, PACKED, RESTART, RESTART),
    'packed bidirectional': make(0, 0, PACKED, PACKED, RESTART, RESTART),
    'padding by integers': make([0, 1, 2, 3, -1, -1, -1, -1], [0, 1, 2, 3, NEVER, NEVER, NEVER, NEVER]),
    'cross': rules.cross(jnp.asarray(PACKED)[None], jnp.asarray([[1, 2, 2, 2, 2, 0, 0, 3]])),
    'prefix tokens': make(RESTART, np.where(PLACES < 2, -1, RESTART), PACKED, np.where(PLACES < 2, -1, PACKED)),
    'window': make(0, 0, window=3),
    'causal window': make(PLACES, PLACES, window=3),
    'packed causal window': make(RESTART, RESTART, PACKED, PACKED, RESTART, RESTART, window=2),
}


def sees(rule, b, q, k):
    """The definition, for one pair."""
    query_segment, key_segment = int(rule.query_segments[b, q]), int(rule.key_segments[b, k])
    if query_segment == 0 or key_segment == 0:
        return False
    if key_segment not in (query_segment, -1):
        return False
    if rule.window is not None and abs(int(rule.query_positions[b, q]) - int(rule.key_positions[b, k])) >= rule.window:
        return False
    return int(rule.seen[b, k]) <= int(rule.sees[b, q])


def naive_mask(rule):
    B, T = rule.sees.shape
    S = rule.seen.shape[1]
    return np.array([[[sees(rule, b, q, k) for k in range(S)] for q in range(T)] for b in range(B)])


def naive_attend(query, key, value, allowed, scale, bias):
    """One query at a time over the keys it may see; 0 without any."""
    B, N, T, H = query.shape
    group = N // key.shape[1]
    out = []
    for b, n, t in np.ndindex(B, N, T):
        visible = np.flatnonzero(allowed[b, t])
        if not len(visible):
            out.append(jnp.zeros(H))
            continue
        scores = key[b, n // group, visible] @ query[b, n, t] * scale + bias[b, n, t, visible]
        weights = jnp.exp(scores - jnp.max(scores))
        out.append(weights @ value[b, n // group, visible] / jnp.sum(weights))
    return jnp.stack(out).reshape(B, N, T, H)


@pytest.mark.parametrize('name', MATRIX)
def test_mask_equals_the_definition(name):
    np.testing.assert_array_equal(rules.mask(MATRIX[name]), naive_mask(MATRIX[name]))


def test_known_masks():
    count = {name: int(rules.mask(rule).sum()) for name, rule in MATRIX.items()}
    assert count['bidirectional'] == 64
    assert count['causal'] == 36
    assert count['prefix'] == 36 + 3
    assert count['permuted content'] == 36 and count['permuted query'] == 28
    assert count['packed causal'] == 6 + 10 and count['packed bidirectional'] == 9 + 16
    assert count['causal window'] == 1 + 2 + 6 * 3  # the query and the two before it


def random_inputs(rule, heads=4, kv=2, size=3):
    rng = np.random.default_rng(0)
    B, T = rule.sees.shape
    S = rule.seen.shape[1]
    shapes = [(B, heads, T, size), (B, kv, S, size), (B, kv, S, size), (B, heads, T, S)]
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


@jax.jit
def plain_with_gradients(rule, query, key, value, bias, g):
    def out(query, key, value, bias):
        return plain.attend(query, key, value, rule, scale=0.7, bias=bias)

    value, pull = jax.vjp(out, query, key, value, bias)
    return value, pull(g)


@pytest.mark.parametrize('name', ['prefix', 'permuted query', 'packed causal window', 'cross', 'prefix tokens'])
def test_plain_equals_naive_forward_and_backward(name):
    rule = MATRIX[name]
    query, key, value, bias = random_inputs(rule)
    g = jnp.asarray(np.random.default_rng(1).normal(size=query.shape), jnp.float32)
    out, gradients = plain_with_gradients(rule, query, key, value, bias, g)
    allowed = naive_mask(rule)
    expected, pull = jax.vjp(lambda *args: naive_attend(*args[:3], allowed, 0.7, args[3]), query, key, value, bias)
    np.testing.assert_allclose(out, expected, atol=2e-6)
    for gradient, reference in zip(gradients, pull(g)):
        np.testing.assert_allclose(gradient, reference, atol=5e-6)


def test_a_query_that_sees_nothing_gives_nothing_and_takes_no_gradient():
    rule = MATRIX['permuted query']           # rank 0 sees nothing
    blind = ~naive_mask(rule).any(-1)
    assert blind.sum() == 1
    query, key, value, bias = random_inputs(rule)
    g = jnp.asarray(np.broadcast_to(blind[:, None, :, None], query.shape), jnp.float32)  # only for the blind query
    out, gradients = plain_with_gradients(rule, query, key, value, bias, g)
    assert np.all(np.asarray(out).transpose(0, 2, 1, 3)[blind] == 0)
    for gradient in gradients:
        assert np.all(np.asarray(gradient) == 0)


def test_hidden_keys_get_exactly_no_gradient():
    rule = MATRIX['causal']
    query, key, value, bias = random_inputs(rule)
    g = jnp.zeros(query.shape).at[:, :, 2].set(1.0)
    _, (_, key_gradient, value_gradient, _) = plain_with_gradients(rule, query, key, value, bias, g)
    for gradient in (key_gradient, value_gradient):
        assert np.all(np.asarray(gradient)[:, :, 3:] == 0) and np.all(np.asarray(gradient)[:, :, :3] != 0)


def test_written_rules_are_the_rule():
    rule = MATRIX['packed causal']
    for window in (None, 2):
        written = rules.write(rule, window)
        allowed = naive_mask(make(RESTART, RESTART, PACKED, PACKED, RESTART, RESTART, window=window))
        np.testing.assert_array_equal(written.added == 0, allowed)
        np.testing.assert_array_equal(written.sighted, allowed.any(-1))
    query, key, value, _ = random_inputs(rule)
    np.testing.assert_array_equal(plain.attend(query, key, value, rule, scale=1.0),
                                  plain.attend(query, key, value, rules.write(rule), scale=1.0))
