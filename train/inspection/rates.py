"""Rates over many examples beside what the settings expect: shares with standard errors, how full rows are, denoisers.

The standard error is that of `out of` independent draws of the expected share (of the realised one where no share is expected). Objectives
that fix a count draw less freely than that, so they lie closer than their error suggests.
"""
import collections
import dataclasses
import itertools
import math

import numpy as np

from data import objectives
from data.text import cache
from train.inspection import look as looks

FAR = 4                                       # standard errors: further is marked


@dataclasses.dataclass(frozen=True)
class Rate:
    name: str
    expected: float | None                    # None: no setting states it
    count: float
    out_of: float
    rough: bool = False                       # whether the settings state it but roughly

    @property
    def realised(self):
        return self.count / self.out_of if self.out_of else None

    @property
    def error(self):
        """Standard error, None without a draw."""
        share = self.realised if self.expected is None else self.expected
        return math.sqrt(max(share * (1 - share), 0) / self.out_of) if self.out_of else None

    @property
    def far(self):
        """By how many standard errors realised and expected differ; None where either is unknown."""
        if self.expected is None or not self.out_of:
            return None
        off = abs(self.realised - self.expected)
        return off / self.error if self.error else (0.0 if off < 1e-9 else math.inf)

    @property
    def off(self):
        """Whether they differ by more than chance does, where the settings state it roughly also by a quarter."""
        return self.far is not None and self.far > FAR and abs(self.realised - self.expected) > self.expected / 4 * self.rough


class Rates:
    """Sums over examples: `add` each, then read `rates`, `fill` and `denoisers`."""

    def __init__(self, objective: objectives.Objective, source: cache.Tokens):
        self.objective, self.source, self.expected = objective, source, objective.expected()
        self.sums, self.filled, self.denoisers, self.examples = {}, {}, collections.Counter(), 0

    def add(self, look: looks.Look) -> None:
        fields, self.examples = look.example, self.examples + 1
        if look.denoiser is not None:
            self.denoisers[look.denoiser] += 1
        for name, pair in self.objective.realised(self.source, look.row, fields).items():
            self.sums[name] = np.add(self.sums.get(name, (0, 0)), pair)
        sides = {'tokens read': np.asarray(fields['segments']) != 0, 'targets that count': np.asarray(fields['weights']) > 0}
        if 'encoder_segments' in fields:
            sides['encoder tokens read'] = np.asarray(fields['encoder_segments']) != 0
        for key in itertools.product({None, int(fields['task']) if 'task' in fields else None}, sides):
            full = sides[key[1]]
            self.filled[key] = np.add(self.filled.get(key, (0, 0)), (int(full.sum()), full.size))

    @property
    def rates(self) -> list[Rate]:
        """[Rate], those with a configured share first."""
        names = [*self.expected, *(name for name in self.sums if name not in self.expected)]
        return [Rate(name, self.expected.get(name), *map(float, self.sums.get(name, (0, 0))), name in self.objective.rough)
                for name in names]

    @property
    def fill(self) -> list[tuple]:
        """[(name of the task or None for all, what, tokens, out of)]: the rest is padding."""
        ordered = sorted(self.filled.items(), key=lambda item: (item[0][0] is not None, item[0][0] or 0))
        return [(None if owner is None else self.objective.task(owner), name, int(count), int(size))
                for (owner, name), (count, size) in ordered]
