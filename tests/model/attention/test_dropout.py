"""Dropout of attention weights: the rate, independence of neighbours, and the same bits for every block and every batch."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.attention import dropout, plain, rule as rules

T, HEADS, ROWS = 128, 4, np.array([4, 0, 7])


def drawn(rate=0.1, key=3, rows=ROWS, places=None):
    """bool[B, N, T, T]: which weights are kept."""
    places = jnp.arange(T) if places is None else places
    return np.asarray(dropout.mask(rate, jax.random.key(key), jnp.asarray(rows), HEADS, places, T).block(0, places.shape[-1], 0, T)) > 0


def chi_square(one, other):
    """Pearson's statistic, with one degree of freedom, of two arrays of bools against independence."""
    table = np.array([[np.sum(a & b) for b in (other, ~other)] for a in (one, ~one)], float)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return np.sum((table - expected) ** 2 / expected)


LIMIT = 24.0                                  # chi-square with one degree of freedom exceeds it with probability 1e-6


@pytest.mark.parametrize('rate', [0.01, 0.1, 0.5, 0.9])
def test_the_rate(rate):
    dropped = ~drawn(rate)
    sigma = (rate * (1 - rate) / dropped.size) ** 0.5
    assert abs(dropped.mean() - rate) < 5 * sigma
    by_row = dropped.mean(axis=(0, 1, 3))                                     # nor does the rate depend on the query or the key
    assert np.abs(by_row - rate).max() < 5 * sigma * T ** 0.5
    assert np.abs(dropped.mean(axis=(0, 1, 2)) - rate).max() < 5 * sigma * T ** 0.5
    factors = dropout.mask(rate, jax.random.key(0), jnp.arange(1), 1, jnp.arange(8), 8).block(0, 8, 0, 8)
    assert set(np.unique(factors)) <= {np.float32(0), np.float32(1 / (1 - rate))}


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_neighbours_are_independent(rate):
    """Rows, heads, queries, keys at distances 1 and 2 (and diagonally), layers and steps, which have keys of their own."""
    kept = drawn(rate, rows=np.arange(4))
    for axis in range(4):
        for shift in (1, 2):
            one, other = (np.take(kept, range(*part), axis) for part in ((0, kept.shape[axis] - shift), (shift, kept.shape[axis])))
            assert chi_square(one, other) < LIMIT
    assert chi_square(kept[:, :, 1:, 1:], kept[:, :, :-1, :-1]) < LIMIT and chi_square(kept[:, :, 1:, :-1], kept[:, :, :-1, 1:]) < LIMIT
    assert chi_square(kept, kept.swapaxes(2, 3)) < LIMIT * 2                  # the pairs (q, k) and (k, q); each counts twice
    layers = [jax.random.fold_in(jax.random.key(5), number) for number in range(3)]
    masks = [np.asarray(dropout.mask(rate, key, jnp.asarray(ROWS), HEADS, jnp.arange(T), T).block(0, T, 0, T)) > 0 for key in layers]
    assert chi_square(masks[0], masks[1]) < LIMIT and chi_square(masks[1], masks[2]) < LIMIT


def test_four_pairs_of_two_queries_and_two_keys_are_independent():
    """A sum of two hashes would make the fourth a function of the other three; the last mixing undoes that."""
    kept = drawn(0.5)
    odd = kept[..., ::2, ::2] ^ kept[..., 1::2, ::2] ^ kept[..., ::2, 1::2]
    assert chi_square(odd, kept[..., 1::2, 1::2]) < LIMIT


def test_the_bits_depend_on_the_place_in_the_global_batch_alone():
    whole, mask = drawn(), dropout.mask(0.1, jax.random.key(3), jnp.asarray(ROWS), HEADS, jnp.arange(T), T)
    np.testing.assert_array_equal(np.asarray(mask.block(32, 24, 40, 16)) > 0, whole[:, :, 32:56, 40:56])
    np.testing.assert_array_equal(np.asarray(mask.padded(T + 8, T + 24).block(96, 32, 96, 32)) > 0, whole[:, :, 96:, 96:])
    np.testing.assert_array_equal(drawn(rows=ROWS[2:]), whole[2:])
    np.testing.assert_array_equal(drawn(places=jnp.arange(32, 40)), whole[:, :, 32:40])
    each = jnp.broadcast_to(jnp.arange(32, 40), (3, 8))
    np.testing.assert_array_equal(drawn(places=each), whole[:, :, 32:40])


def test_bits_are_what_they_were():
    """Stored: a change of the hash changes the masks of runs that continue."""
    kept = dropout.mask(0.25, jax.random.key(1), jnp.array([2]), 1, jnp.arange(2), 16).block(0, 2, 0, 16)[0, 0] > 0
    assert [''.join('.x'[int(bit)] for bit in row) for row in np.asarray(kept)] == STORED


STORED = ['xxxxx.x.xxxxxxxx', 'x.xxxxxxxxx.xx.x']


def test_plain_drops_its_weights_by_these_factors():
    """With equal scores and values that name their key, the output is the weights themselves."""
    rule, key = rules.cross(*[jnp.ones((3, T), jnp.int32)] * 2), jax.random.key(3)
    query, value = jnp.zeros((3, HEADS, T, T)), jnp.broadcast_to(jnp.eye(T), (3, HEADS, T, T))
    weights = plain.attend(query, query, value, plain.prepare(rule), scale=1.0, dropout=(0.1, key, jnp.asarray(ROWS)))
    np.testing.assert_allclose(weights * T, np.where(drawn(), 1 / 0.9, 0), atol=1e-5)
