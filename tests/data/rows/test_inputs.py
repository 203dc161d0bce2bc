"""Rows of an encoder: where their text comes from, specials, separators between documents."""
import numpy as np
import pytest

from data import special_tokens
from data.rows import inputs, sentence_pairs
from data.text import cache

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(9999, 9744), vocab_size=10000)


def corpus(seed=0, count=30, empty=True):
    draw, documents, starts = np.random.default_rng(seed), [], []
    for i in range(count):
        lengths = draw.integers(1, 25, draw.integers(1, 9)) if not (empty and i % 7 == 3) else np.zeros(0, int)
        documents.append(draw.integers(5, 9744, lengths.sum()))
        starts.append(np.cumsum(lengths)[:-1])
    return cache.Tokens.from_arrays(documents, SPECIAL, starts)


def rows(name, source, size=40):
    plan = inputs.plan(name, source, size, 0.1, np.random.default_rng(0))
    return plan, [inputs.read(name, source, row) for row in plan]


@pytest.mark.parametrize('name', inputs.NAMES)
def test_rows_fit_and_are_framed(name):
    source = corpus()
    plan, found = rows(name, source)
    for row in found:
        assert row.ids.dtype == np.int32 and 3 <= len(row.ids) <= 40
        assert row.ids[0] == SPECIAL.cls and row.ids[-1] == SPECIAL.sep and row.ends[-1] == len(row.ids)
        assert (row.ids[np.array(row.ends) - 1] == SPECIAL.sep).all()
        assert np.sum(row.ids < 5) == 1 + len(row.ends) == 1 + len(row.begins)
        for first, last, begin in zip([1, *row.ends], row.ends, row.begins):
            assert (row.ids[first:last - 1] == source.flat[begin:begin + last - 1 - first]).all()
            assert not np.isin(source.offsets, np.arange(begin + 1, begin + last - 1 - first)).any()   # one document
    parts = {'document': {1}, 'doc_sentences': {1}, 'full_sentences': set(range(1, 39))}.get(name, {2})
    assert {len(row.ends) for row in found} <= parts


@pytest.mark.parametrize('name', ['document', 'doc_sentences', 'full_sentences'])
def test_every_token_once_in_order(name):
    source = corpus()
    _, found = rows(name, source)
    text = np.concatenate([row.ids[row.ids >= 5] for row in found])
    assert (text == source.flat).all()


def test_full_sentences_by_hand():
    """Documents of sentences of 3, 2 | 1 | 5, 2 tokens; a separator between documents counts."""
    source = cache.Tokens.from_arrays([[11, 12, 13, 21, 22], [31], [41, 42, 43, 44, 45, 46, 47]], SPECIAL, [[3], [], [5]])
    _, found = rows('full_sentences', source, 10)
    assert [row.ids.tolist() for row in found] == [[3, 11, 12, 13, 21, 22, 4, 31, 4], [3, 41, 42, 43, 44, 45, 46, 47, 4]]
    assert [row.ends for row in found] == [[7, 9], [9]] and [row.begins for row in found] == [[0, 5], [6]]
    _, found = rows('full_sentences', source, 8)          # 1 + 1 + 5 > 6
    assert [row.ids.tolist() for row in found] == [
        [3, 11, 12, 13, 21, 22, 4], [3, 31, 4], [3, 41, 42, 43, 44, 45, 4], [3, 46, 47, 4]]
    _, found = rows('doc_sentences', source, 10)
    assert [row.ids.tolist() for row in found] == [[3, 11, 12, 13, 21, 22, 4], [3, 31, 4], [3, 41, 42, 43, 44, 45, 46, 47, 4]]


@pytest.mark.parametrize('name, kind', [('next_sentence', sentence_pairs.RANDOM), ('sentence_order', sentence_pairs.SWAPPED)])
def test_pairs_by_plan(name, kind):
    plan, found = rows(name, corpus())
    assert plan.shape[1] == 5 and kind in plan[:, 4]
    assert [row.begins for row in found] == plan[:, [0, 2]].tolist()
