"""Which blocks of queries and keys attention by blocks computes: those that the hint does not exclude."""
import dataclasses

import numpy as np

from model.attention import rule as rules

BLOCK = 256                                   # queries and keys of a block, at most; multiples of 8


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Which blocks are computed, of how many queries and keys each."""
    query_size: int
    key_size: int
    query_count: int                          # blocks of queries
    key_count: int                            # blocks of keys
    visited: tuple                            # ((first, end) of the blocks of keys of each block of queries)

    def visitors(self) -> tuple:
        """((first, end) of the blocks of queries that visit each block of keys)."""
        seen = [[i for i, (first, end) in enumerate(self.visited) if first <= j < end] for j in range(self.key_count)]
        return tuple((each[0], each[-1] + 1) if each else (0, 0) for each in seen)


def of(T: int, S: int, hint: rules.Hint, widest: int | None) -> Blocks:
    """The blocks of T queries and S keys by what the hint promises. widest: the largest window of any layer, None = unlimited."""
    queries, keys = -(-T // BLOCK), -(-S // BLOCK)
    Q, C = (8 * -(-size // (8 * count)) for size, count in ((T, queries), (S, keys)))
    first = hint.offset + np.arange(queries) * Q                       # the keys of the first and the last query of each block
    last = hint.offset + np.minimum(np.arange(1, queries + 1) * Q, T) - 1
    lowest, highest = np.zeros(queries, int), np.full(queries, S - 1)
    if hint.order == 'causal':
        highest = np.minimum(highest, last)
    if hint.order != 'ordered' and widest is not None and not hint.offset:
        lowest, highest = np.maximum(lowest, first - widest + 1), np.minimum(highest, last + widest - 1)
    return Blocks(Q, C, queries, keys, tuple((int(a) // C, int(b) // C + 1) for a, b in zip(lowest, highest)))
