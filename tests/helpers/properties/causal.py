"""Causal language models: GPT, prefix LM, fill in the middle."""
import math

import numpy as np

from tests.helpers.properties import batch, given
from tests.helpers.properties.given import expect
from tests.helpers.properties.spans import rounded


def segments(x):
    """Positions of each segment of a row."""
    return [np.flatnonzero(x.segments == number) for number in range(1, x.segments.max(initial=0) + 1)]


def causal_lm(examples, documents='packed', **_):
    for one, x in examples:
        expect((x.weights[x.real] == 1).all(), 'every real token counts once', one)
        expect(np.array_equal(x.targets[x.real], x.original), 'the targets are the text', one)
        batch.restarting(one, x)
        batch.causal(one, x)
        if documents == 'packed':
            batch.shifted(one, x, x.special['bos'])
            ends = np.flatnonzero(x.targets[x.real] == x.special['eos'])
            last = np.flatnonzero(np.diff(x.segments[x.real], append=0))
            expect(np.isin(ends, last).all(), 'EOS only ends a segment', one)
        else:
            size = x.real.sum()
            expect((x.tokens[1:size] == x.targets[:size - 1]).all(), 'the targets are the tokens one later', one)
            expect(x.segments.max() == 1, 'the stream is one segment, whatever documents end in it', one)


def prefix_lm(examples, noise_density=0.5, separator='none', **_):
    cuts, places, deviation = 0.0, 0, 0.0
    for one, x in examples:
        batch.restarting(one, x)
        batch.shifted(one, x, x.special['bos'])
        text = []
        for segment in segments(x):
            counted, targets = x.counted[segment], x.targets[segment]
            read = int((~counted).sum())
            expect((counted == (np.arange(len(segment)) >= read)).all(), 'the inputs come first, the targets count', one)
            reach = np.maximum(np.arange(len(segment)), read)
            expect((x.sees[segment] == reach).all() and (x.seen[segment] == reach).all(), 'sees = seen = max(position, inputs)', one)
            if separator == 'eos' and read:
                expect(targets[read - 1] == x.special['eos'], 'the inputs end with EOS', one)
                targets, read = np.delete(targets, read - 1), read - 1
            text.append(targets)
            length = len(targets) - (targets[-1] == x.special['eos'])
            if length > 2:
                low = max(1, rounded((1 - 2 * noise_density) * (length - 1)))
                expect(low <= read <= length - 1, f'the cut leaves {low} tokens or more before it and one behind it, got {read}', one)
                cuts, places = cuts + read - (low + length - 1) / 2, places + 1
                deviation += ((length - low)**2 - 1) / 12
        expect(np.array_equal(np.concatenate(text), x.original), 'inputs and targets together are the original', one)
    expect(abs(cuts) <= 4 * math.sqrt(deviation), f'cuts are uniform: off by {cuts:.1f} tokens in {places} of them')


def fill_in_the_middle(examples, fim_rate=0.5, spm_rate=0.5, spm='joint', **_):
    pieces = arranged = suffix_first = 0
    look_alike, deviation, middles = 0.0, 0.0, []
    for one, x in examples:
        expect((x.weights[x.real] == 1).all(), 'every token counts, marks too', one)
        batch.restarting(one, x)
        batch.causal(one, x)
        batch.shifted(one, x, x.special['bos'])
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
    given.share(arranged, pieces, fim_rate, 'share of pieces that are rearranged')
    if spm == 'paper':
        given.share(suffix_first, arranged, spm_rate, 'share of them with the suffix first')
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
