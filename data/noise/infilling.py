"""BART's noise: sentences permuted, spans replaced, tokens masked, deleted and inserted, the text rotated (Lewis et al. 2020).

Follows fairseq's `denoising_dataset`. Every function takes the tokens of a text without <s> and </s>, which no noise changes, and returns
new ones, int32. Left out as no part of the method: in fairseq random ids may be special ones, here they are ids of text; there a rotation
by 0 is twice as likely as any other; there rounding may insert a token too many; there the distribution of lengths is cut at once for means
above 16, and no span hides anything.
"""
import functools
import math

import numpy as np

from data import special_tokens
from data.noise import masks


def permute(tokens: np.ndarray, bounds: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Sentences [bounds[i], bounds[i + 1]) in another order: ceil(share * n) of the n change places among themselves. Tokens after the last
    bound stay in place."""
    bounds = np.asarray(bounds)
    count = len(bounds) - 1
    order, moved = np.arange(count), rng.permutation(count)[:math.ceil(count * share)]
    order[moved] = rng.permutation(moved)
    lengths = np.diff(bounds)[order]
    ends = np.cumsum(lengths)
    out = tokens.copy()
    out[:bounds[-1]] = tokens[np.arange(bounds[-1]) + np.repeat(bounds[order] - (ends - lengths), lengths)]
    return out


def sentence_bounds(tokens: np.ndarray, full_stop: int) -> np.ndarray:
    """int64[s + 1]: sentences that end with the id `full_stop` (the first of several) or with the text; 0 first, ascending."""
    stops = tokens == full_stop
    stops[-1:] = True
    return np.concatenate([[0], np.flatnonzero(stops & ~np.concatenate([[False], stops[:-1]])) + 1])


def infill(tokens: np.ndarray, starts: np.ndarray, share: float, mean: float, replace_length: int, random: float,
           special: special_tokens.Special, rng: np.random.Generator, most: float = math.inf) -> np.ndarray:
    """Text infilling: spans of words, of Poisson lengths of mean `mean`, are hidden until ceil(share * words) are used.

    starts: bool[n], where words begin. Spans start at random words and may overlap: together they then hide fewer words, with one [MASK].
    Spans of no word become a [MASK] between tokens. replace_length: a span becomes one [MASK] (1), nothing (0) or a [MASK] for each token
    (-1). random: share of the spans whose [MASK] is a random id instead. most: the largest result; spans of no word that exceed it are left
    out (hardly any, where `room` planned the text).
    """
    words = np.flatnonzero(starts)
    budget = math.ceil(len(words) * share)
    if not budget:
        return tokens
    lengths = rng.permutation(span_lengths(budget, mean, rng))
    empty, lengths = np.count_nonzero(lengths == 0), lengths[lengths > 0]
    first = masks.choose(np.arange(len(words)), len(lengths), rng)
    begins = words[first]
    ends = np.append(words, len(tokens))[np.minimum(first + lengths, len(words))]
    replaced = rng.random(len(begins)) < random
    out = tokens.copy()
    if replace_length == -1:
        covered, owner = _covered(begins, ends, len(tokens)), np.zeros(len(tokens), np.int64)
        for i in range(len(begins) - 1, -1, -1):  # where spans overlap, the first says whether ids are random
            owner[begins[i]:ends[i]] = i
        out[covered] = special.mask
        positions = np.flatnonzero(covered & replaced[owner])
        out[positions] = masks.random_text(len(positions), special, rng)
    else:
        out[begins] = np.where(replaced, masks.random_text(len(begins), special, rng), special.mask)
        out = out[~_covered(begins + replace_length, ends, len(tokens))]
    return insert(out, min(empty, most - len(out)), random, special, rng)


def room(size: int, share: float, mean: float, replace_length: int) -> int:
    """The most tokens of text that `infill` turns into at most `size`, with empty spans 6 standard deviations above their mean. A token
    stays if no span that hides it begins before it, or, with replace_length = 0, at it. Words of several tokens need less room."""
    table, spans = poisson(mean), share / mean
    empty = spans * table[0]
    kept = 1 if replace_length == -1 else np.prod(1 - spans * (1 - table[replace_length:]))
    spread = 6 * math.sqrt(empty * (1 + table[0] + table[0] / mean))
    root = (math.sqrt(spread**2 + 4 * (kept + empty) * max(size, 0)) - spread) / (2 * (kept + empty))
    return min(size, math.floor(root**2))     # n of (kept + empty) * n + spread * sqrt(n) = size


def span_lengths(budget: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """int64[s]: lengths of spans, from the truncated Poisson distribution, with the sum `budget`; the last is cut, zeros cost nothing."""
    table, lengths = poisson(mean), np.zeros(0, np.int64)
    while lengths.sum() < budget:
        lengths = np.append(lengths, np.searchsorted(table, rng.random(budget), side='right'))
    totals = np.cumsum(lengths)
    last = np.searchsorted(totals, budget)
    lengths = lengths[:last + 1]
    lengths[-1] -= totals[last] - budget
    return lengths


@functools.lru_cache(maxsize=8)
def poisson(mean: float) -> np.ndarray:
    """float64[k]: P(length <= 0), P(length <= 1), ..., up to the first length above the mean rarer than 1e-7, renormalised."""
    shares = [math.exp(-mean)]
    while shares[-1] >= 1e-7 or len(shares) <= mean:
        shares.append(shares[-1] * mean / len(shares))
    table = np.cumsum(shares)
    return table / table[-1]


def insert(tokens: np.ndarray, count: int, random: float, special: special_tokens.Special, rng: np.random.Generator) -> np.ndarray:
    """`count` more [MASK]s, anywhere; ceil(random * count) of them are random ids instead."""
    if not count:
        return tokens
    out = np.empty(len(tokens) + count, np.int32)
    positions = rng.permutation(len(out))[:count]
    new = np.ones(len(out), bool)
    new[positions] = False
    out[new] = tokens
    out[positions] = special.mask
    some = math.ceil(count * random)
    out[positions[:some]] = masks.random_text(some, special, rng)
    return out


def mask(tokens: np.ndarray, share: float, random: float, special: special_tokens.Special, rng: np.random.Generator) -> np.ndarray:
    """Token masking: ceil(share * n) of the n tokens that are text become [MASK], or with probability `random` a random id."""
    positions = _some(tokens, share, special, rng)
    out = tokens.copy()
    out[positions] = np.where(rng.random(len(positions)) < random, masks.random_text(len(positions), special, rng), special.mask)
    return out


def delete(tokens: np.ndarray, share: float, special: special_tokens.Special, rng: np.random.Generator) -> np.ndarray:
    """Token deletion: ceil(share * n) of the n tokens that are text are left out; the model has to find out where."""
    return np.delete(tokens, _some(tokens, share, special, rng))


def rotate(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The text from a random token on, then the tokens before it; every rotation is equally likely."""
    return np.roll(tokens, rng.integers(len(tokens))) if len(tokens) else tokens


def _some(tokens, share, special, rng):
    """Places of ceil(share * n) of the n tokens that are not [MASK]."""
    text = np.flatnonzero(tokens != special.mask)
    return masks.choose(text, math.ceil(len(text) * share), rng)


def _covered(begins, ends, size):
    """bool[size]: inside one of the spans [begins[i], ends[i])."""
    depth = np.bincount(begins, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    return np.cumsum(depth)[:size] > 0
