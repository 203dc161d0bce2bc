"""Words, n-grams and spans against the originals' loops with the same draws, their laws, and budgets that are never exceeded."""
import numpy as np
import pytest

from data.noise import masking


def row(draw, length=128, pieces=0.7):
    """Starts and allowed of a random row: specials at both ends and in the middle, words of a few tokens."""
    starts, allowed = draw.random(length) < pieces, np.ones(length, bool)
    for special in (0, length // 2, length - 1):
        allowed[special] = False
        starts[special:special + 2] = True
    return starts, allowed


def sets(starts, allowed):
    """BERT's candidates, in a loop: lists of the tokens of each word; and for each the stretch that it lies in."""
    words, stretches, stretch = [], [], 0
    for i, (start, may) in enumerate(zip(starts, allowed)):
        if not may:
            stretch += 1
        elif start or not words or words[-1][-1] != i - 1:
            words.append([i])
            stretches.append(stretch)
        else:
            words[-1].append(i)
    return words, stretches


def found(picks, words):
    return [[i for word in words[first:last] for i in word] for first, last in picks.tolist()]


@pytest.mark.parametrize('seed', range(5))
def test_words_are_those_of_a_loop(seed):
    starts, allowed = row(np.random.default_rng(seed))
    one = masking.words(starts, allowed)
    words, stretches = sets(starts, allowed)
    assert [list(range(begin, end)) for begin, end in zip(one.begins, one.ends)] == words
    assert one.reach.tolist() == [stretches.index(s + 1) if s + 1 in stretches else len(words) for s in stretches]


def test_no_words():
    one = masking.words(np.ones(3, bool), np.zeros(3, bool))
    for picks in (masking.whole_words(one, 1, np.random.default_rng(0)), masking.some_words(one, 1, np.random.default_rng(0)),
                  masking.ngrams(one, 1, 3, np.random.default_rng(0)), masking.spans(one, 1, 0.2, 10, np.random.default_rng(0))):
        places, units = masking.token_positions(one, picks)
        assert len(places) == len(units) == 0


@pytest.mark.parametrize('seed', range(20))
def test_fitting_is_the_walk(seed):
    draw = np.random.default_rng(seed)
    sizes, budget, taken, left = draw.integers(1, 6, 40), int(draw.integers(0, 30)), [], 0
    for i, size in enumerate(sizes):
        if left + size <= budget:
            taken.append(i)
            left += size
    assert masking.fitting(sizes, budget).tolist() == taken


@pytest.mark.parametrize('seed', range(20))
def test_ngrams_are_alberts_loop(seed):
    """`create_masked_lm_predictions` of ALBERT with the same shuffle and the same draws of n."""
    starts, allowed = row(np.random.default_rng(seed))
    words, stretches = sets(starts, allowed)
    rng = np.random.default_rng(seed + 100)
    picks = found(masking.ngrams(masking.words(starts, allowed), 19, 3, rng), words)
    rng = np.random.default_rng(seed + 100)
    drawn = np.searchsorted(np.cumsum([6 / 11, 3 / 11]), rng.random(len(words)), side='right') + 1
    expected, covered = [], set()
    for first in rng.permutation(len(words)).tolist():
        if len(covered) >= 19:
            break
        grams = [[i for w in range(first, min(first + n, len(words))) if stretches[w] == stretches[first] for i in words[w]]
                 for n in (1, 2, 3)]
        n = drawn[first] - 1
        while len(covered) + len(grams[n]) > 19 and n:
            n -= 1
        if len(covered) + len(grams[n]) > 19 or covered & set(grams[n]):
            continue
        covered |= set(grams[n])
        expected.append(grams[n])
    assert picks == expected and len(picks) > 3


@pytest.mark.parametrize('seed', range(20))
def test_spans_are_spanberts_loop(seed):
    """`PairWithSpanMaskingScheme.mask` with the same anchors and lengths, ending before a word that does not fit."""
    starts, allowed = row(np.random.default_rng(seed))
    words, stretches = sets(starts, allowed)
    rng = np.random.default_rng(seed + 100)
    picks = found(masking.spans(masking.words(starts, allowed), 19, 0.2, 10, rng), words)
    rng = np.random.default_rng(seed + 100)
    p = 0.2 * 0.8 ** np.arange(10)
    drawn = np.searchsorted(np.cumsum(p / p.sum())[:9], rng.random(len(words)), side='right') + 1
    tokens = [w for w, word in enumerate(words) for _ in word]
    covered = set()
    for place in rng.permutation(len(tokens)):
        anchor = tokens[place]
        if set(words[anchor]) & covered or len(covered | set(words[anchor])) > 19:
            continue
        for w in range(anchor, anchor + drawn[anchor]):
            if w == len(words) or stretches[w] != stretches[anchor] or len(covered | set(words[w])) > 19:
                break
            covered |= set(words[w])
    merged = []
    for i in sorted(covered):
        if merged and merged[-1][-1] == i - 1:
            merged[-1].append(i)
        else:
            merged.append([i])
    assert picks == merged and 15 < len(covered) <= 19


@pytest.mark.parametrize('budget', [1, 2, 7, 77, 400])
def test_whole_words_all_or_nothing_and_never_more(budget):
    draw = np.random.default_rng(budget)
    for _ in range(20):
        starts, allowed = row(draw, 512)
        one = masking.words(starts, allowed)
        words = [set(range(begin, end)) for begin, end in zip(one.begins, one.ends)]
        for picks in (masking.whole_words(one, budget, draw), masking.ngrams(one, budget, 3, draw),
                      masking.spans(one, budget, 0.2, 10, draw)):
            places, units = masking.token_positions(one, picks)
            chosen = set(places.tolist())
            assert len(chosen) == len(places) <= budget and allowed[places].all() and (np.diff(places) > 0).all()
            assert all(word <= chosen or not word & chosen for word in words)
            assert units.tolist() == sorted(units) and len(np.unique(units)) == len(picks)
            left = min((len(word) for word in words if not word & chosen), default=0)
            assert not left or len(chosen) + left > budget or budget == len(chosen)   # nothing that fits is left out


def test_ngram_lengths():
    """p(n) is 6/11, 3/11, 2/11 where nothing collides; runs of chosen tokens in a row of 512 are as in the original."""
    one, draw = masking.words(np.ones(9000, bool), np.ones(9000, bool)), np.random.default_rng(0)
    sizes = np.concatenate([np.diff(masking.ngrams(one, 60, 3, draw)[:-2], axis=1).ravel() for _ in range(400)])
    for n, p in ((1, 6 / 11), (2, 3 / 11), (3, 2 / 11)):
        assert abs(np.mean(sizes == n) - p) < 4 * np.sqrt(p * (1 - p) / len(sizes))
    one, runs = masking.words(np.ones(510, bool), np.ones(510, bool)), []
    for _ in range(400):
        places, _ = masking.token_positions(one, masking.ngrams(one, 77, 3, draw))
        runs.append(np.diff(np.flatnonzero(np.diff(places, prepend=-2, append=10**6) > 1)))
    runs = np.concatenate(runs)
    assert [round(float(np.mean(runs == n)), 2) for n in (1, 2, 3)] == pytest.approx([0.54, 0.26, 0.17], abs=0.035)


def test_span_lengths():
    """Geometric, drawn again above 10: mean 3.8, as the paper says; with the anchors at words of uniform tokens."""
    one, draw, lengths = masking.words(np.ones(20000, bool), np.ones(20000, bool)), np.random.default_rng(0), []
    for _ in range(300):
        lengths.append(np.diff(masking.spans(one, 80, 0.2, 10, draw), axis=1).ravel())
    whole = np.concatenate(lengths)
    p = 0.2 * 0.8 ** np.arange(10) / (1 - 0.8 ** 10)
    assert abs(whole.mean() - np.arange(1, 11) @ p) < 0.1 and np.arange(1, 11) @ p == pytest.approx(3.8, abs=0.01)
    assert np.mean(whole > 10) < 0.01          # two spans that touch
    assert abs(np.mean(whole == 1) - p[0]) < 0.02


def test_longer_words_are_anchors_more_often():
    """By their tokens, three to one; the budget of 3 takes a long word if it comes first, else only short ones."""
    one, draw = masking.words(np.array([True, False, False, True] * 5), np.ones(20, bool)), np.random.default_rng(0)
    long = [len(masking.spans(one, 3, 0.999, 1, draw)) == 1 for _ in range(4000)]
    assert abs(np.mean(long) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


def test_places_by_hand():
    one = masking.Words(np.array([1, 3, 4, 7]), np.array([3, 4, 6, 8]), np.array([3, 3, 3, 4]))
    places, units = masking.token_positions(one, np.array([[3, 4], [0, 2]]))
    assert places.tolist() == [1, 2, 3, 7] and units.tolist() == [0, 0, 0, 1]
