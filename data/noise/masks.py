"""Masking as BERT has it: how many tokens of a row are chosen, which, and what the model reads in their places.

Follows `create_masked_lm_predictions` (Devlin et al. 2019), whose rounding is half-to-even.
"""
import functools

import numpy as np


def masked_count(length, rate, slots):
    """How many of `length` tokens (specials included) BERT predicts: min(P, max(1, round(length * rate)))."""
    return min(slots, max(1, round(length * rate)))


def choose(candidates, count, rng):
    """`count` of the candidates without replacement, all subsets equally likely, in their order."""
    picks = rng.choice(len(candidates), min(count, len(candidates)), replace=False, shuffle=False)
    picks.sort()
    return candidates[picks]


def words(tokens, word_starts):
    """bool[n]: which tokens of a row or of a stretch of it begin a word, from the table of `Tokens.word_starts`.

    The first does, wherever the stretch was cut.
    """
    starts = word_starts[tokens]
    starts[:1] = True
    return starts


def mask_or_replace(tokens, places, mask_share, random_share, special, rng, units=None, pool=None):
    """A copy of `tokens` where each place, independently, becomes [MASK] or a random id or stays.

    Random ids are uniform over the whole vocabulary, special and unused ids included, as in BERT, or over the ids `pool`.
    units: int[n] from 0, ascending: places of one unit (a word, a span) all become [MASK], or random, or stay (SpanBERT).
    """
    fate = rng.random(len(places)) if units is None or not len(units) else rng.random(units[-1] + 1)[units]
    ids = rng.integers(special.vocab_size, size=len(places)) if pool is None else pool[rng.integers(len(pool), size=len(places))]
    tokens = tokens.copy()
    new = np.where(fate < mask_share, special.mask, np.where(fate < mask_share + random_share, ids, tokens[places]))
    tokens[places] = new
    return tokens


def random_text(count, special, rng):
    """int32[count]: ids drawn uniformly among those that stand for text."""
    return text_ids(special)[rng.integers(len(text_ids(special)), size=count)]


@functools.lru_cache(maxsize=8)
def is_text(special):
    """bool[V]: which ids stand for text."""
    table = np.ones(special.vocab_size, bool)
    table[special.reserved] = False
    return table


@functools.lru_cache(maxsize=8)
def text_ids(special):
    """int32[n]: the ids that stand for text, ascending."""
    return np.flatnonzero(is_text(special)).astype(np.int32)
