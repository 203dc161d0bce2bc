"""BERT's masking: how many tokens of a row are chosen, which, and what the model reads in their places.

Follows `create_masked_lm_predictions` (Devlin et al. 2019), whose rounding is half-to-even.
"""
import functools
from typing import Any

import numpy as np

from data import special_tokens


def masked_count(length: int, rate: float, slots: int) -> int:
    """How many of `length` tokens (specials included) BERT predicts: min(P, max(1, round(length * rate)))."""
    return min(slots, max(1, round(length * rate)))


def choose(candidates: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of the candidates without replacement, all subsets equally likely, in their order."""
    picks = rng.choice(len(candidates), min(count, len(candidates)), replace=False, shuffle=False)
    picks.sort()
    return candidates[picks]


def words(tokens: np.ndarray, source: Any) -> np.ndarray:
    """bool[n]: which tokens of a row or of a part of it begin a word, by `source.words`; the first always does."""
    starts = source.words(tokens)
    starts[:1] = True
    return starts


def mask_or_replace(tokens: np.ndarray, positions: np.ndarray, mask_share: float, random_share: float, special: special_tokens.Special,
                    rng: np.random.Generator, units: np.ndarray | None = None, pool: np.ndarray | None = None) -> np.ndarray:
    """A copy of `tokens` in which each of the positions independently becomes [MASK] or a random id, or is unchanged.

    Random ids are uniform over the whole vocabulary, special and unused ids included, as in BERT, or over the ids `pool`. units: int[n]
    from 0, ascending: the positions of one unit (a word, a span) get the same of the three (SpanBERT).
    """
    fate = rng.random(len(positions)) if units is None or not len(units) else rng.random(units[-1] + 1)[units]
    ids = rng.integers(special.vocab_size, size=len(positions)) if pool is None else pool[rng.integers(len(pool), size=len(positions))]
    tokens = tokens.copy()
    tokens[positions] = np.where(fate < mask_share, special.mask, np.where(fate < mask_share + random_share, ids, tokens[positions]))
    return tokens


def random_text(count: int, special: special_tokens.Special, rng: np.random.Generator) -> np.ndarray:
    """int32[count]: ids drawn uniformly among those that stand for text."""
    return text_ids(special)[rng.integers(len(text_ids(special)), size=count)]


@functools.lru_cache(maxsize=8)
def is_text(special: special_tokens.Special) -> np.ndarray:
    """bool[V]: which ids stand for text."""
    table = np.ones(special.vocab_size, bool)
    table[special.reserved] = False
    return table


@functools.lru_cache(maxsize=8)
def text_ids(special: special_tokens.Special) -> np.ndarray:
    """int32[n]: the ids that stand for text, ascending."""
    return np.flatnonzero(is_text(special)).astype(np.int32)
