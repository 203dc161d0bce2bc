"""UL2: the tabled lengths, the mode first, counts of each denoiser, shares of the mixture, the inverse."""
import collections

import numpy as np
import pytest

from data import example, special_tokens, tokenizer
from data.noise import spans
from data.objectives import ul2
from data.rows import sides
from data.text import cache, sources
from tests.helpers import spans as helper

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
TABLE = {'R(3,0.15)': (568, 114), 'R(8,0.15)': (588, 100), 'S(0.25)': (512, 130), 'X(3,0.5)': (766, 512), 'X(8,0.5)': (908, 512),
         'X(64,0.15)': (600, 92), 'X(64,0.5)': (1006, 512)}
MODES = {'R': 'nlu', 'S': 's2s', 'X': 'nlg'}


def corpus(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(5, 744, n) for n in lengths], SPECIAL)


SOURCE = corpus(500, 3, 41, 1, 90, 7000, 20_000)


def rows(objective, source, epoch=0, seed=0):
    for i, row in enumerate(objective.plan(source, seed, epoch)):
        yield row, objective.original(source, row), objective.transform(source, row, example.rng(seed, epoch, i))


def test_length_table():
    """Tokens and targets for 512 inputs; S hides L / 4 = 128, and its targets have a sentinel and EOS."""
    plain = ul2.Objective(512, mode_tokens=False)
    assert {name: (tokens, targets) for name, (tokens, _, targets) in zip(plain.names, plain.sizes())} == TABLE
    assert plain.lengths() == {'tokens': 512, 'targets': 512, 'encoder_tokens': 512}
    with_mode = ul2.Objective(512)
    for (name, (tokens, inputs, targets)), (_, mean, density) in zip(zip(with_mode.names, with_mode.sizes()), ul2.PUBLISHED):
        if name != 'S(0.25)':
            assert (tokens, targets) == spans.span_lengths(511, density, mean) and inputs <= 512
    assert with_mode.lengths() == plain.lengths()
    assert ul2.Objective(512, architecture='decoder', mode_tokens=False).lengths() == {'tokens': 1024, 'targets': 1024}


@pytest.mark.parametrize('architecture', sides.ARCHITECTURES)
@pytest.mark.parametrize('noise', ul2.NOISE)
@pytest.mark.parametrize('size', [64, 512])
def test_counts_modes_and_the_inverse(size, noise, architecture):
    objective, seen, text_seen = ul2.Objective(size, noise=noise, architecture=architecture), collections.Counter(), []
    assert objective.problems(SPECIAL) == []
    for row, text, one in rows(objective, SOURCE):
        name, (mode, mean, density) = objective.names[row[0]], objective.denoisers[row[0]]
        inputs, targets = sides.split(one)
        assert inputs[0] == SPECIAL.mark(MODES[name[0]]) and one['task'] == row[0]
        inputs = inputs[1:]
        assert (helper.merge(inputs, targets, SPECIAL) == text).all()
        for side in (inputs, targets):
            marks = side[side >= 744]
            assert marks.tolist() == [999 - j for j in range(len(marks))]
        seen[name] += 1
        text_seen.append(text)
        if len(text) == objective.sizes()[row[0]][0]:
            hidden, count = spans.span_counts(len(text), density, mean or np.inf)
            turned = int(noise == 'rolled' and mode != 'S')
            assert np.sum(targets < 744) == hidden == len(text) - np.sum(inputs < 744)
            assert count <= np.sum(inputs >= 744) <= count + turned and count <= np.sum(targets >= 744) <= count + turned
        if mode == 'S':
            cut = np.sum(inputs < 744)
            assert inputs.tolist() == [*text[:cut], 999] and targets.tolist() == [999, *text[cut:]]
    assert collections.Counter(np.concatenate(text_seen).tolist()) == collections.Counter(SOURCE.flat.tolist())
    counts = np.array([seen[name] for name in objective.names])
    assert counts.max() - counts.min() <= 2 and counts.sum() == len(text_seen)


def test_without_mode_tokens():
    objective = ul2.Objective(64, mode_tokens=False)
    for _, text, one in rows(objective, SOURCE):
        inputs, targets = sides.split(one)
        assert (helper.merge(inputs, targets, SPECIAL) == text).all() and len(inputs) < 64


def test_rolled_noise_moves_the_one_long_span():
    """At 512, X(64, 0.15) hides the last 90 tokens of every full row, unless the mask is turned."""
    source, only = cache.Tokens.from_arrays([np.arange(5, 605)] * 40, SPECIAL), (('X', 64.0, 0.15),)
    for noise in ('spans', 'rolled'):
        objective = ul2.Objective(512, only, noise=noise)
        ends = [text[-1] in sides.split(one)[1] for _, text, one in rows(objective, source) if len(text) == objective.sizes()[0][0]]
        assert len(ends) >= 39 and (all(ends) if noise == 'spans' else 0 < sum(ends) < 20)


def test_the_mixture_follows_its_rates():
    rates = (2.0, 1.0, 4.0, 0.0, 1.0, 1.0, 1.0)
    objective, counts, n = ul2.Objective(64, rates=rates), np.zeros(7), 0
    for epoch in range(3):
        table = objective.plan(SOURCE, 0, epoch)
        counts += np.bincount(table[:, 0], minlength=7)
        n += len(table)
    shares = np.array(rates) / 10
    assert len(objective.plan(SOURCE, 0, 1)) == len(table)
    assert (np.abs(counts / n - shares) <= 4 * np.sqrt(shares * (1 - shares) / n)).all() and counts[3] == 0


def test_the_first_rows_show_every_denoiser():
    """An evaluation that stops early reads a sample of the mixture, not one denoiser's part of the text."""
    first = ul2.Objective(64).plan(corpus(40_000), 0, 0)[:140, 0]
    counts = np.bincount(first, minlength=7)
    assert (np.abs(counts - 20) < 4 * np.sqrt(140 * 6 / 49)).all()


@pytest.mark.parametrize('total', [1, 5, 60, 100, 101, 1000, 98_765])
@pytest.mark.parametrize('shares', [(1.0,), (0.5, 0.5), (0.1, 0.2, 0.7), (1 / 7,) * 7])
def test_rows_are_dealt_exactly(total, shares):
    sizes, shares = np.array([100, 60, 7, 33, 90, 12, 55])[:len(shares)], np.array(shares)
    which = ul2.deal(total, sizes, shares, example.rng(0, 0, 0))
    ends = np.cumsum(sizes[which])
    assert ends[-1] >= total and (len(ends) == 1 or ends[-2] < total)
    assert (np.abs(np.bincount(which, minlength=len(shares)) - shares * len(which)) < 2).all()
    assert len(ul2.deal(total, sizes, shares, example.rng(0, 1, 0))) == len(which)


@pytest.mark.parametrize('fields', [dict(), dict(noise='rolled', mode_tokens=False), dict(architecture='decoder'),
                                    dict(rates=(3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))])
def test_realised_shares_are_the_expected(fields):
    objective, source, sums, n = ul2.Objective(64, **fields), corpus(40_000), {}, 0
    for row, _, one in rows(objective, source):
        n += 1
        for name, pair in objective.realised(source, row, one).items():
            sums[name] = np.add(sums.get(name, (0, 0)), pair)
    assert n >= 200 and set(sums) == set(objective.expected())
    for name, share in objective.expected().items():
        count, out_of = sums[name]
        assert abs(count / out_of - share) < 4 * np.sqrt(share * (1 - share) / out_of), name


def test_waste_is_the_padding_of_full_rows():
    for architecture in sides.ARCHITECTURES:
        objective, real = ul2.Objective(64, architecture=architecture), collections.Counter()
        total = 0
        for row, text, one in rows(objective, corpus(200_000)):
            if len(text) == objective.sizes()[row[0]][0]:
                total += 1
                for side in objective.waste():
                    real[side] += np.count_nonzero(one[side.replace('tokens', 'segments')])
        for side, share in objective.waste().items():
            assert abs(1 - real[side] / total / objective.lengths()[side] - share) < 0.005


def test_dynamic_and_reproducible():
    objective = ul2.Objective(64)
    row = next(row for row in objective.plan(SOURCE, 0, 0) if row[0] == 0)
    one, again, other = (objective.transform(SOURCE, row, example.rng(0, epoch, 0)) for epoch in (0, 0, 1))
    assert all((one[name] == again[name]).all() for name in one) and (one['encoder_tokens'] != other['encoder_tokens']).any()
    assert (objective.plan(SOURCE, 0, 0) == objective.plan(SOURCE, 0, 0)).all()
    assert (objective.plan(SOURCE, 0, 0)[:, :2] != objective.plan(SOURCE, 0, 1)[:, :2]).any()


def test_chinese_in_bytes():
    vocab = tokenizer.Bytes()
    text = next(iter(sources.open('bundled:sanguo')))[:2000]
    source = cache.Tokens.from_arrays(vocab.encode_batch([text]), vocab.special, tokenizer=vocab)
    objective, found = ul2.Objective(64), {}
    for row, _, one in rows(objective, source):
        inputs, targets = sides.split(one)
        found[row[1]] = helper.merge(inputs[1:], targets, vocab.special)
    assert vocab.decode(np.concatenate([found[key] for key in sorted(found)])) == text


@pytest.mark.parametrize('fields, key', [
    (dict(denoisers=(('Q', 3.0, 0.15),)), 'objective.denoisers'), (dict(denoisers=()), 'objective.denoisers'),
    (dict(denoisers=(('R', 0.5, 0.15),)), 'objective.denoisers'), (dict(denoisers=(('R', 3.0, 1.0),)), 'objective.denoisers'),
    (dict(denoisers=(('R', 3.0, 0.15),) * 2), 'objective.denoisers'), (dict(denoisers=(('X', 1.0, 0.7),)), 'objective.denoisers'),
    (dict(rates=(1.0, 2.0)), 'objective.rates'), (dict(rates=(0.0,) * 7), 'objective.rates'),
    (dict(rates=(-1.0, *(1.0,) * 6)), 'objective.rates'), (dict(noise='iid'), 'objective.noise'),
    (dict(sequence_length=4), 'sequence_length'), (dict(sequence_length=1100), 'objective.denoisers')])
def test_problems(fields, key):
    assert [k for k, _ in ul2.Objective(**{'sequence_length': 64, **fields}).problems(SPECIAL)] == [key]


def test_a_prompt_is_that_of_s():
    assert ul2.Objective(64).prompt([7, 8], SPECIAL) == ([SPECIAL.mark('s2s'), 7, 8, 999], SPECIAL.bos)
    assert ul2.Objective(64, mode_tokens=False).prompt([7, 8], SPECIAL) == ([7, 8, 999], SPECIAL.bos)


def test_marks_take_sentinels():
    """128 spans of X(3, 0.5) at 512 fit 128 sentinels without modes; the six marks take as many."""
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 872), vocab_size=1000)
    assert ul2.Objective(512, mode_tokens=False).problems(special) == []
    (_, text), = ul2.Objective(512).problems(special)
    assert 'the tokenizer has 122 sentinels left' in text
