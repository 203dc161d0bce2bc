"""Which tokens of a row a masked language model must predict, chosen as words, n-grams or spans of words within a budget.

Whole words are BERT's (`create_masked_lm_predictions`), n-grams ALBERT's (Lan et al. 2019), spans SpanBERT's (Joshi et al. 2019). All visit
candidates in a random order, choose nothing twice, and never exceed the budget, of which a few tokens may remain. Differences to the
originals, none part of a method: no n-gram crosses a special token; spans end before a word that does not fit, where SpanBERT's code cuts
the word; words that are already covered are skipped earlier than in ALBERT; a word of more than half a row, which the originals never
choose (all of a text without spaces may be one), counts as words of one token. Loops run over the n-grams or spans of one row.
"""
import math
from typing import Any, NamedTuple

import numpy as np

from data import example
from data.noise import masks


def choose(settings: Any, source: Any, read: Any, salt: int | None, slots: int, rng: np.random.Generator) -> tuple:
    """(positions, units or None): which tokens of a row are predicted, ascending, and the number of the unit (word, span) of each.
    settings: the Objective of data/objectives/masked_lm.py. read: an `inputs.Row`. salt: seed of the documents' own rates, or None."""
    if settings.count_in == 'row':
        rate = settings.rate if settings.max_rate is None else rng.uniform(settings.rate, settings.max_rate)
        return _within(*_select(settings, source, read.ids, rate, slots, rng), slots, rng)
    chosen, units, first, number = [], [], 0, 0
    for last, begin in zip(read.ends, read.begins):
        rate = settings.rate
        if salt is not None:
            document = int(np.searchsorted(source.offsets, begin, side='right')) - 1
            rate += (settings.max_rate - rate) * example.rng(salt, 0, document).random()
        found, unit = _select(settings, source, read.ids[first:last], rate, slots, rng)
        unit = np.arange(len(found)) if unit is None else unit
        chosen.append(found + first)
        units.append(unit + number)
        first, number = last, number + (unit[-1] + 1 if len(unit) else 0)
    return _within(np.concatenate(chosen), np.concatenate(units), slots, rng)


def _select(settings, source, text, rate, slots, rng):
    """(positions, units or None) of a row or of a part of it, at its own rate."""
    is_text = masks.is_text(source.special)[text]
    allowed = is_text if settings.candidates == 'text' else np.ones(len(text), bool)
    if settings.select == 'token':
        return masks.choose(np.flatnonzero(allowed), _count(settings, len(text), rate, slots, rng), rng), None
    starts = masks.words(text, source) | ~is_text
    starts[1:] |= ~is_text[:-1]               # what follows a special token
    found = words(starts, allowed, max(slots, settings.sequence_length // 2))
    if settings.select == 'word' and settings.count == 'roberta':
        return token_positions(found, some_words(found, _count(settings, len(found.begins), rate, slots, rng), rng))
    budget = _count(settings, len(text), rate, slots, rng)
    if settings.select == 'word':
        return token_positions(found, whole_words(found, budget, rng))
    if settings.select == 'ngram':
        return token_positions(found, ngrams(found, budget, settings.max_ngram, rng))
    return token_positions(found, spans(found, budget, settings.span_p, settings.max_span, rng))


def _count(settings, length, rate, slots, rng):
    if settings.count == 'bert':
        return masks.masked_count(length, rate, slots)
    return min(slots, int(rate * length + rng.random()))


def _within(chosen, units, slots, rng):
    """Leaves out whole units at random until the rest fits the slots."""
    if len(chosen) <= slots:
        return chosen, units
    sizes = np.bincount(units)
    order = rng.permutation(len(sizes))
    kept = np.isin(units, order[fitting(sizes[order], slots)])
    return chosen[kept], np.unique(units[kept], return_inverse=True)[1]


class Words(NamedTuple):
    """The words of a row that may be chosen: word i is tokens begins[i]..ends[i] - 1; words i..reach[i] - 1 follow without a gap."""
    begins: np.ndarray
    ends: np.ndarray
    reach: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """int64[w]: tokens of each word."""
        return self.ends - self.begins


def words(starts: np.ndarray, allowed: np.ndarray, longest: float = math.inf) -> Words:
    """Words of a row from bool[n]: which tokens begin a word, and which may be chosen (other words are left out).

    A word of more than `longest` tokens is as many words of one token.
    """
    sizes = np.diff(np.flatnonzero(starts), append=len(starts))
    starts = starts | np.repeat(sizes > longest, sizes)
    begins = np.flatnonzero(starts)
    ends = np.empty_like(begins)
    ends[:-1], ends[-1:] = begins[1:], len(starts)
    kept = allowed[begins]
    begins, ends = begins[kept], ends[kept]
    reach = np.full(len(begins), len(begins))
    for gap in reversed((np.flatnonzero(begins[1:] != ends[:-1]) + 1).tolist()):
        reach[:gap] = gap
    return Words(begins, ends, reach)


def whole_words(found: Words, budget: int, rng: np.random.Generator) -> np.ndarray:
    """int64[n, 2]: (first word, word after the last) of single words in random order, each that still fits (BERT)."""
    order = rng.permutation(len(found.begins))
    picks = order[fitting(found.sizes[order], budget)]
    return np.stack([picks, picks + 1], axis=1)


def some_words(found: Words, count: int, rng: np.random.Generator) -> np.ndarray:
    """As `whole_words`, of `count` words of any size (RoBERTa's whole-word masking)."""
    picks = rng.choice(len(found.begins), min(count, len(found.begins)), replace=False, shuffle=False)
    return np.stack([picks, picks + 1], axis=1)


def fitting(sizes: np.ndarray, budget: int) -> np.ndarray:
    """int64[n]: the indices taken in order when each that exceeds the rest of the budget is skipped."""
    taken, left = [], np.arange(len(sizes))
    while len(left):
        left = left[sizes[left] <= budget]
        totals = np.cumsum(sizes[left])
        count = np.searchsorted(totals, budget, side='right')  # at least 1 unless none is left
        taken.append(left[:count])
        budget -= totals[count - 1] if count else 0
        left = left[count:]
    return np.concatenate(taken or [left])


def ngrams(found: Words, budget: int, longest: int, rng: np.random.Generator) -> np.ndarray:
    """As `whole_words`, of n-grams of words, n from 1 to `longest` with p(n) proportional to 1 / n (ALBERT). One that exceeds the budget is
    shortened until it fits; one that contains a chosen word is dropped."""
    count, picks = len(found.begins), []
    lasts = np.minimum(np.arange(count) + _drawn(1 / np.arange(1, longest + 1), count, rng), found.reach)
    tokens, lasts, free = (found.ends[lasts - 1] - found.begins).tolist(), lasts.tolist(), bytearray(b'\1' * count)
    for first in rng.permutation(count).tolist():
        if not free[first]:
            continue
        last, size = lasts[first], tokens[first]
        while size > budget and last > first:
            last -= 1
            size = int(found.ends[last - 1] - found.begins[first])
        if last == first or 0 in free[first:last]:
            continue
        free[first:last] = bytes(last - first)
        picks.append((first, last))
        budget -= size
        if budget == 0:
            break
    return np.array(picks, np.int64).reshape(-1, 2)


def spans(found: Words, budget: int, p: float, longest: int, rng: np.random.Generator) -> np.ndarray:
    """As `whole_words`, of spans of whole words: lengths geometric with `p`, at most `longest` words (SpanBERT).

    A span starts at the word of a token drawn among those not yet chosen and may overlap chosen words. Lengths above `longest` are drawn
    again, as in the original (mean 3.8 at 0.2 and 10). Adjacent spans are one, and share one draw.
    """
    count, sizes = len(found.begins), found.sizes
    lasts = np.minimum(np.arange(count) + _drawn(p * (1 - p) ** np.arange(longest), count, rng), found.reach)
    anchors = np.repeat(np.arange(count), sizes)[rng.permutation(int(sizes.sum()))]
    sizes, free = sizes.tolist(), bytearray(b'\1' * count)
    for first in anchors.tolist():
        if not free[first] or sizes[first] > budget:
            continue
        for word in range(first, lasts[first]):
            if free[word]:
                if sizes[word] > budget:
                    break
                free[word] = 0
                budget -= sizes[word]
        if budget == 0:
            break
    chosen = np.flatnonzero(np.frombuffer(free, np.uint8) == 0)
    gaps = np.flatnonzero(found.begins[chosen[1:]] != found.ends[chosen[:-1]])
    firsts, lasts = np.concatenate([chosen[:1], chosen[gaps + 1]]), np.concatenate([chosen[gaps], chosen[-1:]])
    return np.stack([firsts, lasts + 1], axis=1)


def token_positions(found: Words, picks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positions int64[n], units int64[n]) of chosen words, ascending; the unit is the number of the pick."""
    first, last = picks[picks[:, 0].argsort()].T
    begins, sizes = found.begins[first], found.ends[last - 1] - found.begins[first]
    units = np.repeat(np.arange(len(picks)), sizes)
    before = sizes.cumsum() - sizes
    return np.arange(len(units)) + (begins - before)[units], units


def _drawn(weights, count, rng):
    """int64[count] of at least 1: n is drawn with a probability proportional to weights[n - 1]."""
    return 1 + np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(count), side='right')
