"""Denoising: BART. The noise of a row is compared with noise drawn on the same text as fairseq's `denoising_dataset` draws it."""
import collections
import math

import numpy as np

from tests.helpers.properties import batch, given
from tests.helpers.properties.given import expect


def denoising(examples, permute=1.0, infill=0.3, replace_length=1, random=0.0, mask=0.0, delete=0.0, insert=0.0, rotate=0.0,
              mean_span_length=3.0, spans_of='words', full_stop=None, **_):
    rng, measured, drawn = np.random.default_rng(0), [], []
    moved, movable = 0, []
    for one, x in examples:
        inputs, targets = batch.two_sides(one, x, x.special['eos'])
        expect(np.array_equal(x.targets[x.counted], x.original), 'the clean row is said, with <s> and </s>', one)
        expect(inputs[0] == x.special['cls'] == targets[0], 'both sides start with <s>', one)
        inputs, text = inputs[1:], targets[1:]
        expect(np.isin(x.special['mask'], text, invert=True), 'no [MASK] is said', one)
        now = noise_of(inputs, text, x.special['mask'])
        if not random:
            expect(now['ids that are not of the text'] == 0, 'what is read and no [MASK] is of the text', one)
            expect(permute or rotate or now['ids out of order'] == 0, 'without permutation it keeps its order', one)
            if not (infill or mask or delete or insert):
                expect(now['ids read'] == len(text), 'permutation and rotation keep every token', one)
        if given.is_bytes(x) or spans_of == 'tokens':
            starts = given.word_starts(text) if spans_of == 'words' else np.ones(len(text), bool)
            starts[:1] = True
            drawn.append([noise_of(noisy(text, starts, infill, mean_span_length, replace_length, random, mask, delete, insert,
                                         x.special, rng), text, x.special['mask']) for _ in range(8)])
            measured.append(now)
        sentences = len(given.sentence_ends(text)) + 1 if given.is_bytes(x) and full_stop is None else 1
        if sentences > 1 and permute and not rotate:  # seen to have several; their own order is one of k! of those that change places
            movable.append(1 - 1 / math.factorial(math.ceil(sentences * permute)))
            moved += now['ids out of order'] > (max(row['ids out of order'] for row in drawn[-1]) if random else 0)
    if permute or rotate:
        for row in (*measured, *(row for draws in drawn for row in draws)):
            del row['ids out of order']
    given.alike(measured, drawn, 'noise')
    expect(given.at_most(moved, movable) > given.RARE, f'sentences change places in {sum(movable):.1f} rows or more, got {moved}')


def noise_of(inputs, text, mask):
    """What is compared of a row: its [MASK]s, what is read, hidden, new, and not in the order of the text."""
    read = inputs[inputs != mask]
    lacking = collections.Counter(text.tolist())
    lacking.subtract(read.tolist())
    return {'[MASK]s': len(inputs) - len(read), 'ids read': len(read), 'hidden ids': sum(n for n in lacking.values() if n > 0),
            'ids that are not of the text': -sum(n for n in lacking.values() if n < 0),
            'ids out of order': len(read) - common(read.tolist(), text.tolist())}


def common(a, b):
    """Length of the longest common subsequence of two lists (Hyyrö's algorithm: a row of the table is the bits of a number)."""
    places = collections.defaultdict(int)
    for place, i in enumerate(b):
        places[i] |= 1 << place
    everything = row = (1 << len(b)) - 1
    for i in a:
        same = row & places[i]
        row = ((row + same) | (row - same)) & everything
    return len(b) - row.bit_count()


def noisy(text, starts, infill, mean, replace_length, random, mask, delete, insert, special, rng):
    """A text after infilling, masking, deletion and insertion, token by token; no sentence changes places."""
    ids = np.setdiff1d(np.arange(special['sentinels'][1]), [special[name] for name in ('pad', 'eos', 'mask', 'cls', 'sep')])

    def new(is_random):
        return int(rng.choice(ids)) if is_random else special['mask']

    out = infilled(text.tolist(), starts, infill, mean, replace_length, random, new, rng) if infill else text.tolist()
    if mask:
        places = [place for place, i in enumerate(out) if i != special['mask']]
        for place in rng.permutation(places)[:math.ceil(len(places) * mask)].tolist():
            out[place] = new(rng.random() < random)
    if delete:
        places = [place for place, i in enumerate(out) if i != special['mask']]
        gone = set(rng.permutation(places)[:math.ceil(len(places) * delete)].tolist())
        out = [i for place, i in enumerate(out) if place not in gone]
    if insert:
        out = inserted(out, math.ceil((len(out) + 2) * insert), random, new, rng)
    return np.array(out, int)


def infilled(text, starts, share, mean, replace_length, random, new, rng):
    """Spans of Poisson many words until ceil(share * words) are used; empty ones are inserted; spans may run into one another."""
    words = np.flatnonzero(starts).tolist()
    budget, lengths = math.ceil(len(words) * share), []
    law, place = [], 0
    while place <= mean or law[-1] >= 1e-7:
        law.append(math.exp(place * math.log(mean) - mean - math.lgamma(place + 1)))
        place += 1
    law = np.array(law) / sum(law)
    while sum(lengths) < budget:
        lengths += rng.choice(len(law), 64, p=law).tolist()
        while len(lengths) > 1 and sum(lengths[:-1]) >= budget:
            lengths.pop()
    lengths[-1:] = [lengths[-1] - sum(lengths) + budget] if lengths else []
    spans = rng.permutation([n for n in lengths if n]).tolist()
    out, hidden = dict(enumerate(text)), set()
    first = np.sort(rng.permutation(len(words))[:len(spans)]).tolist()
    for word, length in zip(first, spans):
        is_random = rng.random() < random
        end = words[word + length] if word + length < len(words) else len(text)
        for place in range(words[word], end):
            if place in hidden:
                continue
            if replace_length == -1:
                out[place] = new(is_random)
                hidden.add(place)
            elif place > words[word] or not replace_length:
                hidden.add(place)
            else:
                out[place] = new(is_random)
    kept = [i for place, i in sorted(out.items()) if replace_length == -1 or place not in hidden]
    return inserted(kept, len(lengths) - len(spans), random, new, rng)


def inserted(text, count, random, new, rng):
    """`count` [MASK]s more, anywhere; ceil(random * count) of them are random ids instead."""
    places = set(rng.permutation(len(text) + count)[:count].tolist())
    extra = [new(i < math.ceil(random * count)) for i in range(count)]
    rest = iter(text)
    rng.shuffle(extra)
    return [extra.pop() if place in places else next(rest) for place in range(len(text) + count)]
