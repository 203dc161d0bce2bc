"""Fill-in-the-middle: rows by hand, the law of the cuts, characters that are never cut, and the text put together again."""
import functools

import numpy as np
import pytest

from data import example, pipeline, special_tokens, tokenizer as tokenizers
from data.objectives import causal_lm, fill_in_the_middle
from data.text import cache, sources
from data.vocabularies import vocabulary
from tests.helpers import dependence

BYTES = tokenizers.Bytes()
P, S, M = (BYTES.special.mark(f'fim_{name}') for name in ('prefix', 'suffix', 'middle'))
EOS = BYTES.special.eos
TEXTS = ('Call me Ishmael. Some years ago', '滚滚长江东逝水，浪花淘尽英雄。', 'é🙂 naïve — café', 'x')


class Draws:
    """A generator whose draws are given, in the order in which they are asked for."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        return self.values.pop(0)

    def integers(self, high, size):
        drawn = np.array([self.values.pop(0) for _ in range(size)])
        assert (0 <= drawn).all() and (drawn < high).all()
        return drawn


def corpus(*texts, tokenizer=BYTES):
    ids = [np.asarray(tokenizer.encode(text)) for text in texts]
    return cache.Tokens.from_arrays(ids, tokenizer.special, token_bytes=tokenizer.token_bytes, tokenizer=tokenizer)


@functools.cache
def pieces(name):
    """A SentencePiece vocabulary and the first texts of a bundled corpus."""
    texts = [text[start:start + 3000] for text, _ in zip(sources.open(f'bundled:{name}'), range(4)) for start in range(0, 30000, 3000)]
    texts = [text for text in texts if text]
    return tokenizers.train(texts, 'bpe', 1000 if name == 'novels' else 2000), texts


def ids(text):
    return (np.frombuffer(text.encode(), np.uint8).astype(np.int32) + BYTES.OFFSET).tolist()


def made(objective, source, *draws):
    row, = objective.plan(source, 0, 0)
    return row, objective.transform(source, row, Draws(*draws))


def parsed(special, said, spm='joint'):
    """(prefix, middle, suffix, is it SPM) of the ids of one rearranged text; None for a text as it is."""
    p, s, m = (special.mark(f'fim_{name}') for name in ('prefix', 'suffix', 'middle'))
    said = list(said)
    if m not in said:
        assert p not in said and s not in said
        return None
    assert said.count(p) == said.count(s) == said.count(m) == 1
    at_p, at_s, at_m = said.index(p), said.index(s), said.index(m)
    assert max(at_p, at_s) < at_m and min(at_p, at_s) == 0
    if spm == 'paper' and at_s == 0:
        return said[at_p + 1:at_m], said[at_m + 1:], said[1:at_p], True
    assert at_p == 0
    return said[1:at_s], said[at_m + 1:], said[at_s + 1:at_m], at_s == 1


@pytest.mark.parametrize('order, spm, expected', [
    (0.9, 'joint', [P, *ids('ab'), S, *ids('def'), M, *ids('c'), EOS]),
    (0.1, 'joint', [P, S, *ids('def'), M, *ids('ab'), *ids('c'), EOS]),
    (0.1, 'paper', [S, *ids('def'), P, *ids('ab'), M, *ids('c'), EOS])])
def test_three_orders_by_hand(order, spm, expected):
    objective = fill_in_the_middle.Objective(32, spm=spm)
    row, one = made(objective, corpus('abcdef'), 0.3, 3, 2, order)
    assert one['targets'][:len(expected)].tolist() == expected
    assert one['tokens'][:len(expected)].tolist() == [BYTES.special.bos, *expected[:-1]]
    assert one['weights'].tolist() == [1] * len(expected) + [0] * (32 - len(expected))
    assert one['positions'][:len(expected)].tolist() == list(range(len(expected)))
    assert objective.original(corpus('abcdef'), row).tolist() == [*ids('abcdef'), EOS]


def test_a_text_stays_as_it_is_and_neighbours_do_not_mix():
    objective, source = fill_in_the_middle.Objective(40), corpus('abcdef', 'uvwxyz', '')
    _, one = made(objective, source, 0.7, 0.3, 0, 6, 0.9)
    first, second = (one['targets'][one['segments'] == i].tolist() for i in (1, 2))
    one, other = ('abcdef', 'uvwxyz') if first[0] == ids('a')[0] else ('uvwxyz', 'abcdef')
    assert first == [*ids(one), EOS] and second == [P, S, M, *ids(other), EOS]


def test_cuts_fall_between_characters_and_empty_parts_are_allowed():
    text = '滚é🙂a'
    for one in range(len(text) + 1):
        for two in range(len(text) + 1):
            parts = fill_in_the_middle.cut(np.array(ids(text)), BYTES, Draws(one, two), 0)
            a, b = sorted((one, two))
            assert [BYTES.decode(part) for part in parts] == [text[:a], text[a:b], text[b:]]


def test_bytes_of_a_character_that_a_piece_cuts_are_left_at_its_ends():
    """Every piece of the bytes: what is decoded is valid, and as long as it can be."""
    raw = np.array(ids('é滚🙂a—🙂'))
    for start in range(len(raw)):
        for stop in range(start + 1, len(raw) + 1):
            begin, end = fill_in_the_middle.characters(raw[start:stop], BYTES.table)
            spelt = [(i, j) for i in range(start, stop + 1) for j in range(i, stop + 1)
                     if '\ufffd' not in BYTES.decode(raw[i:j])]
            longest = max(j - i for i, j in spelt)
            assert '\ufffd' not in BYTES.decode(raw[start + begin:start + end]) and end - begin == longest
            for seed in range(3):
                parts = fill_in_the_middle.cut(raw[start:stop], BYTES, np.random.default_rng(seed), 0)
                assert np.concatenate(parts).tolist() == raw[start:stop].tolist()


def test_the_law_of_the_middle():
    """Two independent gaps of n + 1: E[middle] = ((n + 1)^2 - 1) / (3 (n + 1)), empty with probability 1 / (n + 1)."""
    n, draws, rng = 20, 6000, np.random.default_rng(0)
    text = np.array(ids('a' * n))
    lengths = np.array([len(fill_in_the_middle.cut(text, BYTES, rng, 0)[1]) for _ in range(draws)])
    assert abs(lengths.mean() - ((n + 1) ** 2 - 1) / (3 * (n + 1))) < 4 * lengths.std() / np.sqrt(draws)
    share = 1 / (n + 1)
    assert abs((lengths == 0).mean() - share) < 4 * np.sqrt(share * (1 - share) / draws)


@pytest.mark.parametrize('spm', fill_in_the_middle.SPM)
@pytest.mark.parametrize('name', ['bytes', 'novels', 'sanguo'])
def test_texts_can_be_put_together_again(name, spm):
    tokenizer, texts = (BYTES, [text * 9 for text in TEXTS]) if name == 'bytes' else pieces(name)
    objective, source = fill_in_the_middle.Objective(96, fim_rate=0.7, spm=spm), corpus(*texts, tokenizer=tokenizer)
    inside = finer = 0
    for i, row in enumerate(objective.plan(source, 0, 0)[:150]):
        one = objective.transform(source, row, example.rng(0, 0, i))
        original = objective.original(source, row).tolist()
        for segment in range(1, one['segments'].max() + 1):
            said = one['targets'][one['segments'] == segment].tolist()
            ending, parts = said[-1] == EOS, parsed(tokenizer.special, [i for i in said if i != EOS], spm)
            if parts is None:
                piece = said
            else:
                prefix, middle, suffix, first = parts
                if first and spm == 'joint':
                    prefix, middle = middle, []
                piece = prefix + middle + suffix + [EOS] * ending
                finer += len(piece)
            if parts is None:
                assert original[:len(said)] == said
            # the same text may be spelt in more tokens: find how many of the original it is
            size = next(n for n in range(1, len(original) + 1) if _bytes(tokenizer, original[:n]) == _bytes(tokenizer, piece))
            inside += size if parts else 0
            original = original[size:]
        assert original == []
    assert finer == inside if name == 'bytes' else inside < finer < 1.1 * inside


def _bytes(tokenizer, row):
    return b''.join(tokenizer.table[i] or b'<%d>' % i for i in row)


def test_more_tokens_than_there_is_room_for_are_cut_between_tokens():
    tokenizer, texts = pieces('novels')
    text = tokenizer.encode(texts[0])[:60]
    for seed in range(20):
        parts = fill_in_the_middle.cut(text, tokenizer, np.random.default_rng(seed), -1)
        assert np.concatenate(parts).tolist() == text.tolist()


def test_no_output_depends_on_another_text_or_on_what_comes_later():
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(99, 90), vocab_size=100)

    class Letters(vocabulary.Vocabulary):
        table = [b''] * 5 + [bytes([97 + i % 26]) for i in range(85)] + [b''] * 10

        def encode_batch(self, texts):
            return [np.array([ord(c) - 97 + 5 for c in text], np.int32) for text in texts]

    tokenizer = Letters()
    tokenizer.special = special
    source = cache.Tokens.from_arrays([np.arange(5, 5 + n) for n in (14, 9, 5)], special, tokenizer=tokenizer)
    objective = fill_in_the_middle.Objective(46, fim_rate=1.0)
    row, = objective.plan(source, 0, 0)
    one = objective.transform(source, row, example.rng(0, 0, 0))
    found, real = dependence.of(one), one['segments'] > 0
    assert one['segments'].max() == 3
    expected = np.tril(one['segments'][:, None] == one['segments'][None]) & real
    assert (found == expected)[real].all()


@pytest.mark.parametrize('name, spm', [('novels', 'joint'), ('sanguo', 'paper')])
def test_realised_rates_agree_with_expected(name, spm):
    _, texts = pieces(name)
    objective, source = fill_in_the_middle.Objective(256, fim_rate=0.6, spm_rate=0.3, spm=spm), corpus(*texts)
    totals = {rate: np.zeros(2) for rate in objective.expected()}
    for i, row in enumerate(objective.plan(source, 0, 0)[:400]):
        one = objective.transform(source, row, example.rng(0, 0, i))
        for rate, pair in objective.realised(source, row, one).items():
            totals[rate] += pair
    for rate, share in objective.expected().items():
        count, out_of = totals[rate]
        assert out_of > 100 and abs(count / out_of - share) < 4 * np.sqrt(share * (1 - share) / out_of), rate


def test_an_example_is_a_function_of_seed_epoch_and_index():
    source, objective = corpus(*TEXTS * 8), fill_in_the_middle.Objective(64)
    said = lambda *key: np.concatenate([pipeline.make(objective, source, *key, i)['targets'] for i in range(4)])
    assert (said(0, 0) == said(0, 0)).all() and (said(0, 0) != said(0, 1)).any() and (said(0, 0) != said(1, 0)).any()


def test_without_a_rate_it_is_causal_lm():
    source = corpus(*TEXTS)
    plain, same = fill_in_the_middle.Objective(32, fim_rate=0.0), causal_lm.Objective(32)
    plan = plain.plan(source, 0, 0)
    assert (plan == same.plan(source, 0, 0)).all()
    for row in plan:
        a, b = plain.transform(source, row, example.rng(0, 0, 0)), same.transform(source, row, None)
        assert a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_bad_settings():
    wrong = fill_in_the_middle.Objective(16, fim_rate=2, spm_rate=-1, spm='psm').problems()
    assert [key for key, _ in wrong] == ['objective.fim_rate', 'objective.spm_rate', 'objective.spm', 'sequence_length']
    few = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(9, 8), vocab_size=10)
    assert fill_in_the_middle.Objective(64).problems(few) == [('tokenizer.path', 'marks take 6 sentinels, the tokenizer has 2.')]
    assert len(fill_in_the_middle.Objective(32, fim_rate=1.0).plan(corpus('', ''), 0, 0)) == 0
