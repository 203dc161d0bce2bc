"""The ids of a vocabulary that are not text.

Layout (T5's, with BERT's symbols added): text pieces below, sentinels at the very top, counted downwards, so that the j-th masked span of
a row is `vocab_size - 1 - j` in every vocabulary. There are 256: T5's 100 run out at 1,810 input tokens (density 0.15, spans of 3).
"""
import dataclasses
import json
from typing import Any, Tuple

import numpy as np

SENTINELS = 256
NAMES = ('pad', 'eos', 'mask', 'cls', 'sep', 'bos')
# Further marks that some objectives need. They take the last sentinels, counted upwards, so that every vocabulary has them.
MARKS = ('fim_prefix', 'fim_suffix', 'fim_middle', 'nlu', 's2s', 'nlg')


@dataclasses.dataclass(frozen=True)
class Special:
    """Ids with a meaning of their own.

    `sentinels` is (first, last): the first one used has the highest id, `vocab_size - 1`, and they descend. `bos`, what a decoder reads
    first, is `pad` unless the vocabulary has its own (seqio, T5). `others` are further ids that never stand for text, such as `<unk>` and a
    published model's control symbols. A published vocabulary may lack a mask, `mask` = -1, and sentinels, `sentinels` = (vocab_size - 1,
    vocab_size), of which there are 0; roles may share an id.
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
        first, last = (int(i) for i in self.sentinels)
        if last == first + 1:
            first, last = self.vocab_size - 1, self.vocab_size
        object.__setattr__(self, 'sentinels', (first, last))
        object.__setattr__(self, 'others', tuple(int(i) for i in self.others))
        ids = [*self._single(), *range(last, first + 1)[:1], *range(last, first + 1)[-1:], *self.others]
        if min(ids) < 0 or max(ids) >= self.vocab_size or last > first + 1:
            raise ValueError(f'special ids must lie in [0, vocab_size) and sentinels descend, got {self}')

    @property
    def num_sentinels(self) -> int:
        return self.sentinels[0] - self.sentinels[1] + 1

    def is_sentinel(self, ids: Any) -> Any:
        """Which of the ids (int or array) are sentinels."""
        return (ids >= self.sentinels[1]) & (ids <= self.sentinels[0])

    def mark(self, name: str) -> int:
        """Id of one of MARKS; ValueError when there are too few sentinels for them."""
        if self.num_sentinels < len(MARKS):
            raise ValueError(f'marks take {len(MARKS)} sentinels, the tokenizer has {self.num_sentinels}')
        return self.sentinels[1] + MARKS.index(name)

    @property
    def reserved(self) -> np.ndarray:
        """int32[R], sorted: every id that never stands for text."""
        first, last = self.sentinels
        return np.unique(np.asarray([*self._single(), *self.others, *range(last, first + 1)], np.int32))

    def _single(self):
        """Ids of the roles; without a mask, those of the others."""
        return [getattr(self, name) for name in NAMES if name != 'mask' or self.mask != -1]

    def name(self, i: int) -> str | None:
        """How id `i` is written in decoded text: <mask>, <extra_0>, ...; None when it is text."""
        if self.is_sentinel(i):
            return f'<extra_{self.sentinels[0] - i}>'
        role = next((name for name in NAMES if i == getattr(self, name) >= 0), None)
        return f'<{role}>' if role else f'<reserved_{i}>' if i in self.others else None

    def as_dict(self) -> dict:
        """Plain JSON values; `read` is the inverse."""
        values = {name: int(getattr(self, name)) for name in NAMES}
        return {**values, 'sentinels': list(self.sentinels), 'vocab_size': int(self.vocab_size), 'others': list(self.others)}


def read(values: Any) -> Special:
    """The Special whose `as_dict` gave these JSON values; ValueError for any others: another type, a key too many, an id out of range."""
    try:
        found = Special(**values)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    if json.dumps(found.as_dict(), sort_keys=True) != json.dumps(values, sort_keys=True):
        raise ValueError('values of other types')
    return found
