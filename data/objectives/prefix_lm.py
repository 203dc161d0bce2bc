"""Prefix LM: read the first part of a text in both directions, predict the rest (Raffel et al. 2020; Liu et al. 2018).

Rows are causal LM's packed ones (data/objectives/causal_lm.py). A piece of L tokens is cut after s of them, s uniform in 1..L-1 (T5's
`random_prefix_noise_mask` at density 0.5). The s tokens of the prefix see one another, and so does one position more, which reads the last
of them and predicts the first target (T5X's `PrefixLMFeatureConverter`). Only targets count: inside the prefix a position sees the token
that it would predict. Each piece with a target has at least one; T5 gives a text of one token an empty prefix or a padding target. T5 ends
its inputs with EOS as it ends its targets: `separator = 'eos'`.
"""
import dataclasses
from typing import Annotated

import numpy as np

from data import example, objectives
from data.rows import packing

SEPARATORS = ('none', 'eos')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, prefix and targets
    noise_density: Annotated[float, 'more than 0 and at most 0.5', 'share of a text that are targets, on average'] = 0.5
    separator: Annotated[str, SEPARATORS, 'what ends the prefix'] = 'none'

    architectures = ('decoder',)

    def problems(self, special=None):
        return super().problems(special) + objectives.refused(
            ('sequence_length', self.sequence_length >= 4, 'expected at least 4: a token, EOS, a token, EOS.'))

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/rows/packing.py), longest first. n is the same for every epoch."""
        return packing.rows(packing.ended(source.lengths), self.sequence_length, example.rng(seed, epoch, -1), self._marks)

    def transform(self, source, row, rng):
        special, size = source.special, self.sequence_length
        targets, lengths = packing.segments(source, row, size - self._marks)
        prefixes = rng.integers(*self._splits(targets, lengths, special))
        if self._marks:
            targets = np.insert(targets, np.cumsum(lengths) - lengths + prefixes, special.eos)
            prefixes, lengths = prefixes + 1, lengths + 1
        integers = example.prefix(lengths.tolist(), prefixes + 1, size)  # BOS, and the prefix
        weights = example.weights(len(targets), size).copy()
        weights[:len(targets)][integers['positions'][:len(targets)] < np.repeat(prefixes, lengths)] = 0
        targets = example.padded(targets, size, special.pad)
        tokens = example.shifted(targets, lengths.tolist(), special.bos)
        return {'tokens': tokens, 'targets': targets, 'weights': weights, **integers}

    def original(self, source, row):
        """The pieces of the row, EOS included, without what separates prefix and targets."""
        return packing.segments(source, row, self.sequence_length - self._marks)[0]

    def prefix(self, ids, special):
        """What the decoder reads of a prompt, behind BOS."""
        return [*ids, *[special.eos] * self._marks]

    def expected(self):
        return {'cut in the first half': 0.5}

    def realised(self, source, row, made):
        """Pieces that are cut in the lower half of the positions where they may be, among those not cut in the very middle."""
        low, high = self._splits(*packing.segments(source, row, self.sequence_length - self._marks), source.special)
        given = (made['segments'] > 0) & (made['weights'] == 0)
        cuts = np.bincount(made['segments'][given], minlength=len(low) + 1)[1:] - self._marks
        side = np.sign(low + high - 1 - 2 * cuts)
        return {'cut in the first half': (int((side > 0).sum()), int((side != 0).sum()))}

    @property
    def _marks(self):
        return int(self.separator == 'eos')

    def _splits(self, targets, lengths, special):
        """(low, high): pieces of these targets are cut after low..high-1 tokens."""
        text = lengths - (targets[np.cumsum(lengths) - 1] == special.eos)
        most = np.maximum(text - 1, 0)
        low = np.minimum(most, np.maximum(1, np.round((1 - 2 * self.noise_density) * most).astype(np.int64)))
        only = (text == 1) & (lengths == 2)   # a token and EOS: the token is the prefix
        return np.where(only, 1, low), np.where(only, 1, most) + 1
