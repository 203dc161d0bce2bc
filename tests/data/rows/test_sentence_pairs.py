"""Pairs against the original's loops, with fixed draws exactly and with random ones in law; full sentences against a loop."""
import numpy as np
import pytest

from data import special_tokens, tokenizer
from data.rows import inputs, sentence_pairs as pairs
from data.text import cache, sentences, sources

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(9999, 9744), vocab_size=10000)
OTHER = {'next_sentence': pairs.RANDOM, 'sentence_order': pairs.SWAPPED}


def corpus(documents, empty=()):
    """Tokens of documents given as lengths of sentences; token i of the corpus has the id 5 + i, so that places are seen."""
    arrays, starts, count = [], [], 0
    for i, lengths in enumerate(documents):
        arrays.append(5 + (count + np.arange(sum(lengths))) % 9000)
        starts.append(np.cumsum(lengths)[:-1])
        count += sum(lengths)
        if i in empty:
            arrays.append(np.zeros(0, int))
            starts.append([])
    return cache.Tokens.from_arrays(arrays, SPECIAL, starts)


def random_documents(seed, count=40, most=12, longest=40):
    draw = np.random.default_rng(seed)
    return [draw.integers(1, longest, draw.integers(1, most + 1)).tolist() for _ in range(count)]


class Fixed:
    """A generator whose integers lie in the middle of their range and whose fractions are all alike."""

    def __init__(self, fraction):
        self.fraction = fraction

    def random(self, size):
        return np.full(size, self.fraction)

    def integers(self, low, high=None, size=None, endpoint=False):
        low, high = (0, low) if high is None else (low, high)
        middle = middle_of(np.asarray(low), np.asarray(high) + endpoint)
        return np.broadcast_to(middle, np.shape(middle) if size is None else size).copy()

    def binomial(self, n, p):
        return n // 2


def middle_of(low, high):
    return low + (high - low) // 2


def truncated(a, b, size):
    """BERT's `truncate_seq_pair`, one token at a time."""
    cut_a = cut_b = 0
    while a - cut_a + b - cut_b > size:
        if a - cut_a > b - cut_b:
            cut_a += 1
        else:
            cut_b += 1
    return cut_a, cut_b


def original(documents, size, short, random_next, coin, rng):
    """[(A's tokens, B's tokens, kind)] by `create_instances_from_document`; draws: coin() and rng.integers, rng.binomial."""
    starts, out = np.cumsum([0] + [sum(lengths) for lengths in documents]), []
    for d, document in enumerate(documents):
        edges = starts[d] + np.cumsum([0] + document)
        target = int(rng.integers(2, size, endpoint=True)) if short() else size
        i = begin = 0
        while i < len(document):
            i += 1
            if i < len(document) and edges[i] - edges[begin] < target:
                continue
            split = begin + 1 if i - begin == 1 else begin + int(rng.integers(1, i - begin))
            a = list(range(edges[begin], edges[split]))
            b, kind = list(range(edges[split], edges[i])), pairs.NEXT
            heads = coin()
            if i - begin == 1 or (random_next and heads):
                kind, other = pairs.FORCED if i - begin == 1 else pairs.RANDOM, d
                if len(documents) > 1:
                    other = int(rng.integers(len(documents) - 1))
                    other += other >= d
                sentence = int(rng.integers(0, len(documents[other])))
                places, b = starts[other] + np.cumsum([0] + documents[other]), []
                for j in range(sentence, len(documents[other])):
                    b += range(places[j], places[j + 1])
                    if len(b) >= target - len(a):
                        break
                i = split
            elif heads:
                a, b, kind = b, a, pairs.SWAPPED
            cuts = truncated(len(a), len(b), size)
            fronts = [int(rng.binomial(cut, 0.5)) for cut in cuts]
            a, b = (side[front:len(side) - (cut - front)] for side, cut, front in zip((a, b), cuts, fronts))
            out.append((a, b, kind))
            begin = i
    return out


def lists(rows):
    return [(list(range(a, b)), list(range(c, d)), kind) for a, b, c, d, kind in rows.tolist()]


@pytest.mark.parametrize('a, b, size, expected', [
    (10, 10, 20, (0, 0)), (10, 10, 19, (0, 1)), (10, 10, 18, (1, 1)), (10, 10, 17, (1, 2)), (15, 5, 10, (10, 0)),
    (5, 15, 10, (0, 10)), (15, 5, 9, (10, 1)), (5, 15, 9, (0, 11)), (15, 5, 7, (11, 2)), (1, 30, 2, (0, 29)), (3, 3, 61, (0, 0))])
def test_truncation_by_hand(a, b, size, expected):
    assert tuple(map(int, pairs.truncated(np.array(a), np.array(b), size))) == expected == truncated(a, b, size)


def test_truncation_is_the_loop():
    a, b = (part.ravel() for part in np.mgrid[1:25, 1:25])
    for size in range(2, 50):
        cut_a, cut_b = pairs.truncated(a, b, size)
        assert list(zip(cut_a, cut_b)) == [truncated(*both, size) for both in zip(a.tolist(), b.tolist())]
        assert ((a - cut_a >= 1) & (b - cut_b >= 1)).all()


@pytest.mark.parametrize('name', ['next_sentence', 'sentence_order'])
@pytest.mark.parametrize('fraction', [0.3, 0.7])
@pytest.mark.parametrize('short', [0.0, 1.0])
@pytest.mark.parametrize('block', [1, 50, 10**6])
def test_with_fixed_draws_pairs_are_the_originals(name, fraction, short, block, monkeypatch):
    monkeypatch.setattr(pairs, 'BLOCK', block)
    documents = random_documents(1)
    got = lists(pairs.pairs(corpus(documents), 61, short, OTHER[name], Fixed(fraction)))
    expected = original(documents, 61, lambda: fraction < short, name == 'next_sentence', lambda: fraction < 0.5, Fixed(fraction))
    assert got == expected and len(got) > 80
    assert {kind for _, _, kind in got} == ({pairs.FORCED} | {
        pairs.NEXT if fraction > 0.5 else pairs.RANDOM if name == 'next_sentence' else pairs.SWAPPED})


@pytest.mark.parametrize('name', ['next_sentence', 'sentence_order'])
def test_with_random_draws_pairs_have_the_originals_law(name):
    """Pairs an epoch, share of each kind, mean lengths, against the original over as many epochs; within 4 standard errors."""
    documents = random_documents(2)
    source, draw = corpus(documents), np.random.default_rng(0)
    def summary(found):
        kinds = np.array([kind for _, _, kind in found])
        return [len(found), *np.bincount(kinds, minlength=4), np.mean([len(a) for a, _, _ in found]),
                np.mean([len(b) for _, b, _ in found]), np.mean([len(a) + len(b) == 61 for a, b, _ in found])]
    ours = np.array([summary(lists(pairs.pairs(source, 61, 0.1, OTHER[name], np.random.default_rng(e)))) for e in range(150)])
    theirs = np.array([summary(original(documents, 61, lambda: draw.random() < 0.1, name == 'next_sentence',
                                        lambda: draw.random() < 0.5, draw)) for _ in range(150)])
    error = np.sqrt((ours.var(0) + theirs.var(0)) / 150)
    assert (abs(ours.mean(0) - theirs.mean(0)) < 4 * error + 1e-9).all()
    if name == 'next_sentence':               # above a half: forced ones, and what is put back makes more chunks
        assert (ours[:, 3] + ours[:, 4]).sum() / ours[:, 0].sum() > 0.55
    else:
        multiple = ours[:, 1] + ours[:, 2]
        assert abs(ours[:, 2].sum() / multiple.sum() - 0.5) < 4 * 0.5 / np.sqrt(multiple.sum())


@pytest.mark.parametrize('name', ['next_sentence', 'sentence_order'])
def test_what_pairs_are(name):
    documents = random_documents(3)
    source = corpus(documents, empty=(0, 7, 39))
    for seed in range(20):
        rows = pairs.pairs(source, 61, 0.1, OTHER[name], np.random.default_rng(seed))
        a, b, kind = rows[:, 1] - rows[:, 0], rows[:, 3] - rows[:, 2], rows[:, 4]
        assert a.min() >= 1 and b.min() >= 1 and (a + b).max() == 61
        own, other = (np.searchsorted(source.offsets, rows[:, i], side='right') for i in (0, 2))
        ends = np.searchsorted(source.offsets, rows[:, [1, 3]])
        assert (ends[:, 0] == own).all() and (ends[:, 1] == other).all()   # no side leaves its document
        assert ((own == other) == (kind < pairs.RANDOM)).all()
        follows = rows[:, 2] >= rows[:, 1]
        assert follows[kind == pairs.NEXT].all() and not follows[kind == pairs.SWAPPED].any()
        whole = (kind < pairs.RANDOM) & (a + b < 61)                       # nothing was cut: they touch
        gap = np.where(kind == pairs.SWAPPED, rows[:, 0] - rows[:, 3], rows[:, 2] - rows[:, 1])
        assert (gap[whole] == 0).all() and (gap[kind < pairs.RANDOM] >= 0).all()
        assert np.isin(rows[whole, 0], source.sentence_offsets).all()


@pytest.mark.parametrize('name', ['next_sentence', 'sentence_order'])
@pytest.mark.parametrize('size', [2, 3, 4, 30, 61])
def test_what_overflows_begins_the_next_pair(name, size):
    """Every token is once in an A or in a B that is not random; only a random B is cut; sentences are cut beyond 3/4 of a row."""
    source = corpus([*random_documents(3, longest=80), [700], [1, 300, 1], [size], [size + 1]], empty=(0, 7))
    for seed in range(20):
        rows = pairs.pairs(source, size, 0.1, OTHER[name], np.random.default_rng(seed), 'next_row')
        a, b, kind = rows[:, 1] - rows[:, 0], rows[:, 3] - rows[:, 2], rows[:, 4]
        own, other = (np.searchsorted(source.offsets, rows[:, i], side='right') for i in (0, 2))
        assert a.min() >= 1 and b.min() >= 1 and (a + b).max() == size and set(kind) == {pairs.NEXT, OTHER[name], pairs.FORCED}
        assert ((own == other) == (kind < pairs.RANDOM)).all()
        true = kind < pairs.RANDOM
        begins, ends = (np.concatenate([rows[:, i], rows[true, i + 2]]) for i in (0, 1))
        order = np.argsort(begins)
        assert begins[order].tolist() == [0, *ends[order][:-1]] and ends.max() == source.num_tokens
        assert (a[kind == pairs.FORCED] <= max(1, size * 3 // 4)).all()


def test_every_sentence_is_in_a_pair():
    """What a random B displaces comes again: without truncation every token is in some chunk's A or true B."""
    documents = random_documents(4, longest=10)
    source = corpus(documents)
    rows = pairs.pairs(source, 10**6, 0.0, pairs.RANDOM, np.random.default_rng(0))
    seen = np.zeros(source.num_tokens, int)
    for a, b, c, d, kind in rows.tolist():
        seen[a:b] += 1
        if kind == pairs.NEXT:
            seen[c:d] += 1
    assert (seen == 1).all()


def test_one_document_pairs_with_itself_and_nothing_gives_nothing():
    rows = pairs.pairs(corpus([[5] * 30]), 21, 0.0, pairs.RANDOM, np.random.default_rng(0))
    assert len(rows) and (rows[:, :4].min() >= 0) and rows[:, :4].max() <= 150 and pairs.RANDOM in rows[:, 4]
    for plan in (pairs.pairs(corpus([]), 21, 0.1, pairs.RANDOM, np.random.default_rng(0)), pairs.full(corpus([]), 21, True)):
        assert len(plan) == 0


def test_random_texts_are_uniform_over_other_documents():
    source = corpus([[30]] * 5)               # one sentence each: B is forced and random
    rows = np.concatenate([pairs.pairs(source, 31, 0.0, pairs.RANDOM, np.random.default_rng(e)) for e in range(1000)])
    own, other = (np.searchsorted(source.offsets, rows[:, i], side='right') for i in (0, 2))
    counts = np.zeros((6, 6))
    np.add.at(counts, (own, other), 1)
    assert (np.diag(counts) == 0).all()
    cells = counts[1:, 1:][~np.eye(5, dtype=bool)]
    assert ((cells - 250) ** 2 / 250).sum() < 15 + 4 * np.sqrt(2 * 15)


def quarters(length, size):
    """The lengths of the pieces of a sentence: those that end at a multiple of a quarter of `size`, rounded down."""
    ends = [size * k // 4 for k in range(1, 4 * length) if size * k / 4 < length] if length > size else []
    return np.diff([0, *ends, length]).tolist()


@pytest.mark.parametrize('name', ['next_sentence', 'sentence_order'])
@pytest.mark.parametrize('size', [4, 30, 61])
def test_a_sentence_longer_than_a_row_is_cut_in_quarters(name, size):
    documents = [*random_documents(6, longest=80), [700], [1, 300, 1], [size], [size + 1]]
    cut = [[piece for length in document for piece in quarters(length, size)] for document in documents]
    assert max(max(document) for document in cut) == size and quarters(62, 61) == [15, 15, 15, 16, 1]
    found, expected = (pairs.pairs(corpus(each), size, 0.1, OTHER[name], np.random.default_rng(0)) for each in (documents, cut))
    np.testing.assert_array_equal(found, expected)


def letters(first, last, rng, count=400):
    """Words of the letters between two."""
    return [''.join(map(chr, rng.integers(ord(first), ord(last) + 1, rng.integers(2, 8)))) for _ in range(count)]


def written(words, stops, rng, sentences=40, mean=20, space=' '):
    """A document of sentences whose lengths in words are log-normal."""
    counts = np.maximum(2, rng.lognormal(np.log(mean), 0.7, sentences).astype(int))
    return ' '.join(space.join(rng.choice(words, count)) + (rng.choice(list(stops)) if stops else '') for count in counts)


def texts(name):
    """Ten documents in a language."""
    rng = np.random.default_rng(0)
    if name in ('English', 'Chinese'):
        novels = list(sources.open({'English': 'bundled:novels', 'Chinese': 'bundled:sanguo'}[name]))
        return [text[:10_000] for text in novels[:10]]
    first, last, stops, space = {'Arabic': ('\u0627', '\u063a', '.؟', ' '), 'Hindi': ('\u0915', '\u0939', '।', ' '),
                                 'Thai': ('\u0e01', '\u0e2e', '', ''), 'unpunctuated': ('a', 'z', '', ' ')}[name]
    return [written(letters(first, last, rng), stops, rng, space=space) for _ in range(10)]


@pytest.mark.parametrize('kind', ['bytes', 'unigram'])
@pytest.mark.parametrize('name', ['English', 'Chinese', 'Arabic', 'Hindi', 'Thai', 'unpunctuated'])
def test_ten_epochs_or_next_row_read_a_text(name, kind):
    """At length 128, 95 % of the tokens are in a row: each epoch cuts other parts of the chunks that are longer than a row; with
    `next_row` one epoch reads all, and rows are at least 0.8 as full."""
    found = texts(name)
    vocabulary = tokenizer.train(found, kind, 800)
    documents = vocabulary.encode_batch(found)
    starts = [sentences.token_starts(text.encode(), ids, vocabulary.token_bytes) for text, ids in zip(found, documents)]
    source = cache.Tokens.from_arrays(documents, vocabulary.special, starts)
    for other in OTHER.values():
        seen = np.zeros(source.num_tokens + 1, int)
        for epoch in range(10):
            rows = pairs.pairs(source, 125, 0.1, other, np.random.default_rng(epoch))
            for begin in (0, 2):
                np.add.at(seen, rows[:, begin], 1)
                np.add.at(seen, rows[:, begin + 1], -1)
        assert (np.cumsum(seen)[:-1] > 0).mean() >= 0.95
        cut, whole = (pairs.pairs(source, 125, 0.0, other, np.random.default_rng(0), overflow) for overflow in ('cut', 'next_row'))
        assert inputs.coverage('next_sentence', source, whole) == 1
        assert np.mean(whole[:, (1, 3)] - whole[:, (0, 2)]) > 0.8 * np.mean(cut[:, (1, 3)] - cut[:, (0, 2)])


@pytest.mark.parametrize('crossing', [True, False])
@pytest.mark.parametrize('size', [3, 10, 62, 1000])
@pytest.mark.parametrize('block', [1, 10**6])
def test_full_sentences_are_the_loop(crossing, size, block, monkeypatch):
    monkeypatch.setattr(pairs, 'BLOCK', block)
    documents = random_documents(5)
    source = corpus(documents, empty=(0, 5))
    expected, begin, used, at = [], None, 0, 0
    for d, document in enumerate(documents):
        if begin is not None and (not crossing or block == 1):             # a block ends its last row
            expected.append((begin, at))
            begin = None
        for s, length in enumerate(document):
            for piece in [size] * (length // size) + [length % size] * (length % size > 0):
                between = int(s == 0 and piece == min(length, size) and begin is not None and at == source_start(documents, d))
                if begin is not None and used + between + piece > size:
                    expected.append((begin, at))
                    begin = None
                if begin is None:
                    begin, used, between = at, 0, 0
                used += between + piece
                at += piece
    expected.append((begin, at))
    assert [tuple(row) for row in pairs.full(source, size, crossing).tolist()] == expected


def source_start(documents, d):
    return sum(sum(lengths) for lengths in documents[:d])


def test_walk():
    assert pairs.walk(np.array([2, 2, 5, 4, 5, 6])).tolist() == [0, 2, 5] and pairs.walk(np.array([], int)).tolist() == []


def test_blocks_are_whole_documents():
    assert list(pairs.blocks(np.array([0, 3, 4, 9, 9, 10]), 4)) == [(0, 2), (2, 3), (3, 5)]
    assert list(pairs.blocks(np.array([0]), 4)) == []
