"""Which pieces of which documents share a row, planned for an epoch with numpy, without a loop over tokens or documents.

`pack` is longest-pack-first histogram packing (Krell et al. 2021, "Efficient sequence packing without cross-contamination"): best-fit
decreasing on the histogram of lengths, so its loop runs over distinct lengths. The number of rows depends on the lengths alone; which piece
goes where is drawn anew each epoch. `concatenate` is T5's: documents one after the other, cut into full rows.

A plan row is int64[k]: pieces, -1 where there is none. A piece is a document and its first token there in one integer, document * 2**32 +
start.
"""
import bisect
from typing import Any

import numpy as np

START = 2**32  # documents are shorter than this, and there are fewer than 2**31 of them


def pieces(lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts documents of these lengths into pieces of at most `size` tokens: (pieces, lengths), int64[n] each."""
    lengths = np.asarray(lengths, np.int64)
    counts = -(-lengths // size)
    documents = np.repeat(np.arange(len(lengths)), counts)
    starts = (np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)) * size
    return documents * START + starts, np.minimum(lengths[documents] - starts, size)


def split(piece: Any) -> tuple:
    """(document, start) of a piece or an array of pieces."""
    return piece // START, piece % START


def pack(lengths: np.ndarray, size: int, rng: np.random.Generator, limit: int | None = None) -> np.ndarray:
    """Rows of at most `size` tokens and `limit` items: int64[n, k] indices into `lengths` (1..size), -1 = none.

    Every item is in exactly one row. limit=None is size // 8, at least 8: then the table takes at most a byte for each token of a row, and
    only corpora whose documents average less than 8 tokens fill their rows less well.
    """
    lengths = np.asarray(lengths, np.int64)
    if lengths.size and not 1 <= lengths.min() <= lengths.max() <= size:
        raise ValueError(f'expected lengths in 1..{size}, got {lengths.min()}..{lengths.max()}')
    groups = _groups(np.bincount(lengths, minlength=size + 1), size, limit or max(8, size // 8))
    # Items of one length are interchangeable: shuffle all, sort by length, take them in turn.
    order = rng.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind='stable')]
    taken = np.searchsorted(lengths[order], np.arange(size + 1))
    most = max([sum(repeat for _, repeat in runs) for runs, _ in groups], default=1)
    table = np.full((sum(count for _, count in groups), most), -1)
    row = 0
    for runs, count in groups:
        column = 0
        for length, repeat in runs:
            items = order[taken[length]:taken[length] + count * repeat]
            table[row:row + count, column:column + repeat] = items.reshape(count, repeat)
            taken[length] += count * repeat
            column += repeat
        row += count
    return table


def ended(lengths: np.ndarray) -> np.ndarray:
    """int64[D]: the targets of documents of these lengths, with EOS; an empty document has none."""
    return lengths + (lengths > 0)


def rows(lengths: np.ndarray, size: int, rng: np.random.Generator, extra: int = 0) -> np.ndarray:
    """int64[n, k]: the pieces of each row of `size`, longest first, of documents of these lengths, each in a segment of its own. extra:
    positions that every piece needs besides its tokens. n is the same for every epoch."""
    cut, lengths = pieces(lengths, size - extra)
    packed = pack(lengths + extra, size, rng)
    return np.where(packed >= 0, cut[packed], -1)


def segments(source: Any, row: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(int32[n], int64[k]): the tokens of a row of `rows(ended(lengths), size)`, EOS included, and the length of each piece."""
    documents, starts = split(row[row >= 0])
    begins, ends = source.offsets[documents] + starts, source.offsets[documents + 1]
    lengths = np.minimum(ends - begins + 1, size)
    out = np.full(lengths.sum(), source.special.eos, np.int32)
    for at, begin, text in zip(*(part.tolist() for part in (np.cumsum(lengths) - lengths, begins, np.minimum(ends - begins, lengths)))):
        out[at:at + text] = source.flat[begin:begin + text]
    return out, lengths


def concatenate(lengths: np.ndarray, size: int | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Documents in a shuffled order, one after the other, cut into rows of `size` tokens: int64[n, k] pieces. A row reads its pieces to the
    end of their documents until it is full; the last row may be short. size: of all rows, or int64[n]."""
    order = rng.permutation(np.flatnonzero(lengths))
    lengths = np.asarray(lengths, np.int64)[order]
    ends = np.cumsum(lengths)
    cuts = np.cumsum(size) - size if np.ndim(size) else np.arange(0, ends[-1] if len(ends) else 0, size)
    begins = ends - lengths
    first = np.searchsorted(ends, cuts, side='right')              # the document that holds the row's first token
    last = np.searchsorted(begins, cuts + size, side='left') - 1   # and its last
    index = first[:, None] + np.arange(max(last - first, default=0) + 1)
    inside = index <= last[:, None]
    index = np.minimum(index, len(order) - 1)
    starts = np.maximum(cuts[:, None] - begins[index], 0)
    return np.where(inside, order[index] * START + starts, -1)


def read(source: Any, row: np.ndarray, size: int) -> np.ndarray:
    """int32[<= size]: the tokens of a row of `concatenate`."""
    documents, starts = split(row[row >= 0])
    begins, ends = source.offsets[documents] + starts, source.offsets[documents + 1]
    parts = [source.flat[begin:end] for begin, end in zip(begins.tolist(), np.minimum(ends, begins + size).tolist())]
    return np.concatenate(parts)[:size].astype(np.int32)


def union(begins: np.ndarray, ends: np.ndarray) -> int:
    """How many integers lie in at least one of the ranges begins[i] .. ends[i] - 1."""
    order = np.argsort(begins)
    begins, reach = begins[order], np.maximum.accumulate(ends[order])
    return int(np.maximum(reach - np.maximum(begins, np.append(begins[:1], reach[:-1])), 0).sum())


def _groups(histogram, size, limit):
    """[(((length, repeat), ...), rows)]: rows that hold the same lengths. Best-fit decreasing, equal items at once."""
    done, open_, gaps = [], {}, []  # open_: gap -> [(runs, items, rows)], gaps: its keys, ascending

    def put(runs, items, gap, rows):
        if gap == 0 or items == limit:
            done.append((runs, rows))
            return
        if gap not in open_:
            bisect.insort(gaps, gap)
        open_.setdefault(gap, []).append((runs, items, rows))

    for length in range(size, 0, -1):
        count = int(histogram[length])
        while count:
            place = bisect.bisect_left(gaps, length)
            if place < len(gaps):
                gap = gaps[place]
                runs, items, rows = open_[gap].pop()
                if not open_[gap]:
                    del open_[gap], gaps[place]
            else:
                gap, runs, items, rows = size, (), 0, count
            repeat = min(gap // length, limit - items)
            used = min(rows, count // repeat)
            if used:                       # rows that take as many as they can
                put(runs + ((length, repeat),), items + repeat, gap - repeat * length, used)
                count -= used * repeat
                rows -= used
            if rows and count:             # fewer are left than one row takes
                put(runs + ((length, count),), items + count, gap - count * length, 1)
                rows, count = rows - 1, 0
            if rows and gap < size:        # untouched
                put(runs, items, gap, rows)
    return done + [(runs, rows) for group in open_.values() for runs, _, rows in group]
