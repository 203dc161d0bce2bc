"""Grain's index shuffle in Python: which index comes `i`-th in a shuffle, computed without memory (Black and Rogaway 2002).

`import grain` takes JAX with it (1.1 s), so commands that only look at examples use this; training uses Grain's own, which is
compiled. Both give the same numbers (tests/data/test_shuffle.py). The permutation is a Feistel network with the round function of
the cipher Simon (Beaulieu et al. 2013) on the smallest even number of bits, at least 16, that holds the largest index, walked until it
falls inside; its keys are those of C++'s std::seed_seq ([rand.util.seedseq] in the standard). As in Grain, the bits are
ceil(log2(largest)), so that of 2**k + 1 indices, k even and at least 16, one comes twice and one never.
"""
import functools

_WORD = 2**32 - 1


def index_shuffle(index, *, max_index, seed, rounds=4):
    """The index in 0..max_index at place `index` of the shuffle that a seed (below 2**32) gives. rounds: even, at least 4."""
    if max_index == 0:
        return 0
    bits = (max_index - 1).bit_length()
    half = max(16, bits + bits % 2) // 2
    keys, mask = _keys(seed, rounds), (1 << half) - 1
    while True:
        left, right = index >> half & mask, index & mask
        for first, second in zip(keys[::2], keys[1::2]):
            left ^= _round(right, half, mask) ^ first & mask
            right ^= _round(left, half, mask) ^ second & mask
        index = left << half | right
        if index <= max_index:
            return index


def _round(x, half, mask):
    turned = [(x << by | x >> half - by) & mask for by in (1, 8, 2)]
    return turned[0] & turned[1] ^ turned[2]


@functools.lru_cache(maxsize=16)
def _keys(seed, count):
    """`count` < 7 words of std::seed_seq{seed}."""
    words, shift = [0x8b8b8b8b] * count, (count - 1) // 2
    p = (count - shift) // 2
    q = p + shift
    for k in range(2 * count):
        here, ahead, further = k % count, (k + p) % count, (k + q) % count
        before = (k - 1) % count
        if k < count:
            mixed = words[here] ^ words[ahead] ^ words[before]
            mixed = 1664525 * (mixed ^ mixed >> 27) & _WORD
            added = mixed + (1 if k == 0 else here + seed if k == 1 else here) & _WORD
            words[ahead] = words[ahead] + mixed & _WORD
            words[further] = words[further] + added & _WORD
        else:
            mixed = words[here] + words[ahead] + words[before] & _WORD
            mixed = 1566083941 * (mixed ^ mixed >> 27) & _WORD
            added = mixed - here & _WORD
            words[ahead] ^= mixed
            words[further] ^= added
        words[here] = added
    return tuple(words)
