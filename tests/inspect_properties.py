"""Confirms what the papers and the original code promise of each objective, from the output of train.inspect alone.

    python -m train.inspect --config=configs/pretrain_t5.py:tiny --num_examples=200 --json | python tests/inspect_properties.py

Settings are the published ones unless given: `noise_density=0.15 mean_span_length=3`. Imports numpy and nothing of this
project, and follows the specification of each original, not our code. Exit code 1 and a line a property that does not hold.
"""
import collections
import json
import math
import sys

import numpy as np

NEVER = 2**30


class Broken(AssertionError):
    pass


def expect(holds, what, one=None):
    """Raises with the example that breaks a property."""
    if not holds:
        raise Broken(what + (f' (example {one["index"]} of epoch {one["epoch"]})' if one else ''))


def share(count, out_of, expected, what, errors=4):
    """A share of independent draws, within `errors` standard errors."""
    if out_of:
        error = math.sqrt(expected * (1 - expected) / out_of)
        expect(abs(count / out_of - expected) <= errors * error + 1e-12,
               f'{what}: {count} of {out_of} = {count / out_of:.4f}, expected {expected:.4f} ± {errors} × {error:.4f}')


class Example:
    """An object of --json as arrays: `original`, the fields of the batch by name, special ids."""

    def __init__(self, one):
        self.json, self.special, self.original = one, one['special'], np.array(one['original'], int)
        for name, value in one['example'].items():
            setattr(self, name, value if isinstance(value, dict) else np.array(value))
        self.real, self.counted = self.segments != 0, self.weights > 0
        self.decoder_only = 'encoder_tokens' not in one['example'] and 'slots' not in one['example']

    def is_sentinel(self, ids):
        first, last = self.special['sentinels']
        marks = set(self.special['marks'].values())
        return np.array([last <= i <= first and i not in marks for i in np.asarray(ids).tolist()], bool)

    @property
    def sides(self):
        """(inputs, targets) of an objective with two sides, EOS included."""
        if 'encoder_tokens' in self.json['example']:
            return self.encoder_tokens[self.encoder_segments != 0], self.targets[self.counted]
        return self.targets[self.real & ~self.counted], self.targets[self.counted]


# What holds for all.

def batch(one, x):
    """The batch contract."""
    expect(set(one) == {'objective', 'denoiser', 'index', 'epoch', 'original', 'example', 'text', 'special'}, 'keys of the object', one)
    expect({'original', 'tokens', 'targets'} <= set(one['text']), 'texts', one)
    expect({'pad', 'mask', 'cls', 'sep', 'eos', 'sentinels', 'vocab_size'} <= set(one['special']), 'special ids', one)
    vocab = x.special['vocab_size']
    expect(x.special['sentinels'][0] == vocab - 1, 'sentinels start at the top of the vocabulary', one)
    for ids in (x.original, x.tokens, x.targets):
        expect(len(ids) == 0 or 0 <= ids.min() <= ids.max() < vocab, 'ids lie in the vocabulary', one)
    expect(x.weights.shape == x.targets.shape and (x.weights >= 0).all(), 'one weight a target, none negative', one)
    for side in ('', 'encoder_') if 'encoder_tokens' in one['example'] else ('',):
        tokens, segments, sees, seen = (np.array(one['example'][side + name]) for name in ('tokens', 'segments', 'sees', 'seen'))
        pad = segments == 0
        expect((sees[pad] == -1).all() and (seen[pad] == NEVER).all(), 'padding sees nothing and nothing sees it', one)
        expect((tokens[pad] == x.special['pad']).all(), 'padding holds pad', one)
        expect((np.diff(pad.astype(int)) >= 0).all(), 'padding is at the end', one)
        steps = np.diff(segments[~pad], prepend=0)
        expect(((steps == 0) | (steps == 1)).all(), 'segments count from 1', one)
    where = x.slots if 'slots' in one['example'] else np.arange(len(x.targets))
    expect(x.real[where[x.counted]].all(), 'no weight at padding', one)


def restarting(one, x, side=''):
    """Positions count from 0 in each segment."""
    segments, positions = (np.array(one['example'][side + name]) for name in ('segments', 'positions'))
    for segment in range(1, segments.max(initial=0) + 1):
        found = positions[segments == segment]
        expect((found == np.arange(len(found))).all(), f'{side}positions restart at 0 in each segment', one)


def causal(one, x):
    """Attention is causal within segments."""
    expect((x.sees[x.real] == x.positions[x.real]).all() and (x.seen[x.real] == x.positions[x.real]).all(), 'sees = seen = position', one)


def full(one, x, side=''):
    real, sees, seen = (np.array(one['example'][side + name]) for name in ('segments', 'sees', 'seen'))
    expect((sees[real != 0] >= seen[real != 0].max(initial=0)).all(), f'the {side or "model "}attention is bidirectional', one)


def shifted(one, x, start):
    """What a decoder reads is its targets moved one to the right, `start` at the first token of each segment."""
    begins = np.flatnonzero(x.real & (np.diff(x.segments, prepend=0) != 0))
    expect((x.tokens[begins] == start).all(), f'each segment starts with {start}', one)
    inner = np.setdiff1d(np.flatnonzero(x.real), begins)
    expect((x.tokens[inner] == x.targets[inner - 1]).all(), 'the decoder reads its targets one later', one)


def two_sides(one, x, start):
    """An encoder-decoder, or a decoder that reads both sides as a prefix LM; both sides end with EOS. (inputs, targets) without it."""
    inputs, targets = x.sides
    expect(inputs[-1] == x.special['eos'] and targets[-1] == x.special['eos'], 'both sides end with EOS', one)
    restarting(one, x)
    shifted(one, x, start)
    if x.decoder_only:
        prefix(one, x, len(inputs) + 1)
    else:
        causal(one, x)
        full(one, x, 'encoder_')
        restarting(one, x, 'encoder_')
    return inputs[:-1], targets[:-1]


def prefix(one, x, positions):
    """One segment whose first input positions, BOS included, see one another; no weight before the last of them."""
    reach = np.maximum(x.positions, positions - 1)[x.real]
    expect((x.sees[x.real] == reach).all() and (x.seen[x.real] == reach).all(), 'sees = seen = max(position, inputs)', one)
    expect((x.counted[x.real] == (np.arange(x.real.sum()) >= positions - 1)).all(), 'the loss is on the targets alone', one)


# Span corruption and its kin (T5's preprocessors).

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


def span_corruption(examples, noise_density=0.15, mean_span_length=3.0, noise='spans', style='sentinels', random=0.1, **_):
    tokens, covered = 0, 0
    for one, x in examples:
        inputs, targets = two_sides(one, x, x.special['bos'])
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
        else:
            expect(np.array_equal(targets, x.original) and len(inputs) == len(targets), 'the whole text is said', one)
            masked = inputs == x.special['sentinels'][0]
            changed = inputs != targets
            expect(style == 'replace_full' or (changed == masked).all(), 'only the sentinel replaces', one)
            covered += masked.sum() if style == 'mask_full' else 0
    if style == 'sentinels' and noise == 'spans':
        size = max(x.encoder_tokens.size if not x.decoder_only else 0 for _, x in examples)
        if size:
            expect(max(len(x.original) for _, x in examples) == helper(size, noise_density, mean_span_length)[0],
                   'a full row has as many tokens as the length helper says')
            expect({x.targets.size for _, x in examples} == {helper(size, noise_density, mean_span_length)[1]}, 'targets have the length of the helper')
    if noise == 'iid' and style != 'replace_full':
        share(covered, tokens, noise_density, 'share of i.i.d. noise')


def deshuffle(examples, noise_density=1.0, **_):
    moved = 0
    for one, x in examples:
        inputs, targets = two_sides(one, x, x.special['bos'])
        expect(np.array_equal(targets, x.original), 'the original is said', one)
        expect(collections.Counter(inputs.tolist()) == collections.Counter(targets.tolist()), 'the same tokens are read', one)
        moved += not np.array_equal(inputs, targets)
    expect(moved > len(examples) // 2, 'most rows are shuffled')


UL2 = {'R(3, 0.15)': (3, 0.15), 'R(8, 0.15)': (8, 0.15), 'S(0.25)': (math.inf, 0.25), 'X(3, 0.5)': (3, 0.5), 'X(8, 0.5)': (8, 0.5),
       'X(64, 0.15)': (64, 0.15), 'X(64, 0.5)': (64, 0.5)}
MODES = {'R': 'nlu', 'S': 's2s', 'X': 'nlg'}


def ul2(examples, mode_tokens=True, noise='spans', rates=(), denoisers=None, **_):
    table = UL2 if not denoisers else {f'S({d:g})' if m == 'S' else f'{m}({mu:g}, {d:g})': (math.inf if m == 'S' else mu, d) for m, mu, d in denoisers}
    for one, x in examples:
        name = one['denoiser']
        expect(name in table, f'a known denoiser, got {name!r}', one)
        inputs, targets = two_sides(one, x, x.special['bos'])
        if mode_tokens:
            expect(inputs[0] == x.special['marks'][MODES[name[0]]], 'the first input is the mode', one)
            inputs = inputs[1:]
        mean, density = table[name]
        spans(one, x, inputs, targets, density, mean, rolled=noise == 'rolled' and name[0] != 'S')
        if name[0] == 'S':
            ids, hidden = merged(one, x, inputs, targets)
            expect(int(np.diff(hidden.astype(int)).clip(0).sum()) == 1 and hidden[-1], 'S hides one suffix', one)
        if not x.decoder_only and noise == 'spans' and name[0] != 'S':
            room = x.encoder_tokens.size - mode_tokens
            expect(len(x.original) <= helper(room, density, mean)[0], 'no more tokens than the length helper says', one)
    weights = np.array(rates or [1.0] * len(table)) / sum(rates or [1.0] * len(table))
    for name, weight in zip(table, weights):
        share(sum(one['denoiser'] == name for one, _ in examples), len(examples), weight, f'share of {name}')


# Masked language models (BERT, ALBERT, RoBERTa, ELECTRA).

def pair(one, x):
    """[CLS] A [SEP] B [SEP] or [CLS] A [SEP]: types 0 up to the first [SEP], then 1; padding 0."""
    seps = np.flatnonzero(x.original == x.special['sep'])
    expect(x.original[0] == x.special['cls'] and x.original[-1] == x.special['sep'], 'the row is [CLS] ... [SEP]', one)
    expect(1 <= len(seps) <= 2, 'one or two [SEP]', one)
    if 'types' in one['example']:
        types = np.zeros(len(x.types), int)
        types[seps[0] + 1:len(x.original)] = 1
        expect((x.types == types).all(), 'types 0 for A with its [SEP], 1 for B', one)


def slots(one, x):
    """Slots in use: distinct, ascending, of weight 1, targets from the original; unused ones at place 0 with weight 0. Returns them."""
    count = int(x.counted.sum())
    used = x.slots[:count]
    expect((x.weights == (np.arange(len(x.weights)) < count)).all(), 'used slots come first, weights are 1 and 0', one)
    expect((np.diff(used) > 0).all() and (x.slots[count:] == 0).all(), 'slots ascend, unused ones are 0', one)
    expect((x.targets[:count] == x.original[used]).all(), 'targets are the original ids', one)
    expect(x.real.sum() == len(x.original), 'the row is as long as its original', one)
    rest = np.setdiff1d(np.arange(len(x.original)), used)
    expect((x.tokens[rest] == x.original[rest]).all(), 'tokens that are not chosen are unchanged', one)
    never = np.isin(x.original[used], [x.special[name] for name in ('pad', 'cls', 'sep')])
    expect(not never.any(), 'special tokens are never chosen', one)
    return used


def fates(examples, mask, random):
    """[MASK], kept and random shares of the chosen tokens; a random id may be [MASK] or the token itself."""
    counts = np.zeros(3, int)
    for one, x in examples:
        used = x.slots[x.counted]
        new, old = x.tokens[used], x.original[used]
        counts += [(new == x.special['mask']).sum(), ((new == old) & (new != x.special['mask'])).sum(), ((new != old) & (new != x.special['mask'])).sum()]
    hit = random / x.special['vocab_size']
    for count, expected, name in zip(counts, (mask + hit, 1 - mask - random + hit, random - 2 * hit), ('[MASK]', 'kept', 'random')):
        share(int(count), int(counts.sum()), expected, f'share of chosen tokens that are {name}')


def masked_lm(examples, rate=0.15, mask=0.8, random=0.1, selection='token', inputs='', **_):
    for one, x in examples:
        restarting(one, x)
        full(one, x)
        used = slots(one, x)
        count = min(x.slots.size, max(1, rounded(len(x.original) * rate)))
        text = int((~np.isin(x.original, [x.special[name] for name in ('cls', 'sep')])).sum())
        exact = selection == 'token'
        expect(len(used) == min(count, text) if exact else len(used) <= count, f'{count} of {len(x.original)} tokens are chosen, got {len(used)}', one)
        if 'labels' in one['example']:
            pair(one, x)
            expect(all(np.array(value) in (0, 1) for value in x.labels.values()), 'labels are 0 or 1', one)
    fates(examples, mask, random)


def replaced_token_detection(examples, rate=0.15, mask=0.85, generator='model', single=0.1, **_):
    masked = drawn = alone = 0
    for one, x in examples:
        restarting(one, x)
        full(one, x)
        pair(one, x)
        used = slots(one, x)
        room = int((rate + 0.005) * x.tokens.size)
        expect(x.slots.size == room, f'P = int((rate + 0.005) * L) = {room} slots', one)
        text = int((~np.isin(x.original, [x.special[name] for name in ('cls', 'sep', 'mask')])).sum())
        count = min(max(rounded(len(x.original) * rate), 1), room, text)
        expect(len(used) == count, f'{count} of {len(x.original)} tokens are drawn, got {len(used)}', one)
        new = x.tokens[used]
        if generator == 'model':
            expect(((new == x.special['mask']) | (new == x.original[used])).all(), 'a drawn token becomes [MASK] or stays', one)
            masked, drawn = masked + int((new == x.special['mask']).sum()), drawn + len(used)
    if generator == 'model':
        share(masked, drawn, mask, 'share of drawn tokens that are [MASK]')


# Causal language models.

def causal_lm(examples, documents='packed', **_):
    for one, x in examples:
        expect((x.weights[x.real] == 1).all(), 'every real token counts once', one)
        restarting(one, x)
        causal(one, x)
        if documents == 'packed':
            expect(np.array_equal(x.targets[x.real], x.original), 'the targets are the text', one)
            shifted(one, x, x.special['bos'])
            ends = np.flatnonzero(x.targets[x.real] == x.special['eos'])
            last = np.flatnonzero(np.diff(x.segments, append=0))
            expect(np.isin(ends, last).all(), 'EOS only ends a segment', one)
        else:
            expect((x.tokens[1:] == x.targets[:-1]).all(), 'the targets are the tokens one later', one)
            expect(x.segments.max() == 1, 'the stream is one segment', one)


OBJECTIVES = {function.__name__: function for function in (
    causal_lm, deshuffle, masked_lm, replaced_token_detection, span_corruption, ul2)}


def confirm(objects, **settings):
    """Raises Broken for the first property that does not hold. objects: what --json printed, parsed."""
    expect(len(objects) > 0, 'examples were printed')
    examples = [(one, Example(one)) for one in objects]
    for one, x in examples:
        batch(one, x)
    (name,) = {one['objective'] for one in objects}
    expect(name in OBJECTIVES, f'properties of {name} are known here')
    OBJECTIVES[name](examples, **settings)
    return name


def main(arguments):
    settings = {}
    for argument in arguments:
        name, _, text = argument.partition('=')
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    objects = [json.loads(line) for line in sys.stdin]
    try:
        print(f'{confirm(objects, **settings)}: {len(objects)} examples, every property holds')
    except Broken as error:
        print(f'broken: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
