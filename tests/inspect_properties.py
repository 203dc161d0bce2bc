"""Confirms what the papers and the original code promise of each objective, from the output of train.inspect alone.

    python -m train.inspect --config=configs/pretrain_t5.py:tiny --num_examples=200 --json | python tests/inspect_properties.py

Settings are the published ones unless given: `noise_density=0.15 mean_span_length=3`. Imports numpy and nothing of this
project, and follows the specification of each original, not our code. Exit code 1 and a line a property that does not hold.
"""
import collections
import json
import math
import re
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
        inputs, targets = two_sides(one, x, x.special['bos'])
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
        share(found[denoiser], len(examples), weight, f'share of {denoiser}')


# Masked language models (BERT, ALBERT, RoBERTa, ELECTRA).

def pair(one, x, both=False):
    """[CLS] A [SEP] B [SEP], or unless `both` [CLS] A [SEP]: types 0 up to the first [SEP], then 1; padding 0."""
    seps = np.flatnonzero(x.original == x.special['sep'])
    expect(x.original[0] == x.special['cls'] and x.original[-1] == x.special['sep'], 'the row is [CLS] ... [SEP]', one)
    expect(1 + both <= len(seps) <= 2, 'two [SEP], or one', one)
    expect((np.diff([0, *seps]) > 1).all(), 'both segments hold text', one)
    types = np.zeros(len(x.types), int)
    types[seps[0] + 1:len(x.original)] = 1
    expect((x.types == types).all(), 'types 0 for A with its [SEP], 1 for B', one)


def slots(one, x, candidates='text'):
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
    expect(candidates == 'row' or not never.any(), 'special tokens are never chosen', one)
    return used


def fates(examples, mask, random, random_ids='vocabulary', fate=None, select='token'):
    """[MASK], kept and random shares of the chosen tokens; a random id may be [MASK] or the token itself."""
    counts = np.zeros(3, int)
    for one, x in examples:
        used = x.slots[x.counted]
        if (fate or ('unit' if select == 'span' else 'token')) == 'unit':
            used = used[np.diff(used, prepend=-2) > 1]  # spans that touch share a draw: one of them counts
        new, old = x.tokens[used], x.original[used]
        counts += [(new == x.special['mask']).sum(), ((new == old) & (new != x.special['mask'])).sum(), ((new != old) & (new != x.special['mask'])).sum()]
    special = examples[0][1].special
    text = special['vocab_size'] - 5 - (special['sentinels'][0] - special['sentinels'][1] + 1)
    hit, masks = (random / special['vocab_size'],) * 2 if random_ids == 'vocabulary' else (random / text, 0)
    for count, expected, name in zip(counts, (mask + masks, 1 - mask - random + hit, random - hit - masks), ('[MASK]', 'kept', 'random')):
        share(int(count), int(counts.sum()), expected, f'share of chosen tokens that are {name}')


def letters(x):
    """bool[n - 1]: neighbours of the original that are letters of one word, in a vocabulary of bytes (byte b is b + 3)."""
    letter = np.array([chr(i - 3).isascii() and chr(i - 3).isalpha() if 3 <= i < 259 else False for i in x.original.tolist()], bool)
    return letter[1:] & letter[:-1]


def masked_lm(examples, rate=0.15, mask=0.8, random=0.1, select='token', inputs='document', count='bert', count_in='row', max_rate=None,
              candidates='text', random_ids='vocabulary', fate=None, **_):
    chosen, wanted, deviation = 0, 0.0, 0.0
    for one, x in examples:
        restarting(one, x)
        full(one, x)
        used = slots(one, x, candidates)
        length, room = len(x.original), x.slots.size
        open_to = int((~np.isin(x.original, [x.special[name] for name in ('cls', 'sep')])).sum()) if candidates == 'text' else length
        if count == 'bert' and count_in == 'row' and max_rate is None:
            budget = min(room, max(1, rounded(length * rate)))
            exact = select == 'token'
            expect(len(used) == min(budget, open_to) if exact else len(used) <= budget, f'{budget} of {length} tokens are chosen, got {len(used)}', one)
        elif count == 'roberta' and count_in == 'row' and select == 'token' and max_rate is None and length * rate + 1 <= room:
            low = math.floor(length * rate)
            expect(low <= len(used) <= low + 1, f'{low} or {low + 1} of {length} tokens are chosen, got {len(used)}', one)
            rest = length * rate - low
            chosen, wanted, deviation = chosen + len(used), wanted + length * rate, deviation + rest * (1 - rest)
        if select in ('word', 'ngram') and x.special['vocab_size'] == 517:
            hidden = np.isin(np.arange(length), used)
            expect((hidden[1:] == hidden[:-1])[letters(x)].all(), 'a word is chosen whole or not at all', one)
        if inputs in ('next_sentence', 'sentence_order'):
            pair(one, x, both=True)
            expect(set(x.labels) == {inputs} and np.array(x.labels[inputs]) in (0, 1), 'the label of the pair is 0 or 1', one)
        else:
            expect(x.original[0] == x.special['cls'] and x.original[-1] == x.special['sep'], 'the row is [CLS] ... [SEP]', one)
            expect(inputs == 'full_sentences' or (x.original == x.special['sep']).sum() == 1, 'one [SEP]', one)
    expect(abs(chosen - wanted) <= 4 * math.sqrt(deviation) + 1e-9, f'{wanted:.1f} tokens are chosen by floor(rate * n + u), got {chosen}')
    if inputs in ('next_sentence', 'sentence_order'):
        positive = np.mean([np.array(x.labels[inputs]) for _, x in examples])
        expect(0.5 - 2 / math.sqrt(len(examples)) <= positive < 1, f'label 1: half of the pairs, and all that had no choice, got {positive:.3f}')
    fates(examples, mask, random, random_ids, fate, select)


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

def segments(x):
    """Positions of each segment of a row."""
    return [np.flatnonzero(x.segments == number) for number in range(1, x.segments.max(initial=0) + 1)]


def causal_lm(examples, documents='packed', **_):
    for one, x in examples:
        expect((x.weights[x.real] == 1).all(), 'every real token counts once', one)
        expect(np.array_equal(x.targets[x.real], x.original), 'the targets are the text', one)
        restarting(one, x)
        causal(one, x)
        if documents == 'packed':
            shifted(one, x, x.special['bos'])
            ends = np.flatnonzero(x.targets[x.real] == x.special['eos'])
            last = np.flatnonzero(np.diff(x.segments[x.real], append=0))
            expect(np.isin(ends, last).all(), 'EOS only ends a segment', one)
        else:
            size = x.real.sum()
            expect((x.tokens[1:size] == x.targets[:size - 1]).all(), 'the targets are the tokens one later', one)
            expect(x.segments.max() == 1, 'the stream is one segment, whatever documents end in it', one)


def prefix_lm(examples, noise_density=0.5, separator='none', **_):
    places = []
    for one, x in examples:
        restarting(one, x)
        shifted(one, x, x.special['bos'])
        text = []
        for segment in segments(x):
            counted, targets = x.counted[segment], x.targets[segment]
            given = int((~counted).sum())
            expect((counted == (np.arange(len(segment)) >= given)).all(), 'the inputs come first, the targets count', one)
            reach = np.maximum(np.arange(len(segment)), given)
            expect((x.sees[segment] == reach).all() and (x.seen[segment] == reach).all(), 'sees = seen = max(position, inputs)', one)
            if separator == 'eos' and given:
                expect(targets[given - 1] == x.special['eos'], 'the inputs end with EOS', one)
                targets, given = np.delete(targets, given - 1), given - 1
            text.append(targets)
            length = len(targets) - (targets[-1] == x.special['eos'])
            if length > 2:
                expect(1 <= given <= length - 1, 'the cut leaves a token on both sides', one)
                places.append((given - 0.5) / (length - 1))
        expect(np.array_equal(np.concatenate(text), x.original), 'inputs and targets together are the original', one)
    if noise_density == 0.5 and places:
        off = np.mean(places) - 0.5
        expect(abs(off) <= 4 * math.sqrt(1 / 12 / len(places)), f'cuts are uniform: mean place {0.5 + off:.3f} of {len(places)}')


def fill_in_the_middle(examples, fim_rate=0.5, spm_rate=0.5, spm='joint', **_):
    pieces = arranged = suffix_first = 0
    look_alike, deviation, middles = 0.0, 0.0, []
    for one, x in examples:
        expect((x.weights[x.real] == 1).all(), 'every token counts, marks too', one)
        restarting(one, x)
        causal(one, x)
        shifted(one, x, x.special['bos'])
        marks = [x.special['marks'][f'fim_{name}'] for name in ('prefix', 'suffix', 'middle')]
        text = []
        for segment in segments(x):
            ids = x.targets[segment]
            body, end = (ids[:-1], ids[-1:]) if ids[-1] == x.special['eos'] else (ids, ids[:0])
            found = [np.flatnonzero(body == mark) for mark in marks]
            pieces += len(body) > 0
            if not any(map(len, found)):
                text += [body, end]
                continue
            expect([len(at) for at in found] == [1, 1, 1], 'one each of the three marks', one)
            p, s, m = (int(at[0]) for at in found)
            arranged += 1
            count = len(body) - 3
            characters = characters_of(body[~np.isin(body, marks)]) if x.special['vocab_size'] == 517 else None
            if spm == 'paper' and s == 0:      # <suffix> suffix <prefix> prefix <middle> middle
                expect(s < p < m, 'order of SPM', one)
                prefix, suffix, middle = body[p + 1:m], body[s + 1:p], body[m + 1:]
                suffix_first += 1
                parts = [prefix, middle, suffix]
            elif spm == 'joint' and s == p + 1:  # <prefix> <suffix> suffix <middle> prefix middle
                expect(p == 0 and s < m, 'order of SPM', one)
                suffix_first += bool(characters)
                parts = [body[m + 1:], body[s + 1:m]]
            else:                              # <prefix> prefix <suffix> suffix <middle> middle
                expect(p == 0 and p < s < m, 'order of PSM', one)
                prefix, suffix, middle = body[p + 1:s], body[s + 1:m], body[m + 1:]
                parts = [prefix, middle, suffix]
                if characters and characters == count > 1:  # two of the n + 1 gaps; with `joint` those with a prefix are known
                    gaps = characters + (spm == 'paper')
                    middles.append((len(middle) - (gaps**2 - 1) / (3 * gaps)) / gaps)
            if characters and spm == 'joint':  # PSM with an empty prefix reads the same
                empty = 1 - (characters / (characters + 1))**2
                chance = spm_rate + (1 - spm_rate) * empty
                look_alike, deviation = look_alike + chance, deviation + chance * (1 - chance)
            text += [*parts, end]
        if x.special['vocab_size'] == 517:     # elsewhere the parts may be other tokens of the same text
            expect(np.array_equal(np.concatenate(text), x.original), 'prefix, middle and suffix are the original', one)
    share(arranged, pieces, fim_rate, 'share of pieces that are rearranged')
    if spm == 'paper':
        share(suffix_first, arranged, spm_rate, 'share of them with the suffix first')
    elif deviation:
        expect(abs(suffix_first - look_alike) <= 4 * math.sqrt(deviation), f'{look_alike:.1f} with the suffix first, got {suffix_first}')
    if len(middles) > 20:
        expect(abs(np.mean(middles)) <= 4 * np.std(middles) / math.sqrt(len(middles)), 'mean length of the middle ((n+1)^2-1)/(3(n+1))')


def characters_of(ids):
    """Characters that ids of a byte vocabulary spell, None if they do not spell whole ones."""
    try:
        return len(bytes((ids - 3).tolist()).decode())
    except (UnicodeDecodeError, ValueError):
        return None


# Denoising (BART) and permuted LM (XLNet).

def denoising(examples, permute=1.0, infill=0.3, replace_length=1, random=0.0, mask=0.0, delete=0.0, insert=0.0, rotate=0.0, **_):
    hidden = tokens = masks = 0
    for one, x in examples:
        inputs, targets = two_sides(one, x, x.special['eos'])
        expect(np.array_equal(x.targets[x.counted], x.original), 'the clean row is said, with <s> and </s>', one)
        expect(inputs[0] == x.special['cls'] == targets[0], 'both sides start with <s>', one)
        read, text = inputs[1:][inputs[1:] != x.special['mask']], targets[1:]
        masks += len(inputs) - 1 - len(read)
        lacking = collections.Counter(text.tolist())
        lacking.subtract(read.tolist())
        if not random:
            expect(min(lacking.values(), default=0) >= 0, 'what is read and no [MASK] is of the text', one)
            expect(permute or rotate or subsequence(read, text), 'without permutation it keeps its order', one)
            if not (infill or mask or delete or insert):
                expect(len(read) == len(text), 'permutation and rotation keep every token', one)
        hidden, tokens = hidden + sum(count for count in lacking.values() if count > 0), tokens + len(text)
        expect(not (insert or infill or mask or delete) or not np.array_equal(inputs, targets) or len(text) < 4, 'something is hidden', one)
    if infill and not (mask or delete or insert or random):
        expect(0.5 * infill <= hidden / tokens <= 1.15 * infill, f'spans overlap, so that less than {infill} is hidden, got {hidden / tokens:.3f}')
    if infill and replace_length == 1 and not insert and not mask:
        expect(0 < masks <= tokens * infill, 'a [MASK] a span')


def permuted_lm(examples, reuse_length=0, num_predict=0, permutation_length=0, batch_size=0, directions='both', **_):
    later = pairs = 0
    windows = {}
    for one, x in examples:
        if not len(x.original):
            expect(not x.counted.any() and not x.real.any(), 'a row without text counts for nothing', one)
            continue
        size, room = len(x.original), num_predict or len(x.original) // 6
        reuse = reuse_length or size // 2
        block = permutation_length or reuse
        expect(np.array_equal(x.tokens, x.original) and x.real.all() and x.slots.size == room, 'the row is full and nothing is replaced', one)
        seps = np.flatnonzero(x.tokens == x.special['sep'])
        expect(len(seps) == 2 and seps[1] == size - 2 and x.tokens[-1] == x.special['cls'], 'R tokens, A <sep> B <sep> <cls>', one)
        types = np.where(np.arange(size) <= seps[0], 0, np.where(np.arange(size) < size - 1, 1, 2))
        expect((x.types == types).all(), 'types 0, 1 and 2 for <cls>', one)
        used = x.slots[x.counted]
        expect((np.diff(used) > 0).all() and (x.targets[x.counted] == x.tokens[used]).all(), 'the targets stand in the row', one)
        functional = np.isin(np.arange(size), [*seps, size - 1])
        expect(not functional[used].any(), 'separators and <cls> are not predicted', one)
        first = int((used < reuse).sum())
        expect(first == room - room // 2, f'{room - room // 2} targets in the first half, got {first}', one)
        expect(room // 2 - 3 <= len(used) - first <= room // 2, f'at most {room // 2} targets in the second half', one)
        expect((x.sees == x.seen).all(), 'the content stream sees up to its own rank', one)
        hidden = functional | np.isin(np.arange(size), used)
        for begin, end in ((0, reuse), (reuse, size)):
            rank, out = x.seen[begin:end], hidden[begin:end]
            context = rank[~out]
            # A special token that was also drawn as a target keeps its rank.
            expect((context == context[:1]).all() and (rank[out] > context[:1]).all(), 'context ranks first, all alike', one)
            expect(len(set(rank[out].tolist())) == out.sum(), 'what is hidden has ranks of its own', one)
            offset = rank - context[:1] - 1 - np.arange(end - begin) // block * block
            if end - begin > block:
                for place in range(block):
                    same = offset[place::block][out[place::block]]
                    expect((same == same[:1]).all(), 'one permutation, repeated along the half', one)
        expect(x.seen[:reuse].max() < x.seen[reuse:].min(), 'the first half does not see the second, which sees all of it', one)
        steps = np.diff(x.positions)
        expect((steps == steps[0]).all() and abs(int(steps[0])) == 1, 'positions count along the text', one)
        if batch_size:
            backwards = directions == 'both' and one['index'] % batch_size >= batch_size // 2
            expect(steps[0] == (-1 if backwards else 1), 'the second half of the rows reads backwards', one)
            before = windows.get((one['epoch'], one['index'] - batch_size))
            if before is not None:
                a = before.tokens[reuse:reuse + min(reuse, int(np.flatnonzero(before.tokens == x.special['sep'])[0]) - reuse)]
                expect((x.tokens[:len(a)] == a).all(), 'a row goes on where the one before it, a batch ago, was', one)
        windows[one['epoch'], one['index']] = x
        drawn = used[used < block]
        drawn = drawn[:len(drawn) // 2 * 2].reshape(-1, 2)
        pairs, later = pairs + len(drawn), later + int((x.seen[drawn[:, 0]] > x.seen[drawn[:, 1]]).sum())
    share(later, pairs, 0.5, 'of two targets, how often the later is said first')


# Mixtures.

def mixture(examples, members=None, **_):
    """members: {name: {'name': objective, 'weight': number, 'lengths': {field: length}, its settings}}, in the order of `task`."""
    expect(bool(members), 'the members of the mixture are given')
    total = sum(settings.get('weight', 1.0) for settings in members.values())
    for task, (name, settings) in enumerate(members.items()):
        own = [one for one, x in examples if x.task % len(members) == task]
        expect(all(one['denoiser'].split('/')[0] == name for one in own), f'task {task} is {name}')
        share(len(own), len(examples), settings.get('weight', 1.0) / total, f'share of {name}')
        settings = {key: value for key, value in settings.items() if key != 'weight'}
        if own:
            narrow = [narrowed(one, settings['lengths']) for one in own]
            OBJECTIVES[settings['name']]([(one, Example(one)) for one in narrow], **settings)


def narrowed(one, lengths):
    """An example as its member made it: what a mixture pads or adds is taken away."""
    fields, inner = {}, one['denoiser'].partition('/')[2] or None
    for name, value in one['example'].items():
        group = name if name == 'slots' else 'targets' if name in ('targets', 'weights') else \
            'encoder_tokens' if name.startswith('encoder_') else 'tokens'
        if name in ('index', 'labels'):
            fields[name] = value
        elif group in lengths and name != 'task':
            fields[name] = value[:lengths[group]]
    return {**one, 'denoiser': inner, 'example': fields}


OBJECTIVES = {function.__name__: function for function in (
    causal_lm, denoising, deshuffle, fill_in_the_middle, masked_lm, mixture, permuted_lm, prefix_lm, replaced_token_detection, span_corruption,
    ul2)} | {'alternation': mixture}


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
