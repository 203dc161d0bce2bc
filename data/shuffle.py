"""A shuffle of 0..n-1 that is computed, not stored, for a whole batch of indices at once (Black and Rogaway 2002).

The permutation is a Feistel network with the round function of the cipher Simon (Beaulieu et al. 2013) on the smallest even number of bits,
at least 16, that holds the largest index; a result outside the range is permuted again until it is inside. Its keys are those of C++'s
std::seed_seq ([rand.util.seedseq] in the standard). The numbers are those of Grain's `index_shuffle`, except for n = 2^k + 1 with k even
and at least 16, where Grain counts one bit too few, so that one index comes twice and one never.
"""
import functools

import numpy as np
from numpy import typing as npt

_WORD = 2**32 - 1


def index_shuffle(indices: npt.ArrayLike, *, max_index: int, seed: int) -> np.ndarray:
    """The images of the indices int[n] under a shuffle of 0..max_index: int64[n]. seed: below 2**32."""
    out = np.array(indices, np.uint64, ndmin=1)
    bits = max_index.bit_length()
    if bits <= 16:
        return _table(max_index, seed)[out.astype(np.int64)]
    half, keys = (bits + bits % 2) // 2, _keys(seed)
    outside = np.arange(len(out))
    while len(outside):                       # at most three quarters of the domain are outside: few rounds
        out[outside] = _permute(out[outside], half, keys)
        outside = outside[out[outside] > max_index]
    return out.astype(np.int64)


@functools.lru_cache(maxsize=8)
def _table(max_index, seed):
    """int64[max_index + 1]: the image of each index. All walks through the outside at once, doubling their length."""
    out = _permute(np.arange(2**16, dtype=np.uint64), 8, _keys(seed)).astype(np.int64)
    while (out[:max_index + 1] > max_index).any():
        out = np.where(out > max_index, out[out], out)
    return out[:max_index + 1]


def _permute(values, half, keys):
    """The Feistel network on uint64[n] of 2 * half bits."""
    mask, half = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = values >> half, values & mask
    for key in keys:
        one, eight, two = ((right << np.uint64(by) | right >> half - np.uint64(by)) & mask for by in (1, 8, 2))
        left, right = right, left ^ one & eight ^ two ^ np.uint64(key) & mask
    return left << half | right


@functools.lru_cache(maxsize=16)
def _keys(seed):
    """Four words of std::seed_seq{seed}."""
    words = [0x8b8b8b8b] * 4
    for k in range(8):
        here, ahead, further, before = (i % 4 for i in (k, k + 1, k + 2, k - 1))
        if k < 4:
            mixed = words[here] ^ words[ahead] ^ words[before]
            mixed = 1664525 * (mixed ^ mixed >> 27) & _WORD
            added = mixed + (1, 1 + seed, 2, 3)[k] & _WORD
            words[ahead], words[further] = words[ahead] + mixed & _WORD, words[further] + added & _WORD
        else:
            mixed = words[here] + words[ahead] + words[before] & _WORD
            mixed = 1566083941 * (mixed ^ mixed >> 27) & _WORD
            added = mixed - here & _WORD
            words[ahead], words[further] = words[ahead] ^ mixed, words[further] ^ added
        words[here] = added
    return tuple(words)
