"""BART's noise against fairseq's loops with injected draws, published figures, and the laws of the draws."""
import math

import numpy as np
import pytest

from data import example, special_tokens
from data.noise import infilling, masks

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
TEXT = np.arange(5, 515, dtype=np.int32)


def rng(i=0):
    return example.rng(0, 0, i)


class Draws:
    """A generator that gives what it was told: no shuffling, these places, these fates; random ids are the first text id."""

    def __init__(self, places=(), fates=()):
        self.places, self.fates = np.array(places, np.int64), np.array(fates)

    def permutation(self, values):
        return np.arange(values) if np.ndim(values) == 0 else np.array(values)

    def choice(self, *args, **kwargs):
        return self.places.copy()

    def random(self, size):
        assert size == len(self.fates)
        return self.fates

    def integers(self, high, size=None):
        return np.zeros(size, np.int64)


def naive(tokens, word_starts, begins, lengths, fates, random, replace_length):
    """fairseq's add_whole_word_mask, span by span and token by token, on <s> tokens </s>."""
    source = [-1, *tokens.tolist(), -2]
    starts = [0, *[int(s) for s in word_starts], 255]
    indices, lengths, keep = [int(b) + 1 for b in begins], [int(n) for n in lengths], [True] * len(source)

    def fill(place, span):
        source[place] = 5 if fates[span] < random else SPECIAL.mask

    for span, place in enumerate(indices):
        if replace_length == 0:
            keep[place] = False
        else:
            fill(place, span)
    left = [n - 1 for n in lengths]
    active = list(range(len(indices)))
    while active:
        for span in active:
            left[span] -= starts[indices[span] + 1]
        active = [span for span in active if left[span] >= 0]
        for span in active:
            indices[span] += 1
            if replace_length == -1:
                fill(indices[span], span)
            else:
                keep[indices[span]] = False
    assert keep[0] and keep[-1] and (source[0], source[-1]) == (-1, -2)
    return [token for token, kept in zip(source, keep) if kept][1:-1]


@pytest.mark.parametrize('replace_length', [1, 0, -1])
@pytest.mark.parametrize('share', [1.0, 0.4])
def test_infilling_equals_the_loops(replace_length, share, monkeypatch):
    draw = np.random.default_rng(1)
    for _ in range(200):
        tokens = draw.integers(5, 744, 30).astype(np.int32)
        starts = draw.random(30) < share
        starts[0] = True
        count = starts.sum()
        spans = draw.integers(1, max(2, count // 2))
        lengths, fates = draw.integers(1, 6, spans), draw.random(spans)
        first = np.sort(draw.choice(count, spans, replace=False))
        monkeypatch.setattr(infilling, 'span_lengths', lambda *args, lengths=lengths: lengths)
        made = infilling.infill(tokens, starts, 0.3, 3.0, replace_length, 0.3, SPECIAL, Draws(first, fates))
        assert made.tolist() == naive(tokens, starts, np.flatnonzero(starts)[first], lengths, fates, 0.3, replace_length)


def test_infilling_by_hand(monkeypatch):
    """Words: 10 11 | 12 | 13 14 15 | 16 | 17. Spans: one word at 10, three from 13 on, which swallow the one at 16."""
    starts, lengths = np.array([1, 0, 1, 1, 0, 0, 1, 1], bool), np.array([1, 3, 1])
    monkeypatch.setattr(infilling, 'span_lengths', lambda *args: lengths)
    found = [infilling.infill(np.arange(10, 18, dtype=np.int32), starts, 0.5, 3.0, how, 0.0, SPECIAL, Draws([0, 2, 3], [0.5] * 3)).tolist()
             for how in (1, 0, -1)]
    assert found == [[2, 12, 2], [12], [2, 2, 12, 2, 2, 2, 2, 2]]


def test_published_figures():
    """510 tokens, 30 %, lambda 3: budget 153, of which overlaps leave 136 tokens covered (26.7 %), 42.8 [MASK]s, 418 long."""
    made = [infilling.infill(TEXT, np.ones(510, bool), 0.3, 3.0, 1, 0.0, SPECIAL, rng(i)) for i in range(4000)]
    inserted, lengths = (np.array(values) for values in ([np.sum(m == 2) for m in made], [len(m) + 2 for m in made]))
    covered = 512 - lengths + inserted
    for values, published, digit in ((covered, 136, 0.5), (inserted, 42.8, 0.3), (lengths, 418, 0.5)):
        assert abs(values.mean() - published) < digit + 4 * values.std() / math.sqrt(len(values))


def test_poisson_table():
    """18 lengths for a mean of 3, P(0) = 0.0498."""
    table = infilling.poisson(3.0)
    assert len(table) == 18 and table[-1] == 1 and abs(table[0] - 0.0498) < 5e-5
    shares, factor = [], 1.0
    for k in range(18):
        factor = factor * k if k else 1.0
        shares.append(math.exp(-3) * 3.0 ** k / factor)
    assert shares[-1] < 1e-7 <= shares[-2]
    np.testing.assert_allclose(np.diff(table, prepend=0), np.array(shares) / sum(shares), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize('mean', [0.1, 16.2, 17.0, 50.0])
def test_laws_of_other_means(mean):
    """The original's table has one length for a mean above 16.12, where exp(-mean) < 1e-7, and spans never hide a word."""
    table = infilling.poisson(mean)
    shares = np.diff(table, prepend=0)
    assert np.arange(len(table)) @ shares == pytest.approx(mean, rel=1e-4) and shares.argmax() in (int(mean) - 1, int(mean))
    assert infilling.span_lengths(153, mean, rng()).sum() == 153


def test_spans_of_no_word_are_left_out_where_there_is_no_room():
    """Ten words, all hidden: ten spans of one and fifteen of none; 12 tokens have room for two more [MASK]s."""
    made = [infilling.infill(TEXT[:10], np.ones(10, bool), 1.0, 0.1, 1, 0.0, SPECIAL, rng(i), most) for i in range(20) for most in (10, 12)]
    assert [len(tokens) for tokens in made] == [10, 12] * 20


def test_span_lengths_add_up_and_follow_the_law():
    every = [infilling.span_lengths(153, 3.0, rng(i)) for i in range(600)]
    assert all(lengths.sum() == 153 and lengths[-1] > 0 for lengths in every)
    uncut = np.concatenate([lengths[:40] for lengths in every if len(lengths) > 40])  # far from the end, which is cut
    zero, three = np.mean(uncut == 0), np.mean(uncut == 3)
    for share, expected in ((zero, 0.0498), (three, math.exp(-3) * 27 / 6)):
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(uncut)) + 0.002
    assert infilling.span_lengths(1, 3.0, rng()).sum() == 1 == infilling.span_lengths(1, 0.05, rng()).sum()


def test_every_word_is_as_likely_to_begin_a_span():
    counts = np.zeros(20)
    for i in range(3000):
        made = infilling.infill(TEXT[:20], np.ones(20, bool), 0.05, 3.0, 1, 0.0, SPECIAL, rng(i))  # budget 1: one word hidden
        hidden = np.setdiff1d(TEXT[:20], made)
        assert len(hidden) == 1
        counts[hidden[0] - 5] += 1
    assert ((counts - 150) ** 2 / 150).sum() < 19 + 4 * math.sqrt(38)


def test_what_remains_is_a_subsequence_and_masks_are_at_most_the_spans(monkeypatch):
    spans, draw = [], infilling.span_lengths
    monkeypatch.setattr(infilling, 'span_lengths', lambda *args: spans.append(draw(*args)) or spans[-1])
    for i in range(100):
        made = infilling.infill(TEXT, np.arange(510) % 3 == 0, 0.3, 3.0, 1, 0.0, SPECIAL, rng(i))
        rest = iter(TEXT.tolist())
        assert all(token in rest for token in made[made != 2].tolist()) and np.sum(made == 2) <= len(spans[-1])


def test_random_ids_instead_of_masks():
    made = np.concatenate([infilling.infill(TEXT, np.ones(510, bool), 0.3, 3.0, 1, 0.1, SPECIAL, rng(i)) for i in range(200)])
    plain = np.concatenate([infilling.infill(TEXT, np.ones(510, bool), 0.3, 3.0, 1, 0.0, SPECIAL, rng(i)) for i in range(200)])
    ratio, n = np.sum(made == 2) / np.sum(plain == 2), np.sum(plain == 2)
    assert len(made) == len(plain) and abs(ratio - 0.9) < 4 * math.sqrt(0.09 / n) + 0.02  # empty spans round up
    assert not np.isin(made[made != 2], SPECIAL.reserved).any()


def test_nothing_to_infill():
    assert infilling.infill(TEXT, np.zeros(510, bool), 0.3, 3.0, 1, 0.0, SPECIAL, rng()) is TEXT
    assert infilling.infill(TEXT[:0], np.ones(0, bool), 0.3, 3.0, 1, 0.0, SPECIAL, rng()).tolist() == []


def test_sentences_by_full_stop():
    """99 ends a sentence, the first of several; the last token ends one too unless the one before it does: then it stays where it is."""
    for tokens, bounds in (([10, 11, 99, 12, 99], [0, 3, 5]), ([10, 99, 11, 12], [0, 2, 4]), ([10, 99, 99, 11, 99, 99], [0, 2, 5]),
                           ([99, 10], [0, 1]), ([10], [0, 1])):
        assert infilling.sentence_bounds(np.array(tokens), 99).tolist() == bounds


def test_permutation_by_hand():
    tokens = np.arange(10, 20, dtype=np.int32)
    orders = {tuple(infilling.permute(tokens, [0, 2, 5, 9], 1.0, rng(i)).tolist()) for i in range(200)}
    parts = [[10, 11], [12, 13, 14], [15, 16, 17, 18]]
    assert orders == {tuple([*a, *b, *c, 19]) for a in parts for b in parts for c in parts if len({a[0], b[0], c[0]}) == 3}
    assert infilling.permute(tokens, [0, 10], 1.0, rng()).tolist() == tokens.tolist()


def test_permutations_are_equally_likely_and_the_share_is_rounded_up():
    tokens, counts = np.arange(10, 14, dtype=np.int32), {}
    for i in range(4800):
        key = tuple(infilling.permute(tokens, [0, 1, 2, 3, 4], 1.0, rng(i)).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24 and sum((n - 200) ** 2 / 200 for n in counts.values()) < 23 + 4 * math.sqrt(46)
    for i in range(100):                       # ceil(0.3 * 4) = 2 of 4 change places: none or two are elsewhere
        moved = infilling.permute(tokens, [0, 1, 2, 3, 4], 0.3, rng(i)) != tokens
        assert moved.sum() in (0, 2)


def test_insertion():
    tokens, before = np.arange(10, 20, dtype=np.int32), []
    for i in range(3000):
        made = infilling.insert(tokens, 3, 0.0, SPECIAL, rng(i))
        assert made[made != 2].tolist() == tokens.tolist() and np.sum(made == 2) == 3 and made.dtype == np.int32
        before.append(np.flatnonzero(made == 2))
    counts = np.bincount(np.concatenate(before), minlength=13)
    assert ((counts - 9000 / 13) ** 2 / (9000 / 13)).sum() < 12 + 4 * math.sqrt(24)
    made = infilling.insert(tokens, 5, 0.3, SPECIAL, rng())
    assert np.sum(made == 2) == 3 and len(made) == 15      # ceil(5 * 0.3) = 2 are random ids
    assert infilling.insert(tokens, 0, 0.5, SPECIAL, rng()) is tokens


def test_masking_and_deletion():
    tokens = TEXT[:50].copy()
    tokens[7] = SPECIAL.mask
    for i in range(50):
        made = infilling.mask(tokens, 0.15, 0.0, SPECIAL, rng(i))
        assert np.sum(made == 2) == 1 + math.ceil(0.15 * 49) and ((made == tokens) | (made == 2)).all()
        made = infilling.delete(tokens, 0.15, SPECIAL, rng(i))
        assert len(made) == 50 - 8 and 2 in made and (np.diff(made[made != 2]) > 0).all()
    made = infilling.mask(TEXT, 1.0, 0.25, SPECIAL, rng())
    share = np.mean(made == 2)
    assert abs(share - 0.75) < 4 * math.sqrt(0.1875 / 510) and not np.isin(made[made != 2], SPECIAL.reserved).any()
    assert (tokens[:7] == TEXT[:7]).all()


def test_rotations_are_equally_likely_and_invertible():
    tokens, counts = np.arange(10, 17, dtype=np.int32), np.zeros(7)
    for i in range(3500):
        made = infilling.rotate(tokens, rng(i))
        first = int(np.flatnonzero(made == 10)[0])
        assert np.roll(made, -first).tolist() == tokens.tolist()
        counts[first] += 1
    assert ((counts - 500) ** 2 / 500).sum() < 6 + 4 * math.sqrt(12)
    assert infilling.rotate(tokens[:0], rng()).tolist() == []


def test_choose_is_what_draws_places():
    assert masks.choose(np.arange(5), 2, Draws([3, 1])).tolist() == [1, 3]
