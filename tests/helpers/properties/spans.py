"""Span corruption and its kin: T5's preprocessors, deshuffling, UL2."""
import collections
import math
import re

import numpy as np

from tests.helpers.properties import batch, given
from tests.helpers.properties.given import expect


def rounded(value):
    return int(np.round(value))               # half to even


def span_counts(length, density, mean):
    """(noise tokens, spans) of random_spans_noise_mask."""
    length = max(length, 2)
    noise = min(max(rounded(length * density), 1), length - 1)
    return noise, max(1, rounded(noise / mean) if math.isfinite(mean) else 1)


def helper(inputs, density, mean):
    """(tokens, targets) of random_spans_helper."""
    def sides(tokens):
        noise = rounded(tokens * density)
        spans = rounded(noise / mean)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs - 1
    while sides(tokens + 1)[0] <= inputs:
        tokens += 1
    found, targets = sides(tokens)
    return (tokens - 1, targets - 1) if density == 0.5 and targets > found else (tokens, targets)


def stretches(ids, marks):
    """The ids between marks: before the first, between the first and the second, ..."""
    return [part[1:] if i else part for i, part in enumerate(np.split(ids, np.flatnonzero(marks)))]


def merged(one, x, inputs, targets):
    """Spans put back where their sentinels stand; checks the order of the sentinels. Returns (ids, is it noise)."""
    top = x.special['vocab_size'] - 1
    for name, ids in (('inputs', inputs), ('targets', targets)):
        found = ids[x.is_sentinel(ids)]
        expect((found == top - np.arange(len(found))).all(), f'sentinels of the {name} descend by one from vocab_size - 1 = {top}', one)
    read, said = stretches(inputs, x.is_sentinel(inputs)), stretches(targets, x.is_sentinel(targets))
    noise_first = len(said[0]) > 0
    expect(not (noise_first and len(read[0])), 'one of the two sides starts with a sentinel', one)
    first, second = (said, [part for part in read[1:]]) if noise_first else (read, said[1:])
    parts, noise = [], []
    for i in range(max(len(first), len(second))):
        for group, hidden in ((first, noise_first), (second, not noise_first)):
            part = group[i] if i < len(group) else np.zeros(0, int)
            parts.append(part)
            noise.append(np.full(len(part), hidden))
    return np.concatenate(parts), np.concatenate(noise)


def spans(one, x, inputs, targets, density, mean, rolled=False):
    """T5's counts and places on the text of this row, and the text itself."""
    ids, noise = merged(one, x, inputs, targets)
    expect(np.array_equal(ids, x.original), 'inputs and targets merge back to the original', one)
    hidden, count = span_counts(len(ids), density, mean)
    count = min(count, hidden, max(len(ids) - hidden, 1))
    expect(noise.sum() == hidden, f'{hidden} tokens of noise, got {noise.sum()}', one)
    runs = int(x.is_sentinel(inputs).sum())
    if rolled:
        expect(count <= runs <= count + 1, f'{count} spans, or one more where the turn cuts one, got {runs}', one)
        return
    expect(runs == count, f'{count} spans, got {runs}', one)
    expect(not noise[0] and noise[-1], 'the first token is never noise, the last always', one)
    expect(len(inputs) == len(ids) - hidden + count and len(targets) == hidden + count, 'lengths of inputs and targets', one)


def subsequence(part, whole):
    """Whether `part` is what is left of `whole` when some ids are deleted."""
    left = iter(whole.tolist())
    return all(i in left for i in part.tolist())


def hidden_of(x, density):
    """Tokens of a row that random_spans_noise_mask hides."""
    return span_counts(len(x.original), density, 1)[0] if len(x.original) > 1 else 0


def span_corruption(examples, noise_density=0.15, mean_span_length=3.0, noise='spans', style='sentinels', random=0.1, **_):
    tokens = covered = hidden_in_all = left = replaced = 0
    for one, x in examples:
        inputs, targets = batch.two_sides(one, x, x.special['bos'])
        tokens += len(x.original)
        if style == 'sentinels' and noise != 'iid':
            spans(one, x, inputs, targets, noise_density, mean_span_length, noise == 'rolled')
        elif style == 'sentinels':
            ids, hidden = merged(one, x, inputs, targets)
            expect(np.array_equal(ids, x.original), 'inputs and targets merge back to the original', one)
            covered += hidden.sum()
        elif style == 'drop':
            expect(len(inputs) + len(targets) == len(x.original), 'what is dropped is said, the rest read', one)
            expect(subsequence(inputs, x.original) and subsequence(targets, x.original), 'both sides keep the order', one)
            covered += len(targets)
            expect(noise == 'iid' or len(targets) == hidden_of(x, noise_density), 'as much is hidden as random_spans_noise_mask hides', one)
        else:
            expect(np.array_equal(targets, x.original) and len(inputs) == len(targets), 'the whole text is said', one)
            masked = inputs == x.special['sentinels'][0]
            changed = inputs != targets
            expect(style == 'replace_full' or (changed == masked).all(), 'only the sentinel replaces', one)
            covered += masked.sum() if style == 'mask_full' else 0
            hidden = hidden_of(x, noise_density) if noise != 'iid' else masked.sum()
            expect(style == 'replace_full' or masked.sum() == hidden, f'{hidden} tokens are hidden, got {masked.sum()}', one)
            if style == 'mask_full' and noise == 'spans':
                runs = int((np.diff(masked.astype(int), prepend=0) > 0).sum())
                count = min(span_counts(len(masked), noise_density, mean_span_length)[1], hidden, max(len(masked) - hidden, 1))
                expect(runs == count, f'{count} spans, got {runs}', one)
            hidden_in_all, left = hidden_in_all + hidden, left + int(masked.sum())
            replaced += int((changed & ~masked).sum())
    if style == 'sentinels' and noise == 'spans':
        size = max(x.encoder_tokens.size if not x.decoder_only else 0 for _, x in examples)
        if size:
            expect(max(len(x.original) for _, x in examples) == helper(size, noise_density, mean_span_length)[0],
                   'a full row has as many tokens as the length helper says')
            expect({x.targets.size for _, x in examples} == {helper(size, noise_density, mean_span_length)[1]},
                   'targets have the length of the helper')
    if noise == 'iid' and style != 'replace_full':
        given.share(covered, tokens, noise_density, 'share of i.i.d. noise')
    if style == 'replace_full':               # a random id may be the token itself
        other = random * (1 - 1 / given.random_ids(examples[0][1].special))
        of = tokens if noise == 'iid' else hidden_in_all
        given.share(left, of, (1 - random) * (noise_density if noise == 'iid' else 1), 'share of sentinels')
        given.share(replaced, of, other * (noise_density if noise == 'iid' else 1), 'share of random ids')


def deshuffle(examples, noise_density=1.0, **_):
    stay = []
    for one, x in examples:
        inputs, targets = batch.two_sides(one, x, x.special['bos'])
        expect(np.array_equal(targets, x.original), 'the original is said', one)
        expect(collections.Counter(inputs.tolist()) == collections.Counter(targets.tolist()), 'the same tokens are read', one)
        stay.append((inputs == targets).sum() - unmoved(targets, noise_density))
    given.balanced(stay, f'tokens that stay in their places when {noise_density} of them are shuffled')
    expect(len(stay) >= 30 or np.sum(stay) < sum(len(x.original) for _, x in examples) / 2, 'rows are shuffled')


def unmoved(ids, density):
    """Expected number of places that hold the same id when tokens, each chosen with `density`, change places among themselves."""
    size = len(ids)
    alone = (1 - (1 - density)**size) / (size * density)  # chance that a chosen token comes to its own place
    same = np.unique(ids, return_inverse=True, return_counts=True)
    alike = (same[2][same[1]] - 1) / max(size - 1, 1)     # and, to that of another one, that both are alike
    return float(np.sum(1 - density + density * (alone + (1 - alone) * alike)))


UL2 = (('R', 3, 0.15), ('R', 8, 0.15), ('S', math.inf, 0.25), ('X', 3, 0.5), ('X', 8, 0.5), ('X', 64, 0.15), ('X', 64, 0.5))
MODES = {'R': 'nlu', 'S': 's2s', 'X': 'nlg'}


def ul2(examples, mode_tokens=True, noise='spans', rates=(), denoisers=None, **_):
    table = [(mode, math.inf if mode == 'S' else mean, density) for mode, mean, density in denoisers or UL2]
    found = collections.Counter()
    for one, x in examples:
        name = re.fullmatch(r'([RSX])\((?:([\d.]+), ?)?([\d.]+)\)', one['denoiser'] or '')
        expect(name, f'a denoiser such as R(3,0.15) or S(0.25), got {one["denoiser"]!r}', one)
        mode, mean, density = name[1], float(name[2] or math.inf), float(name[3])
        expect((mode, mean, density) in table, f'a known denoiser, got {one["denoiser"]!r}', one)
        found[mode, mean, density] += 1
        inputs, targets = batch.two_sides(one, x, x.special['bos'])
        if mode_tokens:
            expect(inputs[0] == x.special['marks'][MODES[mode]], 'the first input is the mode', one)
            inputs = inputs[1:]
        spans(one, x, inputs, targets, density, mean, rolled=noise == 'rolled' and mode != 'S')
        if mode == 'S':
            ids, hidden = merged(one, x, inputs, targets)
            expect(int(np.diff(hidden.astype(int)).clip(0).sum()) == 1 and hidden[-1], 'S hides one suffix', one)
        if not x.decoder_only and noise == 'spans' and mode != 'S':
            room = x.encoder_tokens.size - mode_tokens
            expect(len(x.original) <= helper(room, density, mean)[0], 'no more tokens than the length helper says', one)
    weights = np.array(rates or [1.0] * len(table)) / sum(rates or [1.0] * len(table))
    for denoiser, weight in zip(table, weights):
        given.share(found[denoiser], len(examples), weight, f'share of {denoiser}')
