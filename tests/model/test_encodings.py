"""Rotary angles depend on distances alone; sinusoids, buckets, slopes and scaled frequencies are the published ones."""
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import encodings

STORED = json.loads((pathlib.Path(__file__).parents[2] / 'tests/fixtures/positions/transformers.json').read_text())


def test_rotary_scores_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    query, key = (jnp.broadcast_to(jnp.asarray(rng.normal(size=8), jnp.float32), (1, 1, 20, 8)) for _ in range(2))

    def scores(shift):
        rotation = encodings.angles(jnp.arange(20)[None] + shift, 8, 10000.0)
        return np.asarray(encodings.rotate(query, rotation)[0, 0] @ encodings.rotate(key, rotation)[0, 0].T)

    near = scores(0)
    for distance in range(-19, 20):
        assert np.ptp(np.diagonal(near, distance)) < 1e-4
    np.testing.assert_allclose(near, scores(1000), atol=2e-3)
    assert np.ptp(near) > 0.1


def test_rotary_is_a_rotation_of_pairs():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 1, 5, 6)), jnp.float32)
    place = np.array([0, 1, 2, 7, 30])
    turned = np.asarray(encodings.rotate(x, encodings.angles(jnp.asarray(place)[None], 6, 100.0)))[0, 0]
    for t, i in np.ndindex(5, 3):
        z = complex(x[0, 0, t, i], x[0, 0, t, i + 3]) * np.exp(1j * place[t] * 100.0 ** (-2 * i / 6))
        np.testing.assert_allclose([turned[t, i], turned[t, i + 3]], [z.real, z.imag], atol=1e-5)


def test_sinusoids():
    table = np.asarray(encodings.sinusoids(jnp.arange(50)[None], 16))[0]
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
    found = np.asarray(encodings.buckets(jnp.asarray(relative), count, distance, bidirectional))
    np.testing.assert_array_equal(found, expected)
    assert found.min() == 0 and found.max() == count - 1


def test_published_buckets():
    """Figures of T5 (32 buckets, 128): the boundaries where one bucket gives way to the next."""
    bidirectional = np.asarray(encodings.buckets(-jnp.arange(200), 32, 128, True))
    assert [int(np.argmax(bidirectional == b)) for b in range(16)] == [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
    causal = np.asarray(encodings.buckets(-jnp.arange(200), 32, 128, False))
    assert [int(np.argmax(causal == b)) for b in range(16, 32)] == [
        16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def test_relative_bias_looks_buckets_up():
    query, key = jnp.array([[0, 5, 9]]), jnp.array([[0, 1, 40, 3]])
    table = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    bias = encodings.Buckets(table, 20, bidirectional=True)(query, key)
    assert bias.shape == (1, 3, 3, 4)
    for n, t, s in np.ndindex(3, 3, 4):
        bucket = naive_bucket(int(key[0, s] - query[0, t]), 8, 20, True)
        np.testing.assert_allclose(bias[0, n, t, s], table[bucket, n], rtol=1e-6)
    counts = jax.grad(lambda table: encodings.Buckets(table, 20, bidirectional=True)(query, key).sum())(table)
    assert counts.sum() == 3 * 3 * 4


@pytest.mark.parametrize('stored', STORED['frequencies'], ids=lambda stored: str(stored['size']))
def test_scaled_frequencies_are_llamas(stored):
    found = np.asarray(encodings.scaled(stored['size'], stored['base'], *stored['scaling']))
    np.testing.assert_allclose(found, np.float32(stored['frequencies']), rtol=5e-7)
    cos, sin = encodings.angles(jnp.array([[0, 3]]), stored['size'], stored['base'], tuple(stored['scaling']))
    np.testing.assert_allclose(np.arctan2(sin, cos)[0, 0, 1], (3 * found + np.pi) % (2 * np.pi) - np.pi, atol=1e-6)


def test_scaling_keeps_fast_waves_and_stretches_slow_ones():
    """By the number of turns in 8,192 positions: above 4 as they were, below 1 eight times as long."""
    plain = 500000.0 ** -(np.arange(0, 128, 2) / 128)
    ratio = np.asarray(encodings.scaled(128, 500000.0, 8.0, 1.0, 4.0, 8192)) / plain
    turns = 8192 * plain / (2 * math.pi)
    np.testing.assert_allclose(ratio[turns > 4], 1, rtol=1e-6)
    np.testing.assert_allclose(ratio[turns < 1], 1 / 8, rtol=1e-6)
    between = (turns > 1) & (turns < 4)
    assert 3 < between.sum() < 10 and np.all(np.diff(ratio[between]) < 0)


@pytest.mark.parametrize('heads', [int(heads) for heads in STORED['slopes']])
def test_slopes_are_blooms(heads):
    np.testing.assert_allclose(encodings.slopes(heads), np.float32(STORED['slopes'][str(heads)]), rtol=2e-7)


def test_published_slopes():
    """Press et al.: 1/2, 1/4, ... of 8 heads; 16 heads have the geometric means between them too, of which 12 take the first."""
    eight = 2.0 ** -np.arange(1, 9)
    np.testing.assert_array_equal(encodings.slopes(8), eight)
    np.testing.assert_allclose(encodings.slopes(12), [*eight, *2.0 ** -np.array([0.5, 1.5, 2.5, 3.5])], rtol=1e-6)


@pytest.mark.parametrize('bidirectional', [False, True])
def test_alibi_is_a_loop_over_heads_and_pairs(bidirectional):
    """Positions of two packed texts and of one that is read backwards; keys that are more than the queries."""
    query, key = np.array([[0, 1, 2, 0, 1], [9, 8, 7, 6, 5]]), np.array([[0, 1, 2, 0, 1, 7], [9, 8, 7, 6, 5, 0]])
    found = np.asarray(encodings.Alibi(6, bidirectional)(jnp.asarray(query), jnp.asarray(key)))
    assert found.shape == (2, 6, 5, 6) and found.dtype == np.float32
    for b, n, t, s in np.ndindex(found.shape):
        slope = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3][n]
        distance = int(key[b, s]) - int(query[b, t])
        assert found[b, n, t, s] == pytest.approx(slope * (-abs(distance) if bidirectional else distance), rel=1e-6, abs=0)
