"""Rotary angles depend on distances alone, sinusoids and buckets are the published ones."""
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import config as model_config
from model import positions


def test_rotary_scores_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    query, key = (jnp.broadcast_to(jnp.asarray(rng.normal(size=8), jnp.float32), (1, 1, 20, 8)) for _ in range(2))

    def scores(shift):
        rotation = positions.angles(jnp.arange(20)[None] + shift, 8, 10000.0)
        return np.asarray(positions.rotate(query, rotation)[0, 0] @ positions.rotate(key, rotation)[0, 0].T)

    near = scores(0)
    for distance in range(-19, 20):
        assert np.ptp(np.diagonal(near, distance)) < 1e-4
    np.testing.assert_allclose(near, scores(1000), atol=2e-3)
    assert np.ptp(near) > 0.1


def test_rotary_is_a_rotation_of_pairs():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 5, 6)), jnp.float32)
    place = np.array([0, 1, 2, 7, 30])
    turned = np.asarray(positions.rotate(x, positions.angles(jnp.asarray(place)[None], 6, 100.0)))[0, 0]
    for t, i in np.ndindex(5, 3):
        z = complex(x[0, 0, t, i], x[0, 0, t, i + 3]) * np.exp(1j * place[t] * 100.0 ** (-2 * i / 6))
        np.testing.assert_allclose([turned[t, i], turned[t, i + 3]], [z.real, z.imag], atol=1e-5)


def test_sinusoids():
    table = np.asarray(positions.sinusoids(jnp.arange(50)[None], 16))[0]
    for place, i in [(0, 0), (1, 0), (7, 3), (49, 7), (30, 1)]:
        angle = place / 10000 ** (2 * i / 16)
        np.testing.assert_allclose(table[place, 2 * i: 2 * i + 2], [math.sin(angle), math.cos(angle)], atol=1e-5)


def naive_bucket(relative, count, distance, bidirectional):
    """The function of the T5 paper's code, one number at a time, in exact enough arithmetic."""
    bucket, n = 0, -relative
    if bidirectional:
        count //= 2
        bucket += count if n < 0 else 0
        n = abs(n)
    else:
        n = max(n, 0)
    exact = count // 2
    if n < exact:
        return bucket + n
    far = math.log(n / exact) / math.log(distance / exact)
    return bucket + min(exact + math.floor(far * (count - exact) + 1e-9), count - 1)


@pytest.mark.parametrize('bidirectional', [True, False])
@pytest.mark.parametrize('count,distance', [(32, 128), (32, 256), (8, 20), (64, 1000)])
def test_buckets(bidirectional, count, distance):
    relative = np.arange(-1200, 1200)
    expected = [naive_bucket(int(n), count, distance, bidirectional) for n in relative]
    found = np.asarray(positions.buckets(jnp.asarray(relative), count, distance, bidirectional))
    np.testing.assert_array_equal(found, expected)
    assert found.min() == 0 and found.max() == count - 1


def test_published_buckets():
    """Figures of T5 (32 buckets, 128): the boundaries where one bucket gives way to the next."""
    bidirectional = np.asarray(positions.buckets(-jnp.arange(200), 32, 128, True))
    assert [int(np.argmax(bidirectional == b)) for b in range(16)] == [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
    causal = np.asarray(positions.buckets(-jnp.arange(200), 32, 128, False))
    assert [int(np.argmax(causal == b)) for b in range(16, 32)] == [
        16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def test_relative_bias_looks_buckets_up():
    config = model_config.Config(vocab_size=10, heads=3, relative_buckets=8, relative_distance=20)
    module = positions.Relative(config, bidirectional=True, name='positions')
    query, key = jnp.array([[0, 5, 9]]), jnp.array([[0, 1, 40, 3]])
    params = {'embedding': jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)}
    bias = module.apply({'params': params}, query, key)
    assert bias.shape == (1, 3, 3, 4)
    for n, t, s in np.ndindex(3, 3, 4):
        bucket = naive_bucket(int(key[0, s] - query[0, t]), 8, 20, True)
        np.testing.assert_allclose(bias[0, n, t, s], params['embedding'][bucket, n], rtol=1e-6)
    counts = jax.grad(lambda p: module.apply({'params': p}, query, key).sum())(params)['embedding']
    assert counts.sum() == 3 * 3 * 4
