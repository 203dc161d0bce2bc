"""The shuffle is a permutation for every n, and has Grain's numbers (tests/fixtures/shuffle) wherever Grain's is one."""
import json
import pathlib

import numpy as np
import pytest

from data import shuffle

STORED = json.loads((pathlib.Path(__file__).parents[2] / 'tests/fixtures/shuffle/grain.json').read_text())


def too_few_bits(largest):
    """Whether Grain counts ceil(log2(largest)) bits, one too few, and the next even number does not hold it either."""
    bits = (largest - 1).bit_length()
    return largest.bit_length() > max(16, bits + bits % 2)


def test_it_is_grains():
    same = [row for row in STORED if not too_few_bits(row[0])]
    assert len(same) > 250 and {row[0] for row in STORED if too_few_bits(row[0])} == {2**16, 2**18}
    for largest, seed, index, four, _ in same:  # the last: with six rounds
        assert int(shuffle.index_shuffle([index], max_index=largest, seed=seed)[0]) == four, (largest, seed, index)


def permuted(size, seed):
    """Whether every index of 0..size-1 comes exactly once."""
    counts = np.bincount(shuffle.index_shuffle(np.arange(size), max_index=size - 1, seed=seed), minlength=size)
    return len(counts) == size and (counts == 1).all()


def test_every_index_comes_once_for_every_small_size():
    assert [size for size in range(1, 2049) if not permuted(size, seed=size % 7)] == []


@pytest.mark.parametrize('power', range(12, 21))
def test_every_index_comes_once_around_powers_of_two(power):
    assert [size for size in (2**power - 1, 2**power, 2**power + 1, 2**power + 2) if not permuted(size, seed=5)] == []


def test_a_batch_is_its_indices_one_by_one():
    indices = np.random.default_rng(0).integers(10**6, size=100)
    together = shuffle.index_shuffle(indices, max_index=10**6, seed=3)
    assert together.tolist() == [int(shuffle.index_shuffle(i, max_index=10**6, seed=3)[0]) for i in indices]
    assert shuffle.index_shuffle(np.zeros(0, int), max_index=5, seed=0).tolist() == []
