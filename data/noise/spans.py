"""T5's span corruption: which spans of a row are noise, and the inputs and targets with their sentinels.

Follows Raffel et al. 2020, `random_spans_noise_mask` and the length helper of t5's preprocessors. Rounding is half-to-even in float64 both
where lengths are planned and where masks are drawn. T5 draws its masks in float32, so for 39 input lengths of 16..4096 at density 0.15
(172, 316, 352, ...) its targets are two longer than planned and are cut; here they fit.
"""
import functools

import numpy as np

from data import special_tokens


def span_counts(length: int, density: float, mean_span: float) -> tuple[int, int]:
    """(noise tokens, noise spans) among `length` tokens, T5's rule."""
    length = max(length, 2)
    noise = min(max(round(length * density), 1), length - 1)
    return noise, max(1, round(noise / mean_span))


@functools.lru_cache(maxsize=None)
def span_lengths(inputs_length: int, density: float, mean_span: float, marks: int = 1) -> tuple[int, int]:
    """(tokens, targets): the most tokens whose corrupted inputs fit `inputs_length`, and their targets' length. Both sides count `marks`
    sentinels a span (0 where spans are dropped) and one EOS. 512 at (0.15, 3) -> (568, 114)."""
    def sides(tokens):
        noise, spans = span_counts(tokens, density, mean_span)
        return tokens - noise + spans * marks + 1, noise + spans * marks + 1

    tokens = inputs_length - 1
    while sides(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs, targets = sides(tokens)
    shorter = density == 0.5 and targets > inputs  # T5 keeps the two sides equally long here
    return tokens - shorter, targets - shorter


def segmentation(items: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """int64[parts] of lengths >= 1 with the sum `items`, all such splits equally likely."""
    bounds = np.empty(parts + 1, np.int64)
    bounds[0], bounds[-1] = 0, items
    if parts > 1:
        bounds[1:-1] = rng.choice(items - 1, parts - 1, replace=False, shuffle=False)
        bounds[1:-1].sort()
        bounds[1:-1] += 1
    return bounds[1:] - bounds[:-1]


def random_spans(length: int, density: float, mean_span: float, rng: np.random.Generator) -> np.ndarray:
    """bool[length], True = noise. Starts with text, ends with noise; all masks with T5's counts equally likely."""
    if density == 0:
        return np.zeros(length, bool)
    noise, spans = span_counts(length, density, mean_span)
    spans = min(spans, noise, max(length, 2) - noise)  # a short last row may have less text than its spans need
    lengths = np.empty(2 * spans, np.int64)
    lengths[1::2] = segmentation(noise, spans, rng)
    lengths[0::2] = segmentation(max(length, 2) - noise, spans, rng)
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)[:length]


def iid(length: int, density: float, rng: np.random.Generator) -> np.ndarray:
    """bool[length], True = noise: each token independently, T5's `iid_noise_mask`."""
    return rng.random(length) < density


def noise(kind: str, length: int, density: float, mean_span: float, rng: np.random.Generator) -> np.ndarray:
    """bool[length], True = noise: 'iid', 'spans', or 'rolled', spans shifted cyclically by a random offset, T5's `random_roll`: every place
    is noise equally often. This may cut a run in two, so either side may need one sentinel more."""
    if kind == 'iid':
        return iid(length, density, rng)
    found = random_spans(length, density, mean_span, rng)
    return np.roll(found, rng.integers(length)) if kind == 'rolled' else found


def sentinels(tokens: np.ndarray, hidden: np.ndarray, special: special_tokens.Special) -> np.ndarray:
    """int32: `tokens` with each run of `hidden` ones replaced by one sentinel, the j-th run by vocab_size - 1 - j. With the noise mask this
    makes the inputs, with its complement the targets."""
    first = hidden & ~np.concatenate([[False], hidden[:-1]])
    count = np.count_nonzero(first)
    if count > special.num_sentinels:
        raise ValueError(f'{count} spans need as many sentinels, the tokenizer has {special.num_sentinels}; lower '
                         'objective.noise_density or sequence_length, or raise objective.mean_span_length')
    ids = np.array(tokens, np.int32)
    ids[first] = special.sentinels[0] - np.arange(count)
    return ids[~hidden | first]


def unmarked(ids: np.ndarray, special: special_tokens.Special) -> int:
    """How many of the ids are no sentinels: of targets, the tokens that were hidden."""
    return int(np.sum(~special.is_sentinel(ids)))
