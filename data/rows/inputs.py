"""The rows of an encoder: [CLS] text [SEP], or [CLS] A [SEP] B [SEP], and which parts of a corpus they contain.

document         pieces of one document, as long as a row
doc_sentences    whole sentences of one document; full_sentences: of several documents, a [SEP] after each (RoBERTa; Liu et al. 2019)
next_sentence    pairs in which B follows A or is of another document (BERT; Devlin et al. 2019)
sentence_order   pairs in their order or exchanged (ALBERT; Lan et al. 2019)
"""
from typing import Any, NamedTuple

import numpy as np

from data.rows import packing, sentence_pairs

PAIRS = {'next_sentence': sentence_pairs.RANDOM, 'sentence_order': sentence_pairs.SWAPPED}
NAMES = ('document', 'doc_sentences', 'full_sentences', *PAIRS)


class Row(NamedTuple):
    """ids int32[n], specials included; of each part, where it ends in the row, [SEP] included, and begins in `source.flat`."""
    ids: np.ndarray
    ends: list
    begins: list


def plan(name: str, source: Any, size: int, short: float, rng: np.random.Generator, overflow: str = 'cut') -> np.ndarray:
    """int64[n, 2], begin and end of each row's text in `source.flat`; pairs: int64[n, 5], see data/rows/sentence_pairs.py.

    size: tokens of a row, specials included. short: share of the documents whose pairs are shorter (BERT's short_seq_prob). Only pairs use
    `rng` and `overflow` (data/rows/sentence_pairs.py): the others are the same in every epoch.
    """
    if name == 'document':
        pieces, lengths = packing.pieces(source.lengths, size - 2)
        document, start = packing.split(pieces)
        begins = source.offsets[document] + start
        return np.stack([begins, begins + lengths], axis=1)
    if name in PAIRS:
        return sentence_pairs.pairs(source, size - 3, short, PAIRS[name], rng, overflow)
    return sentence_pairs.full(source, size - 2, crossing=name == 'full_sentences')


def read(name: str, source: Any, row: np.ndarray) -> Row:
    """The Row of a row of the plan."""
    parts = [(int(row[0]), int(row[1]))]
    if name in PAIRS:
        parts.append((int(row[2]), int(row[3])))
    elif name == 'full_sentences':
        (begin, end), = parts
        inside = source.offsets[np.searchsorted(source.offsets, begin, 'right'):np.searchsorted(source.offsets, end)]
        cuts = [begin, *np.unique(inside).tolist(), end]
        parts = list(zip(cuts[:-1], cuts[1:]))
    sep = [source.special.sep]
    ids = np.concatenate([[source.special.cls], *(piece for begin, end in parts for piece in (source.flat[begin:end], sep))])
    ends = np.cumsum([end - begin + 1 for begin, end in parts]) + 1
    return Row(ids.astype(np.int32), ends.tolist(), [begin for begin, _ in parts])


def coverage(name: str, source: Any, rows: np.ndarray) -> float:
    """The share of the text that these rows of the plan read; all of it where they are no pairs."""
    if name not in PAIRS:
        return 1.0
    return packing.union(rows[:, (0, 2)].ravel(), rows[:, (1, 3)].ravel()) / source.num_tokens
