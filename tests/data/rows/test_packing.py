"""Packing against best-fit decreasing done one item at a time, and concatenation against a loop."""
import collections

import numpy as np
import pytest

from data import example, special_tokens
from data.rows import packing
from data.text import cache

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(299, 44), vocab_size=300)


def rng(i=0):
    return example.rng(0, 0, i)


def naive_rows(lengths, size, limit):
    """Best-fit decreasing, item by item: rows of lengths."""
    rows = []
    for length in sorted(lengths, reverse=True):
        fits = [row for row in rows if sum(row) + length <= size and len(row) < limit]
        if fits:
            max(fits, key=sum).append(length)
        else:
            rows.append([length])
    return rows


def rows_of(table, lengths):
    return collections.Counter(tuple(sorted(lengths[i] for i in row[row >= 0])) for row in table)


def test_pieces_by_hand():
    pieces, lengths = packing.pieces([5, 0, 4, 9], 4)
    documents, starts = packing.split(pieces)
    assert documents.tolist() == [0, 0, 2, 3, 3, 3]
    assert starts.tolist() == [0, 4, 0, 0, 4, 8]
    assert lengths.tolist() == [4, 1, 4, 4, 4, 1]
    assert packing.pieces([], 4)[0].tolist() == []


def test_pieces_of_huge_corpora_stay_exact():
    pieces, _ = packing.pieces([3 * 2**30], 2**30)
    assert packing.split(pieces)[1].tolist() == [0, 2**30, 2**31]
    assert packing.split((2**31 - 1) * packing.START + 2**32 - 1) == (2**31 - 1, 2**32 - 1)


def test_pack_by_hand():
    table = packing.pack([3, 8, 5, 2, 6], 8, rng())
    assert sorted(tuple(row[row >= 0].tolist()) for row in table) == [(1,), (2, 0), (4, 3)]


@pytest.mark.parametrize('size, limit', [(16, None), (16, 3), (16, 1), (61, None), (128, None)])
@pytest.mark.parametrize('law', ['uniform', 'short', 'long', 'equal'])
def test_pack_equals_best_fit_decreasing(size, limit, law):
    draw = rng(1)
    laws = {'uniform': (1, size), 'short': (1, size // 4 + 1), 'long': (size // 2, size), 'equal': (size // 4, size // 4)}
    low, high = laws[law]
    lengths = draw.integers(low, high + 1, 300)
    table = packing.pack(lengths, size, rng(), limit)
    items = table[table >= 0]
    assert sorted(items) == list(range(len(lengths)))                       # every item exactly once
    assert max(sum(lengths[row[row >= 0]]) for row in table) <= size
    assert (table >= 0).sum(1).max() <= (limit or max(8, size // 8))
    naive = naive_rows(lengths.tolist(), size, limit or max(8, size // 8))
    if limit is None:
        sums = collections.Counter(sum(lengths[row[row >= 0]]) for row in table)  # equal rows are interchangeable
        assert len(table) == len(naive) and sums == collections.Counter(sum(row) for row in naive)
    assert len(table) <= 1.02 * len(naive) + 1


def test_rows_depend_on_lengths_alone_and_items_are_reshuffled():
    lengths = rng(1).integers(1, 33, 400)
    a, b, again = (packing.pack(lengths, 32, rng(i)) for i in (2, 3, 2))
    assert rows_of(a, lengths) == rows_of(b, lengths) and (a == again).all() and (a != b).any()


def test_items_of_one_length_are_equally_likely_partners():
    lengths, partners = np.array([6, 2, 2, 2, 8, 8]), collections.Counter()
    for i in range(900):
        table = packing.pack(lengths, 8, rng(i))
        partners[next(row[1] for row in table if row[0] == 0)] += 1
    assert set(partners) == {1, 2, 3} and max(abs(c - 300) for c in partners.values()) < 4 * np.sqrt(900 * 2 / 9)


def test_pack_of_nothing_and_of_bad_lengths():
    assert packing.pack([], 8, rng()).shape == (0, 1)
    with pytest.raises(ValueError, match='expected lengths in 1..8, got 0..9'):
        packing.pack([0, 9], 8, rng())


def test_a_million_documents_fill_their_rows():
    lengths = np.clip(np.exp(rng(1).normal(5.5, 1, 200_000)).astype(np.int64), 1, 1024)
    table = packing.pack(lengths, 1024, rng())
    assert lengths.sum() / (len(table) * 1024) > 0.995
    assert table.shape[1] <= 128


def concatenated(documents, table, size):
    source = cache.Tokens.from_arrays(documents, SPECIAL)
    return [packing.read(source, row, size).tolist() for row in table]


@pytest.mark.parametrize('size', [1, 3, 7, 50])
def test_concatenate_is_the_shuffled_text_cut_into_rows(size):
    lengths = rng(4).integers(0, 12, 30)
    documents = [np.full(n, 5 + i) for i, n in enumerate(lengths)]
    table = packing.concatenate(lengths, size, rng())
    rows = concatenated(documents, table, size)
    flat = sum(rows, [])
    assert len(rows) == -(-lengths.sum() // size) and all(len(row) == size for row in rows[:-1])
    order = list(dict.fromkeys(flat))                                       # each document once, in one stretch
    assert flat == [i for i in order for _ in range(lengths[i - 5])]
    assert collections.Counter(flat) == {5 + i: n for i, n in enumerate(lengths) if n}
    assert order != sorted(order)


def test_concatenate_reads_documents_from_start_to_end():
    documents = [np.arange(5, 5 + n) for n in (20, 3, 11)]
    table = packing.concatenate([20, 3, 11], 8, rng())
    flat = sum(concatenated(documents, table, 8), [])
    for document in documents:
        assert any(flat[i:i + len(document)] == document.tolist() for i in range(len(flat)))
    assert packing.concatenate([], 8, rng()).shape[0] == 0 == packing.concatenate([0, 0], 8, rng()).shape[0]


def test_concatenate_into_rows_of_different_sizes():
    lengths = [20, 3, 0, 11, 700, 1]
    documents, sizes = [[i] * n for i, n in enumerate(lengths)], np.array([50, 7, 300, 300, 1, 60, 40])
    table = packing.concatenate(lengths, sizes, rng())
    every = sum((concatenated(documents, table[i:i + 1], int(sizes[i])) for i in range(len(sizes))), [])
    assert [len(row) for row in every] == [50, 7, 300, 300, 1, 60, 17]
    same = concatenated(documents, packing.concatenate(lengths, 1000, rng()), 1000)
    assert sum(every, []) == same[0]
