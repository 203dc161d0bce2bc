"""Deshuffling: the encoder reads the tokens in a random order and the decoder predicts them in the original one."""
import itertools

import numpy as np
import pytest

from data import example, special_tokens, tokenizer
from data.objectives import deshuffle
from data.rows import sides
from data.text import cache, sources

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
SOURCE = cache.Tokens.from_arrays([np.arange(5, 5 + n) for n in (300, 41, 1, 90)], SPECIAL)


def rows(objective, source, epoch=0):
    for i, row in enumerate(objective.plan(source, 0, epoch)):
        yield objective.original(source, row), objective.transform(source, row, example.rng(0, epoch, i))


@pytest.mark.parametrize('architecture', sides.ARCHITECTURES)
@pytest.mark.parametrize('density', [1.0, 0.3])
def test_inputs_are_the_targets_in_another_order(architecture, density):
    objective, moved, total = deshuffle.Objective(64, density, architecture), 0, 0
    for text, one in rows(objective, SOURCE):
        inputs, targets = sides.split(one)
        assert (targets == text).all() and sorted(inputs) == sorted(text) and len(text) <= 63
        moved, total = moved + np.sum(inputs != text), total + len(text)
    assert total == SOURCE.num_tokens
    assert moved > 0.9 * total if density == 1 else abs(moved / total - 0.3) < 4 * np.sqrt(0.21 / total) + 0.02  # fixed points


def test_every_order_is_equally_likely():
    source, objective = cache.Tokens.from_arrays([[10, 11, 12, 13]], SPECIAL), deshuffle.Objective(5)
    row, counts = objective.plan(source, 0, 0)[0], {}
    for i in range(4800):
        key = tuple(sides.split(objective.transform(source, row, example.rng(0, 0, i)))[0].tolist())
        counts[key] = counts.get(key, 0) + 1
    assert set(counts) == set(itertools.permutations([10, 11, 12, 13]))
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 23 + 4 * np.sqrt(46)


def test_dynamic_and_reproducible():
    objective = deshuffle.Objective(64)
    row = objective.plan(SOURCE, 0, 0)[0]
    one, again, other = (objective.transform(SOURCE, row, example.rng(0, epoch, 0)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one) and (one['encoder_tokens'] != other['encoder_tokens']).any()


def test_chinese_in_bytes():
    vocab = tokenizer.Bytes()
    text = next(iter(sources.open('bundled:sanguo')))[:500]
    source = cache.Tokens.from_arrays(vocab.encode_batch([text]), vocab.special, tokenizer=vocab)
    said = {row[0]: sides.split(deshuffle.Objective(64).transform(source, row, example.rng(0, 0, 0)))[1]
            for row in deshuffle.Objective(64).plan(source, 0, 0)}
    assert vocab.decode(np.concatenate([said[key] for key in sorted(said)])) == text


def test_lengths_and_problems():
    assert deshuffle.Objective(64).lengths() == {'tokens': 64, 'targets': 64, 'encoder_tokens': 64}
    decoder = deshuffle.Objective(64, architecture='decoder')
    assert decoder.lengths() == {'tokens': 128, 'targets': 128}
    assert (decoder.hint.order, deshuffle.Objective(64).hint.order) == ('ordered', 'causal')
    assert deshuffle.Objective(64).problems(SPECIAL) == []
    assert [key for key, _ in deshuffle.Objective(2, 0.0).problems()] == ['objective.noise_density', 'sequence_length']
