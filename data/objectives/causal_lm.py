"""Causal language modelling: predict each token from those before it (GPT; Radford et al. 2019).

`documents` decides how text becomes rows. `packed`, as in seqio and T5X: a row holds several documents, each a segment; a document's
targets are its tokens and EOS, the decoder reads them shifted right with BOS first, positions restart; a document longer than a row is cut,
each piece starts with BOS, only the last ends with EOS. `stream`: all documents in their order, each between two EOS, cut into rows without
regard to documents. Both predict every token and every EOS exactly once an epoch. `windows` is nanoGPT's reading of that stream: rows that
start anywhere, drawn with replacement.
"""
import dataclasses
from typing import Annotated

import numpy as np

from data import example, objectives
from data.rows import packing

DOCUMENTS = ('packed', 'stream', 'windows')


@dataclasses.dataclass(frozen=True)
class Objective(objectives.Objective):
    sequence_length: int = 0                  # T, targets in a row
    documents: Annotated[str, DOCUMENTS, 'how documents fill rows'] = 'packed'

    architectures = ('decoder',)
    likelihood = True

    @property
    def hint(self):
        return objectives.Hint('causal', 'packed' if self.documents == 'packed' else 'padded')

    def plan(self, source, seed, epoch):
        """int64[n, k]: the pieces of each row, or of a stream the one where it starts. n is the same for every epoch."""
        size, rng, lengths = self.sequence_length, example.rng(seed, epoch, -1), packing.ended(source.lengths)
        if self.documents == 'packed':
            return packing.rows(lengths, size, rng)
        ends = np.cumsum(lengths)
        starts = np.arange(0, ends[-1] if len(ends) else 0, size)
        if self.documents == 'windows' and len(starts):    # the first target is the second token at the earliest
            starts = 1 + rng.integers(max(1, ends[-1] - size), size=len(starts))
        found = np.searchsorted(ends, starts, side='right')
        return (found * packing.START + starts - (ends - lengths)[found])[:, None]

    def coverage(self, source, rows):
        if self.documents != 'windows':
            return 1.0
        documents, starts = packing.split(rows[:, 0])
        ends = np.cumsum(packing.ended(source.lengths))
        begins = (ends - packing.ended(source.lengths))[documents] + starts
        return packing.union(begins, begins + self.sequence_length) / int(ends[-1])

    def transform(self, source, row, rng):
        targets, lengths, first = self._read(source, row)
        total = len(targets)
        targets = example.padded(targets, self.sequence_length, source.special.pad)
        return {'tokens': example.shifted(targets, lengths, first), 'targets': targets,
                'weights': example.weights(total, self.sequence_length), **example.causal(lengths, self.sequence_length)}

    def original(self, source, row):
        """The targets of the row, EOS included: nothing is corrupted."""
        return self._read(source, row)[0]

    def _read(self, source, row):
        """(targets int32[n], lengths of the segments, the first token that the decoder reads in each)."""
        if self.documents == 'packed':
            targets, lengths = packing.segments(source, row, self.sequence_length)
            return targets, lengths.tolist(), source.special.bos
        document, start = packing.split(int(row[0]))
        before = source.special.eos if start == 0 else int(source.flat[source.offsets[document] + start - 1])
        targets = _stream(source, document, start, self.sequence_length)
        return targets, [len(targets)], before


def _stream(source, document, start, size):
    """int32[<= size]: the stream from token `start` of a document on, EOS after each document that is not empty."""
    begin = int(source.offsets[document]) + start
    ends = np.unique(source.offsets[document + 1:np.searchsorted(source.offsets, begin + size, side='right')])
    return np.insert(source.flat[begin:begin + size].astype(np.int32), ends - begin, source.special.eos)[:size]
