"""What the objective did over many examples beside what its settings say: shares with standard errors, fill, denoisers.

The standard error is that of `out of` independent draws of the configured share (of the realised one where no share is
configured). Objectives that fix a count draw less freely than that, so they lie closer than their error says.
"""
import collections
import dataclasses
import math
from typing import Optional

import numpy as np

FAR = 4                                       # standard errors: further is marked


@dataclasses.dataclass(frozen=True)
class Rate:
    name: str
    expected: Optional[float]                 # None: the settings say nothing
    count: float
    out_of: float

    @property
    def realised(self):
        return self.count / self.out_of if self.out_of else None

    @property
    def error(self):
        """Standard error, None without a draw."""
        share = self.realised if self.expected is None else self.expected
        if not self.out_of:
            return None
        return math.sqrt(max(share * (1 - share), 0) / self.out_of)

    @property
    def far(self):
        """By how many standard errors realised and expected differ; None where either is unknown."""
        if self.expected is None or not self.out_of:
            return None
        off = abs(self.realised - self.expected)
        return off / self.error if self.error else (0.0 if off < 1e-9 else math.inf)

    @property
    def off(self):
        """Whether they differ by more than chance does."""
        return self.far is not None and self.far > FAR


class Rates:
    """Sums over examples: `add` each, then read `rates`, `fill` and `denoisers`."""

    def __init__(self, objective, source):
        self.objective, self.source = objective, source
        self.expected = objective.expected()
        self.sums, self.filled, self.denoisers, self.examples = {}, {}, collections.Counter(), 0

    def add(self, look):
        fields, self.examples = look.example, self.examples + 1
        if look.denoiser is not None:
            self.denoisers[look.denoiser] += 1
        for name, pair in self.objective.realised(self.source, look.row, fields).items():
            self.sums[name] = np.add(self.sums.get(name, (0, 0)), pair)
        sides = {'tokens read': np.asarray(fields['segments']) != 0, 'targets that count': np.asarray(fields['weights']) > 0}
        if 'encoder_segments' in fields:
            sides['encoder tokens read'] = np.asarray(fields['encoder_segments']) != 0
        for owner in {None, int(fields['task']) if 'task' in fields else None}:
            for name, full in sides.items():
                key = (owner, name)
                self.filled[key] = np.add(self.filled.get(key, (0, 0)), (int(full.sum()), full.size))

    @property
    def rates(self):
        """[Rate], those with a configured share first."""
        names = [*self.expected, *(name for name in self.sums if name not in self.expected)]
        return [Rate(name, self.expected.get(name), *map(float, self.sums.get(name, (0, 0)))) for name in names]

    @property
    def waste(self):
        """[(field, share of its places that a row has only because rows of another kind are longer)] of a mixture."""
        return list(self.objective.waste().items())

    @property
    def fill(self):
        """[(task or None for all, what, tokens, out of)]: the rest is padding."""
        ordered = sorted(self.filled.items(), key=lambda item: (item[0][0] is not None, item[0][0] or 0))
        return [(owner, name, int(count), int(size)) for (owner, name), (count, size) in ordered]
