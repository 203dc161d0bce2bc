"""Deshuffling: read the tokens of a text in a random order, predict them in the right one (Liu et al. 2019; T5's study, `all_permute`).

Rows are cut as for span corruption: documents joined, shuffled each epoch, one token less than the inputs hold, for EOS. With
`noise_density` below 1 tokens are chosen one by one and exchange positions among themselves (T5's `permute_noise_tokens`).
"""
import dataclasses
from typing import Annotated

import numpy as np

from data import example, objectives
from data.noise import spans
from data.rows import packing, sides


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # of the inputs, and of the targets; EOS included
    noise_density: Annotated[float, 'more than 0 and at most 1', 'share of the tokens that are shuffled'] = 1.0
    architecture: str = 'encoder_decoder'

    architectures = sides.ARCHITECTURES
    hint = property(sides.hint)

    def lengths(self):
        return sides.lengths(self.architecture, self.sequence_length, self.sequence_length)

    def problems(self, special=None):
        return super().problems(special) + objectives.refused(
            ('sequence_length', self.sequence_length >= 3, 'expected at least 3: two tokens and EOS.'))

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/rows/packing.py). n is the same for every epoch."""
        return packing.concatenate(source.lengths, self.sequence_length - 1, example.rng(seed, epoch, -1))

    def transform(self, source, row, rng):
        text = self.original(source, row)
        if self.noise_density == 1:
            inputs = rng.permutation(text)
        else:
            inputs, moved = text.copy(), np.flatnonzero(spans.iid(len(text), self.noise_density, rng))
            inputs[moved] = text[rng.permutation(moved)]
        return sides.fields(inputs, text, self.sequence_length, self.lengths(), source.special)

    def original(self, source, row):
        """The tokens of the row in their order, without EOS."""
        return packing.read(source, row, self.sequence_length - 1)
