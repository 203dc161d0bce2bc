"""The shuffle is Grain's, number by number, and a permutation."""
import sys

import numpy as np
import pytest

from data import pipeline, shuffle


def test_it_is_grains():
    from grain import experimental
    rng = np.random.default_rng(0)
    sizes = [1, 2, 3, 255, 256, 65534, 65535, 65536, 65537, 2**18 - 1, 2**18, 2**18 + 1, 2**20 + 1, 2**31 - 2, 2**31 - 1]
    sizes += rng.integers(1, 2**31 - 1, 100).tolist() + rng.integers(1, 100_000, 100).tolist()
    for size in sizes:
        for seed in [0, 1, 2**32 - 1, *rng.integers(0, 2**32, 4).tolist()]:
            index = int(rng.integers(size + 1))
            for rounds in (4, 6):
                expected = experimental.index_shuffle(index, max_index=size, seed=seed, rounds=rounds)
                assert shuffle.index_shuffle(index, max_index=size, seed=seed, rounds=rounds) == expected, (index, size, seed)


@pytest.mark.parametrize('size', [1, 2, 7, 1000, 70_000])
def test_every_index_comes_once(size):
    assert sorted(shuffle.index_shuffle(i, max_index=size - 1, seed=5) for i in range(size)) == list(range(size))


def test_the_pipeline_places_alike_with_and_without_grain(monkeypatch):
    from data import special_tokens
    from data.objectives import causal_lm
    from data.text import cache
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(300, 290), vocab_size=301)
    source = cache.Tokens.from_arrays([np.arange(5, 25)] * 50, special)
    places = lambda: [pipeline.place(causal_lm.Objective(16), source, 3, i) for i in range(150)]
    import grain
    assert sys.modules['grain'] is grain
    expected = places()
    monkeypatch.delitem(sys.modules, 'grain')
    assert places() == expected and len(set(expected)) == 150
