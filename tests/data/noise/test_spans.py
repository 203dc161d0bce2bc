"""Noise against published numbers, loops and the uniform law over all masks."""
import itertools

import numpy as np
import pytest

from data import example, special_tokens
from data.noise import masks, spans
from data.text import cache
from tests.helpers import spans as helper

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(99, 60), vocab_size=100)


def uniform(counts, cells):
    """Is a table of counts over `cells` equally likely cells within 4 standard deviations of chi-square's mean?"""
    expected = sum(counts) / cells
    seen = list(counts) + [0] * (cells - len(counts))
    chi = sum((c - expected) ** 2 / expected for c in seen)
    return len(counts) <= cells and abs(chi - (cells - 1)) < 4 * np.sqrt(2 * (cells - 1))


def tally(draw, times):
    counts = {}
    for i in range(times):
        key = tuple(draw(example.rng(0, 0, i)))
        counts[key] = counts.get(key, 0) + 1
    return counts


@pytest.mark.parametrize('setting, lengths', [
    ((512, 0.15, 3.0), (568, 114)), ((128, 0.15, 3.0), (141, 29)), ((256, 0.15, 3.0), (284, 58)),
    ((1024, 0.15, 3.0), (1137, 229)), ((2048, 0.15, 3.0), (2274, 456)), ((64, 0.2, 1.0), (63, 27)),
    # UL2's denoisers
    ((512, 0.15, 8.0), (588, 100)), ((512, 0.5, 3.0), (766, 512)), ((512, 0.5, 8.0), (908, 512)),
    ((512, 0.15, 64.0), (600, 92)), ((512, 0.5, 64.0), (1006, 512))])
def test_length_table(setting, lengths):
    assert spans.span_lengths(*setting) == lengths


@pytest.mark.parametrize('density, mean_span', [
    (0.15, 3.0), (0.15, 8.0), (0.25, 3.0), (0.5, 3.0), (0.5, 8.0), (0.2, 1.0)])
def test_planned_lengths_hold_every_row(density, mean_span):
    """Full rows and every shorter last one fit; one token more would not; small rows included."""
    for size in range(4, 700):
        tokens, targets = spans.span_lengths(size, density, mean_span)
        for length in (tokens, max(1, tokens - 1), tokens // 2 + 1):
            noise, count = spans.span_counts(length, density, mean_span)
            if count <= max(length, 2) - noise:
                assert max(length, 2) - noise + count + 1 <= size + (length < 2)
                assert noise + count + 1 <= targets + (length < 2)
        noise, count = spans.span_counts(tokens + 1, density, mean_span)
        if density != 0.5:
            assert tokens + 1 - noise + count + 1 > size
            assert targets == sum(spans.span_counts(tokens, density, mean_span)) + 1


def test_rounding_is_half_even_in_float64():
    assert spans.span_counts(190, 0.15, 3.0)[0] == 28 == round(190 * 0.15)
    assert np.round(np.float32(190) * np.float32(0.15)) == 29  # what T5's float32 mask makes of it
    assert spans.span_counts(10, 0.25, 3.0)[0] == 2 and spans.span_counts(14, 0.25, 3.0)[0] == 4
    assert spans.span_counts(1, 0.15, 3.0) == (1, 1) and spans.span_counts(2, 0.99, 3.0) == (1, 1)


def test_lengths_where_float32_masks_outgrow_their_plan():
    """39 input lengths of 16..4096, 172, 316 and 352 first: T5 cuts the targets there, one number type does not."""
    grown = []
    for size in range(16, 4097):
        tokens, targets = spans.span_lengths(size, 0.15, 3.0)
        noise = int(np.round(np.float32(tokens) * np.float32(0.15)))
        count = max(1, int(np.round(np.float32(noise) / np.float32(3))))
        if noise + count + 1 > targets:
            grown.append(size)
        assert sum(spans.span_counts(tokens, 0.15, 3.0)) + 1 == targets
    assert len(grown) == 39 and grown[:3] == [172, 316, 352]


@pytest.mark.parametrize('items, parts', [(5, 1), (5, 2), (6, 3), (7, 4), (4, 4), (1, 1)])
def test_segmentations_are_equally_likely(items, parts):
    counts = tally(lambda rng: spans.segmentation(items, parts, rng), 3000)
    every = {tuple(np.diff((0, *cuts, items))) for cuts in itertools.combinations(range(1, items), parts - 1)}
    assert set(counts) == every
    assert uniform(list(counts.values()), len(every)) or len(every) == 1


def test_all_masks_are_equally_likely():
    """Length 12, 4 noise tokens in 2 spans: C(3, 1) x C(7, 1) masks."""
    assert spans.span_counts(12, 0.33, 2.0) == (4, 2)
    counts = tally(lambda rng: spans.random_spans(12, 0.33, 2.0, rng), 4000)
    assert len(counts) == 21 and uniform(list(counts.values()), 21)


@pytest.mark.parametrize('length, density, mean_span', [
    (568, 0.15, 3.0), (64, 0.15, 3.0), (63, 0.2, 1.0), (766, 0.5, 3.0), (2, 0.15, 3.0)])
def test_masks_have_the_counts(length, density, mean_span):
    noise, count = spans.span_counts(length, density, mean_span)
    for i in range(50):
        mask = spans.random_spans(length, density, mean_span, example.rng(1, 0, i))
        starts = mask & ~np.concatenate([[False], mask[:-1]])
        assert (mask.sum(), starts.sum()) == (noise, count)
        assert mask.dtype == bool and mask.shape == (length,) and not mask[0] and mask[-1]


def test_mean_mask_at_64():
    assert spans.span_counts(64, 0.15, 3.0) == (10, 3)  # 10 / 64 = 0.156


def test_one_span_is_always_the_end():
    for i in range(10):
        mask = spans.random_spans(600, 0.15, 64.0, example.rng(0, 0, i))
        assert mask[-90:].all() and not mask[:-90].any()


def test_short_masks():
    assert spans.random_spans(1, 0.15, 3.0, example.rng(0, 0, 0)).tolist() == [False]
    assert spans.random_spans(5, 0.0, 3.0, example.rng(0, 0, 0)).tolist() == [False] * 5


def test_lengths_where_spans_are_dropped():
    """marks=0: t - round(0.15 t) + 1 <= 512: 601 tokens keep 511; 602 keep 512."""
    assert spans.span_lengths(512, 0.15, 3.0, 0) == (601, 91)


def test_iid_noise():
    drawn = np.stack([spans.iid(50, 0.15, example.rng(0, 0, i)) for i in range(2000)])
    assert drawn.dtype == bool and abs(drawn.mean() - 0.15) < 4 * np.sqrt(0.15 * 0.85 / drawn.size)
    assert np.abs(drawn.mean(0) - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 2000)
    both = (drawn[:, 1:] & drawn[:, :-1]).mean()  # neighbours do not care
    assert abs(both - 0.15 ** 2) < 4 * np.sqrt(0.0225 / drawn.size) * np.sqrt(1 + 2 * 0.15)


def test_rolled_noise_is_the_same_circle_and_hides_every_place_equally_often():
    mask = spans.random_spans(40, 0.15, 64.0, example.rng(0, 0, 0))
    counts = np.zeros(40)
    for i in range(4000):
        turned = spans.noise('rolled', 40, 0.15, 64.0, example.rng(0, 1, i))
        assert turned.sum() == mask.sum() and np.sum(turned != np.roll(turned, 1)) == 2
        counts += turned
    assert abs(counts - 4000 * mask.mean()).max() < 5 * np.sqrt(4000 * mask.mean() * (1 - mask.mean()))


def test_random_text_is_uniform_over_ids_that_are_text():
    ids = masks.random_text(60_000, SPECIAL, example.rng(0, 0, 0))
    counts = np.bincount(ids, minlength=100)
    assert ids.dtype == np.int32 and counts[SPECIAL.reserved].sum() == 0 and uniform(counts[counts > 0].tolist(), 55)


def test_sentinels_by_hand():
    text = np.arange(10, 18)
    noise = np.array([0, 0, 1, 1, 0, 1, 0, 0], bool)
    assert spans.sentinels(text, noise, SPECIAL).tolist() == [10, 11, 99, 14, 98, 16, 17]
    assert spans.sentinels(text, ~noise, SPECIAL).tolist() == [99, 12, 13, 98, 15, 97]
    starts = np.array([1, 0, 0, 1, 1, 1, 1, 0], bool)  # noise at the beginning: targets number on their own count
    assert spans.sentinels(text, starts, SPECIAL).tolist() == [99, 11, 12, 98, 17]
    assert spans.sentinels(text, ~starts, SPECIAL).tolist() == [10, 99, 13, 14, 15, 16, 98]


def test_merge_is_the_inverse_for_every_mask():
    text = np.arange(10, 18, dtype=np.int32)
    for bits in itertools.product([False, True], repeat=8):
        mask = np.array(bits)
        inputs, targets = spans.sentinels(text, mask, SPECIAL), spans.sentinels(text, ~mask, SPECIAL)
        assert helper.merge(inputs, targets, SPECIAL).tolist() == text.tolist()
    assert helper.merge(text[:0], text[:0], SPECIAL).tolist() == []


def test_sentinels_run_out_with_a_clear_error():
    mask = np.arange(100) % 2 == 1
    text = ('50 spans need as many sentinels, the tokenizer has 40; lower objective.noise_density or sequence_length, '
            'or raise objective.mean_span_length')
    with pytest.raises(ValueError, match=text):
        spans.sentinels(np.arange(100) % 50, mask, SPECIAL)


@pytest.mark.parametrize('length, slots, count', [
    (128, 20, 19), (512, 77, 77), (512, 20, 20), (3, 20, 1), (6, 20, 1), (10, 20, 2), (30, 20, 4), (50, 20, 8),
    (70, 20, 10), (100, 20, 15)])
def test_masked_count_table(length, slots, count):
    """BERT: min(P, max(1, int(round(len * 0.15)))), Python's half-even round: 10 -> 1.5 -> 2, 30 -> 4.5 -> 4."""
    assert masks.masked_count(length, 0.15, slots) == count


def test_choices_are_equally_likely_subsets_in_order():
    counts = tally(lambda rng: masks.choose(np.array([3, 5, 6, 9, 11]), 2, rng), 3000)
    assert set(counts) == set(itertools.combinations([3, 5, 6, 9, 11], 2)) and uniform(list(counts.values()), 10)
    assert masks.choose(np.array([4, 7]), 5, example.rng(0, 0, 0)).tolist() == [4, 7]
    assert masks.choose(np.array([], int), 2, example.rng(0, 0, 0)).tolist() == []


def test_chosen_tokens_become_mask_random_or_stay():
    n = 40_000
    tokens, places = np.full(2 * n, 50, np.int32), np.arange(0, 2 * n, 2)
    new = masks.mask_or_replace(tokens, places, 0.8, 0.1, SPECIAL, example.rng(0, 0, 0))
    assert (tokens == 50).all() and (new[1::2] == 50).all() and new.dtype == np.int32
    chosen, error = new[::2], lambda p: 4 * np.sqrt(p * (1 - p) / n)
    # a random id may be [MASK] or the token itself
    assert abs(np.mean(chosen == SPECIAL.mask) - (0.8 + 0.1 / 100)) < error(0.8)
    assert abs(np.mean(chosen == 50) - (0.1 + 0.1 / 100)) < error(0.1)
    others = chosen[(chosen != SPECIAL.mask) & (chosen != 50)]
    assert abs(len(others) / n - 0.1 * 98 / 100) < error(0.1)
    counts = np.bincount(others, minlength=100)
    assert counts.min(initial=n, where=np.isin(np.arange(100), [2, 50], invert=True)) > 0  # specials and sentinels too
    assert uniform([c for i, c in enumerate(counts) if i not in (2, 50)], 98)


@pytest.mark.parametrize('length', range(1, 65))
def test_every_row_length_of_an_accepted_setting_can_be_corrupted(length):
    """At density 0.5 with spans of one token, short rows such as 3 and 7 have one token of text less than spans."""
    noise = spans.random_spans(length, 0.5, 1.0, np.random.default_rng(0))
    assert len(noise) == length and not noise[0] and noise.sum() == (0 if length == 1 else spans.span_counts(length, 0.5, 1.0)[0])


def test_words_by_hand():
    starts = np.arange(100) % 2 == 0
    source = cache.Tokens.from_arrays([], SPECIAL, word_starts=starts)
    assert masks.words(np.array([7, 8, 9, 9, 10], np.int32), source).tolist() == [True, True, False, False, True]
    assert masks.words(np.zeros(0, np.int32), source).tolist() == []
    assert starts[0] and not starts[1]         # the table itself is not written to


def test_one_draw_for_the_places_of_a_unit():
    tokens, places, units = np.arange(10, 40), np.arange(0, 30), np.repeat(np.arange(6), 5)
    seen = np.zeros(3, int)
    for i in range(500):
        new = masks.mask_or_replace(tokens, places, 0.5, 0.3, SPECIAL, example.rng(0, 0, i), units, np.array([77, 78], np.int32))
        for begin in range(0, 30, 5):
            part = new[begin:begin + 5]
            kind = 0 if (part == SPECIAL.mask).all() else 1 if (part == tokens[begin:begin + 5]).all() else 2
            assert kind < 2 or np.isin(part, [77, 78]).all()
            seen[kind] += 1
    assert (abs(seen / 3000 - [0.5, 0.2, 0.3]) < 4 * np.sqrt(0.25 / 3000)).all()
    assert (masks.mask_or_replace(tokens, places[:0], 0.5, 0.3, SPECIAL, example.rng(0, 0, 0), units[:0]) == tokens).all()
