"""Masked language models: BERT, ALBERT, RoBERTa, SpanBERT."""
import math

import numpy as np

from tests.helpers.properties import batch, given, words
from tests.helpers.properties.given import expect
from tests.helpers.properties.spans import rounded


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


def fates(examples, mask, random, random_ids, unit):
    """Shares of [MASK], kept and random tokens. A random id may be [MASK] or the token itself. unit: words or spans share a draw."""
    counts = np.zeros(3, int)
    for _, x in examples:
        used = x.slots[x.counted]
        if unit:
            used = used[np.diff(used, prepend=-2) > 1]  # units that touch share a draw: one of them counts
        new, old = x.tokens[used], x.original[used]
        counts += [(new == x.special['mask']).sum(), ((new == old) & (new != x.special['mask'])).sum(),
                   ((new != old) & (new != x.special['mask'])).sum()]
    special = examples[0][1].special
    hit, masks = (random / special['vocab_size'],) * 2 if random_ids == 'vocabulary' else (random / given.random_ids(special), 0)
    for count, expected, name in zip(counts, (mask + masks, 1 - mask - random + hit, random - hit - masks), ('[MASK]', 'kept', 'random')):
        given.share(int(count), int(counts.sum()), expected, f'share of chosen tokens that are {name}')


def letters(x):
    """bool[n - 1]: neighbours of the original that are letters of one word, in a vocabulary of bytes (byte b is b + 3)."""
    letter = np.array([chr(i - 3).isascii() and chr(i - 3).isalpha() if 3 <= i < 259 else False for i in x.original.tolist()], bool)
    return letter[1:] & letter[:-1]


def masked_lm(examples, rate=0.15, mask=0.8, random=0.1, select='token', inputs='document', count='bert', count_in='row', max_rate=None,
              max_ngram=3, span_p=0.2, max_span=10, candidates='text', random_ids='vocabulary', fate=None, **_):
    chosen, wanted, deviation, units = 0, 0.0, 0.0, []
    for one, x in examples:
        batch.restarting(one, x)
        batch.full(one, x)
        used = slots(one, x, candidates)
        length, room = len(x.original), x.slots.size
        open_to = int((~np.isin(x.original, [x.special[name] for name in ('cls', 'sep')])).sum()) if candidates == 'text' else length
        if count == 'bert' and count_in == 'row' and max_rate is None:
            budget = min(room, max(1, rounded(length * rate)))
            exact = select == 'token'
            expect(len(used) == min(budget, open_to) if exact else len(used) <= budget,
                   f'{budget} of {length} tokens are chosen, got {len(used)}', one)
        elif count == 'roberta' and count_in == 'row' and select == 'token' and max_rate is None and length * rate + 1 <= room:
            low = math.floor(length * rate)
            expect(low <= len(used) <= low + 1, f'{low} or {low + 1} of {length} tokens are chosen, got {len(used)}', one)
            rest = length * rate - low
            chosen, wanted, deviation = chosen + len(used), wanted + length * rate, deviation + rest * (1 - rest)
        by_row = count == 'bert' and count_in == 'row' and max_rate is None
        if select != 'token' and given.is_bytes(x) and by_row and candidates == 'text':
            units.append((x, used, min(room, max(1, rounded(length * rate)))))
        if select in ('word', 'ngram', 'span') and given.is_bytes(x):
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
        labels(examples, inputs)
    if units:
        lengths = words.geometric(span_p, max_span) if select == 'span' else words.harmonic(max_ngram if select == 'ngram' else 1)
        chosen_units(units, words.spans if select == 'span' else words.ngrams, lengths, select)
    together = select == 'span' or count == 'roberta' and select == 'word'
    fates(examples, mask, random, random_ids, fate == 'unit' or fate is None and together)


def labels(examples, name):
    """Half of the pairs that had a choice have label 1, and all that had none: chunks of one sentence, which was all that was wanted.

    Pairs are cut on the longer side, so that A of such a chunk is no shorter than B: where it is, the label was a coin.
    """
    found = np.array([int(x.labels[name]) for _, x in examples])
    expect(found.mean() >= 0.5 - 2 / math.sqrt(len(found)), f'label 1: half of the pairs or more, got {found.mean():.3f}')
    shorter = 0
    for _, x in examples:
        first, last = np.flatnonzero(x.original == x.special['sep'])
        shorter += first - 1 < last - first - 1
    least = shorter / 2 - 2 * math.sqrt(shorter)
    expect((found == 0).sum() >= least, f'label 0: half of the pairs that had a choice, {least:.1f} or more, got {(found == 0).sum()}')
    expect((found == 0).any() or len(found) < 50, 'both labels are found')


def chosen_units(rows, draw, lengths, select, times=8):
    """The words that were chosen are like those that the published algorithm chooses of the same rows."""
    rng, measured, drawn = np.random.default_rng(0), [], []
    for x, used, budget in rows:
        special = np.isin(x.original, [x.special[name] for name in ('cls', 'sep')])
        found, follows = words.of_row(given.word_starts(x.original), special)
        measured.append(words.measured({i for i, (begin, _) in enumerate(found) if begin in used}, found, follows))
        drawn.append([words.measured(draw(found, follows, budget, lengths, rng), found, follows) for _ in range(times)])
    given.alike(measured, drawn, f'words chosen by {select}')
