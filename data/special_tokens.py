"""The ids of a vocabulary that are not text.

Layout (T5's, with BERT's symbols added): text pieces below, sentinels at the very top, counted downwards, so that
the j-th masked span of a row is `vocab_size - 1 - j` whatever the rest of the vocabulary looks like. At least 256
sentinels: the 100 of T5 run out at 1,810 input tokens (density 0.15, spans of 3).
"""
import dataclasses
from typing import Tuple

import numpy as np

SENTINELS = 256
NAMES = ('pad', 'eos', 'mask', 'cls', 'sep', 'bos')
# Further marks that some objectives need. They take the last sentinels, counted upwards, so that every vocabulary has them.
MARKS = ('fim_prefix', 'fim_suffix', 'fim_middle', 'nlu', 's2s', 'nlg')


@dataclasses.dataclass(frozen=True)
class Special:
    """Ids with a meaning of their own.

    `sentinels` is (first, last): the first one used has the highest id, `vocab_size - 1`, and they descend. `bos`,
    what a decoder reads first, is `pad` unless the vocabulary says otherwise (seqio, T5). `others` are further ids
    that never stand for text, such as `<unk>` and a foreign model's control symbols. A foreign vocabulary may lack a mask,
    `mask` = -1, and sentinels, `sentinels` = (vocab_size - 1, vocab_size), of which there are 0; roles may share an id.
    """
    pad: int
    eos: int
    mask: int
    cls: int
    sep: int
    sentinels: Tuple[int, int]
    vocab_size: int
    bos: int = -1
    others: Tuple[int, ...] = ()

    def __post_init__(self):
        if self.bos < 0:
            object.__setattr__(self, 'bos', self.pad)
        object.__setattr__(self, 'sentinels', tuple(int(i) for i in self.sentinels))
        object.__setattr__(self, 'others', tuple(int(i) for i in self.others))
        first, last = self.sentinels
        if last == first + 1:
            object.__setattr__(self, 'sentinels', (self.vocab_size - 1, self.vocab_size))
        ids = [*self._single(), *range(last, first + 1)[:1], *range(last, first + 1)[-1:], *self.others]
        if min(ids) < 0 or max(ids) >= self.vocab_size or last > first + 1:
            raise ValueError(f'special ids must lie in [0, vocab_size) and sentinels descend, got {self}')

    @property
    def num_sentinels(self):
        return self.sentinels[0] - self.sentinels[1] + 1

    def sentinel(self, j):
        """Id of the j-th sentinel, int or array; ValueError when they run out."""
        if np.any(np.asarray(j) < 0) or np.any(np.asarray(j) >= self.num_sentinels):
            raise ValueError(f'expected at most {self.num_sentinels} masked spans in a row, got span {np.max(j)}; '
                             'lower sequence_length or the noise density, or use longer spans')
        return self.sentinels[0] - j

    def mark(self, name):
        """Id of one of MARKS; ValueError when there are too few sentinels for them."""
        if self.num_sentinels < len(MARKS):
            raise ValueError(f'marks take {len(MARKS)} sentinels, the tokenizer has {self.num_sentinels}')
        return self.sentinels[1] + MARKS.index(name)

    @property
    def reserved(self):
        """int32[R], sorted: every id that never stands for text."""
        first, last = self.sentinels
        return np.unique(np.asarray([*self._single(), *self.others, *range(last, first + 1)], np.int32))

    def _single(self):
        """Ids of the roles, without a mask that there is not."""
        return [getattr(self, name) for name in NAMES if name != 'mask' or self.mask != -1]

    def name(self, i):
        """How id `i` is written in decoded text: <mask>, <extra_0>, ...; None when it is text."""
        first, last = self.sentinels
        if last <= i <= first:
            return f'<extra_{first - i}>'
        for name in NAMES:
            if i == getattr(self, name) and i >= 0:
                return f'<{name}>'
        return f'<reserved_{i}>' if i in self.others else None

    def as_dict(self):
        """Plain JSON values; `Special(**d)` is the inverse."""
        values = {name: int(getattr(self, name)) for name in NAMES}
        return {**values, 'sentinels': list(self.sentinels), 'vocab_size': int(self.vocab_size),
                'others': list(self.others)}
