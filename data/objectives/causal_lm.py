"""Causal language modelling: say each token from those before it (GPT; Radford et al. 2019), on packed rows.

Rows hold several documents that do not see one another, as in seqio and T5X: a document's targets are its tokens and
EOS, the decoder reads them shifted right with BOS at the first token, positions restart. A document longer than a row
is cut into pieces of the row's length; each starts with BOS, only the last ends with EOS. So every token and every EOS
is a target exactly once an epoch, and nothing is cropped.
"""
import dataclasses

import numpy as np

from data import example, packing


@dataclasses.dataclass(frozen=True)
class Objective:
    sequence_length: int = 0                  # T, targets in a row

    architectures = ('decoder',)
    hint = 'causal'
    likelihood = True
    shuffled = True
    needs = ()

    def lengths(self):
        return {'tokens': self.sequence_length, 'targets': self.sequence_length}

    def problems(self, special=None):
        return []

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row (data/packing.py), longest first. n is the same for every epoch."""
        pieces, lengths = packing.pieces(self._targets(source), self.sequence_length)
        rows = packing.pack(lengths, self.sequence_length, example.rng(seed, epoch, -1))
        return np.where(rows >= 0, pieces[rows], -1)

    def fill(self, source, seed=0):
        """Share of the target slots of an epoch that hold a token."""
        return float(self._targets(source).sum() / max(1, len(self.plan(source, seed, 0)) * self.sequence_length))

    def transform(self, source, row, rng):
        targets, lengths = self._read(source, row)
        total = len(targets)
        targets = example.padded(targets, self.sequence_length, source.special.pad)
        return {'tokens': example.shifted(targets, lengths, source.special.bos),
                'targets': targets,
                'weights': example.weights(total, self.sequence_length),
                **example.causal(lengths, self.sequence_length)}

    def original(self, source, row):
        """The targets of the row, EOS included: nothing is corrupted."""
        return self._read(source, row)[0]

    def _targets(self, source):
        lengths = source.lengths
        return lengths + (lengths > 0)         # an empty document has no EOS either

    def _read(self, source, row):
        """(targets int32[n], lengths of the segments)."""
        out, lengths = np.empty(self.sequence_length, np.int32), []
        filled = 0
        for document, start in zip(*(part.tolist() for part in packing.split(row[row >= 0]))):
            begin, end = int(source.offsets[document]) + start, int(source.offsets[document + 1])
            length = min(end - begin + 1, self.sequence_length)
            text = min(end - begin, length)
            out[filled:filled + text] = source.flat[begin:begin + text]
            out[filled + text:filled + length] = source.special.eos
            lengths.append(length)
            filled += length
        return out[:filled], lengths
