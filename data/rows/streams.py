"""A corpus as a few long streams that are read side by side, window after window (Transformer-XL, XLNet's `batchify`).

The documents of an epoch, in random order, each followed by EOS, are one text, which is cut into equal streams. A stream may also be read
backwards. Nothing is copied: a stream reads its tokens and the bounds of its sentences from the source. EOS belongs to the sentence
before it, as in XLNet's `_create_data`.
"""
import functools
from typing import Any

import numpy as np

from data import example


class Text:
    """All documents of a source in the random order of `key`, each followed by EOS: M tokens at the positions 0..M - 1."""

    def __init__(self, source: Any, key: int):
        self.source = source
        self.order = example.rng(int(key), 0, -1).permutation(np.flatnonzero(source.lengths))
        self.ends = np.cumsum(source.lengths[self.order] + 1)
        self.begins = self.ends - source.lengths[self.order] - 1

    def read(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens int32[end - begin], and the positions begin < i < end where sentences start, int64[s] ascending."""
        source, cuts = self.source, [np.empty(0, np.int64)]
        tokens = np.full(end - begin, source.special.eos, np.int32)
        for number in range(*(np.searchsorted(self.ends, (begin, end - 1), side='right') + (0, 1))):
            first, document = self.begins[number], self.order[number]
            low, high = max(begin, first), min(end, self.ends[number] - 1)
            shift = source.offsets[document] - first  # from a place in the text to one in the source
            tokens[low - begin:max(low, high) - begin] = source.flat[low + shift:high + shift]
            among = np.searchsorted(source.sentence_offsets, (low + shift, high + shift))
            cuts.append(source.sentence_offsets[slice(*among)] - shift)
        cuts = np.concatenate(cuts).astype(np.int64)
        return tokens, cuts[(cuts > begin) & (cuts < end)]

    def sentence(self, place: int) -> tuple[int, int]:
        """(begin, end) of the sentence at a place."""
        number = np.searchsorted(self.ends, place, side='right')
        document, eos = self.order[number], self.ends[number] - 1
        shift, starts = self.source.offsets[document] - self.begins[number], self.source.sentence_offsets
        after = np.searchsorted(starts, min(place, eos - 1) + shift, side='right')
        last = after == len(starts) or starts[after] - shift >= eos
        return int(starts[after - 1] - shift), int(eos + 1 if last else starts[after] - shift)


class Stream:
    """Tokens begin..end - 1 of a text, forwards or backwards. Its own positions count from 0 in the direction of reading."""

    def __init__(self, text: Text, begin: int, end: int, backwards: bool):
        self.text, self.begin, self.end, self.backwards = text, begin, end, backwards

    def __len__(self):
        return self.end - self.begin

    def read(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """As Text.read; backwards, a sentence starts where forwards it ends."""
        tokens, cuts = self.text.read(*self._in_text(begin, end))
        return (tokens[::-1], self.end - cuts[::-1]) if self.backwards else (tokens, cuts - self.begin)

    def sentence(self, place: int) -> tuple[int, int]:
        """As Text.sentence, cut at the ends of the stream."""
        begin, end = self.text.sentence(self._in_text(place, place + 1)[0])
        begin, end = (self.end - end, self.end - begin) if self.backwards else (begin - self.begin, end - self.begin)
        return max(begin, 0), min(end, len(self))

    def _in_text(self, begin, end):
        """Positions in the stream as positions in the text."""
        return (self.end - end, self.end - begin) if self.backwards else (self.begin + begin, self.begin + end)


text = functools.lru_cache(maxsize=4)(Text)   # of the last few epochs


def plan(source: Any, rows: int, size: int, step: int, directions: str, rng: np.random.Generator) -> np.ndarray:
    """int64[n, 6]: row i is a window of stream i % rows, and row i + rows the window `step` tokens later.

    A row: the key of the text, begin and end of the stream, start of the window of `size` tokens in it, whether it is read backwards, and a
    random number. directions: 'forward', or 'both': the second half of the rows reads the streams of the first half backwards. Where there
    is too little text for that many streams of at least `size` tokens, rows are empty: -1. n = 0 if there is not enough for one.
    """
    ways = {'forward': 1, 'both': 2}[directions]
    total = int(np.sum(source.lengths + (source.lengths > 0)))
    count = min(rows // ways, total // size)
    length = total // max(count, 1)
    windows = (length - size) // step + 1 if count else 0
    table = np.full((windows, ways, rows // ways, 6), -1, np.int64)
    key, draws = rng.integers(2**62), rng.integers(2**62, size=table.shape[:3])
    used = table[:, :, :count]
    begins = np.arange(count) * length
    columns = key, begins, begins + length, (np.arange(windows) * step)[:, None, None], np.arange(ways)[:, None], draws[..., :count]
    for i, column in enumerate(columns):
        used[..., i] = column
    return table.reshape(-1, 6)
