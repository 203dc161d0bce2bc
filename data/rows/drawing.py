"""Which rows of a plan an evaluation of a few batches reads: a random sample, whose estimate of all rows has no bias.

Units are drawn without replacement in each stratum (Cochran 1977, Sampling Techniques, chapters 5 and 6): rows, of each member of a
mixture its own, or, where a batch continues the rows of the one before, stretches of a stream.
"""
from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """rows: the rows of each batch, as numbers of rows of the plan; -1 = none, a row of padding.
    units: the unit that each row belongs to; -1 = it counts for nothing: it only fills the memory of the rows after it.
    strata: (units drawn, units there are) of each stratum; units are numbered one stratum after another. () = everything is read.
    """
    rows: np.ndarray                          # int64[batches, B]
    units: np.ndarray                         # int64[batches, B]
    strata: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> bool:
        """Whether everything is read, so that nothing is estimated."""
        return not self.strata


def everything(count: int, size: int) -> Draw:
    """All rows of a plan of `count`, in its order, in batches of `size`."""
    rows = table(np.arange(count), size)
    return Draw(rows, np.where(rows < 0, -1, 0), ())


def scattered(groups: list[np.ndarray], count: int, size: int, rng: np.random.Generator) -> Draw:
    """About `count` rows, from each group of row numbers in proportion, at least two, without which there is no error of it, in batches
    of `size`."""
    counts = shares(np.array([len(group) for group in groups]), count, least=2)
    drawn = [rng.permutation(group)[:few] for group, few in zip(groups, counts)]
    units = table(rng.permutation(sum(counts)), size)  # rows of one group do not follow one another
    return Draw(np.where(units < 0, -1, np.concatenate(drawn)[units]), units, tuple(zip(counts, map(len, groups))))


def stretches(used: np.ndarray, batches: int, memory: int, rng: np.random.Generator) -> Draw:
    """Stretches of `batches` windows, a row each, of the streams whose windows are the columns of a plan.

    used: bool[W, B], whether a window has text. memory: windows before a stretch that are read so that it remembers them.
    """
    windows, size = used.shape
    starts = np.arange(0, windows, batches)
    columns = np.flatnonzero(used[0])
    drawn = rng.permutation(len(columns) * len(starts))[:size]
    column, start = columns[drawn // len(starts)], starts[drawn % len(starts)]
    at = start - memory + np.arange(memory + batches)[:, None]
    inside = (at >= 0) & (at < windows)
    rows, units = (np.full((memory + batches, size), -1, np.int64) for _ in range(2))
    rows[:, :len(drawn)] = np.where(inside, at * size + column, -1)
    units[memory:, :len(drawn)] = np.where(inside[memory:], np.arange(len(drawn)), -1)
    return Draw(rows, units, ((len(drawn), len(columns) * len(starts)),))


def joined(draws: list[Draw]) -> Draw:
    """Several draws, one after the other, each of strata of its own."""
    firsts = np.cumsum([0, *(sum(drawn for drawn, _ in draw.strata) for draw in draws)])
    units = [np.where(draw.units < 0, -1, draw.units + first) for draw, first in zip(draws, firsts)]
    return Draw(np.concatenate([draw.rows for draw in draws]), np.concatenate(units), sum((draw.strata for draw in draws), ()))


def shares(sizes: np.ndarray, count: int, least: int = 1) -> list[int]:
    """How many of `count` each group of these sizes gets in proportion: at least `least`, at most all of it."""
    return np.clip(np.round(count * sizes / max(sizes.sum(), 1)), np.minimum(sizes, least), sizes).astype(int).tolist()


def table(numbers: np.ndarray, size: int) -> np.ndarray:
    """int64[batches, size]: the numbers one after the other, -1 where the last batch is not full."""
    return np.pad(numbers.astype(np.int64), (0, -len(numbers) % size), constant_values=-1).reshape(-1, size)
