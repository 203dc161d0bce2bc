"""Packed causal LM: rows worked by hand, every token a target exactly once, the epoch's law."""
import collections

import jax
import numpy as np
import pytest

from data import example, special_tokens
from data.objectives import causal_lm
from data.text import cache
from model import config as model_config, transformer
from tests.helpers import dependence
from train.objectives import token

N = example.NEVER_SEEN
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, bos=5, sentinels=(299, 44), vocab_size=300)


def corpus(*documents):
    return cache.Tokens.from_arrays([np.asarray(d) for d in documents], SPECIAL)


def rows(objective, source, epoch=0, seed=0):
    return [objective.transform(source, row, None) for row in objective.plan(source, seed, epoch)]


def test_a_packed_row_by_hand():
    """Documents of 4 and 1 tokens take 5 + 2 of 8 targets."""
    objective, source = causal_lm.Objective(8), corpus([10, 11, 12, 13], [20])
    one, = rows(objective, source)
    assert one['targets'].tolist() == [10, 11, 12, 13, 1, 20, 1, 0]
    assert one['tokens'].tolist() == [5, 10, 11, 12, 13, 5, 20, 0]
    assert one['weights'].tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    assert one['segments'].tolist() == [1, 1, 1, 1, 1, 2, 2, 0]
    assert one['positions'].tolist() == [0, 1, 2, 3, 4, 0, 1, 0]
    assert one['sees'].tolist() == [0, 1, 2, 3, 4, 0, 1, -1]
    assert one['seen'].tolist() == [0, 1, 2, 3, 4, 0, 1, N]
    assert objective.original(source, objective.plan(source, 0, 0)[0]).tolist() == [10, 11, 12, 13, 1, 20, 1]


def test_a_long_document_by_hand():
    """9 tokens and EOS in rows of 4: two full pieces that start with BOS, then the rest; EOS only at the end."""
    objective, source = causal_lm.Objective(4), corpus(np.arange(10, 19))
    got = {tuple(one['targets']): one['tokens'].tolist() for one in rows(objective, source)}
    assert got == {(10, 11, 12, 13): [5, 10, 11, 12], (14, 15, 16, 17): [5, 14, 15, 16], (18, 1, 0, 0): [5, 18, 0, 0]}


def test_a_document_that_fills_its_rows_leaves_eos_alone():
    got = [one['targets'].tolist() for one in rows(causal_lm.Objective(4), corpus([10, 11, 12, 13]))]
    assert sorted(got) == [[1, 0, 0, 0], [10, 11, 12, 13]]


def test_bos_defaults_to_pad():
    special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(299, 44), vocab_size=300)
    source = cache.Tokens.from_arrays([np.array([10, 11])], special)
    assert rows(causal_lm.Objective(4), source)[0]['tokens'].tolist() == [0, 10, 11, 0]


@pytest.mark.parametrize('size', [1, 7, 32])
def test_every_token_and_eos_is_a_target_exactly_once(size):
    draw = np.random.default_rng(0)
    documents = [draw.integers(6, 44, n) for n in draw.integers(0, 3 * size + 2, 60)]
    objective, source = causal_lm.Objective(size), corpus(*documents)
    for epoch in (0, 1):
        said = collections.Counter()
        for one in rows(objective, source, epoch):
            said.update(one['targets'][one['weights'] > 0].tolist())
            assert (one['targets'][one['weights'] == 0] == SPECIAL.pad).all()
            assert ((one['segments'] > 0) == (one['weights'] > 0)).all()
        expected = collections.Counter(np.concatenate(documents).tolist())
        expected[SPECIAL.eos] = sum(len(d) > 0 for d in documents)
        assert said == expected


def test_targets_are_the_next_token_within_a_segment():
    draw = np.random.default_rng(1)
    source = corpus(*[draw.integers(6, 44, n) for n in draw.integers(1, 40, 30)])
    for one in rows(causal_lm.Objective(16), source):
        first = one['positions'] == 0
        assert (one['tokens'][1:] == np.where(first, np.where(one['segments'] > 0, SPECIAL.bos, SPECIAL.pad),
                                              np.roll(one['targets'], 1))[1:]).all()
        assert one['tokens'][0] == SPECIAL.bos


def test_epochs_reshuffle_without_changing_their_length():
    draw = np.random.default_rng(2)
    objective, source = causal_lm.Objective(32), corpus(*[draw.integers(6, 44, n) for n in draw.integers(1, 20, 80)])
    plans = [objective.plan(source, 0, epoch) for epoch in range(3)]
    assert len({plan.shape for plan in plans}) == 1 and plans[0].dtype == np.int64
    assert (plans[0] != plans[1]).any() and (plans[1] != plans[2]).any()
    assert (plans[1] == objective.plan(source, 0, 1)).all() and (plans[1] != objective.plan(source, 1, 1)).any()


def test_fill():
    filled = lambda objective, source: np.mean([one['segments'] > 0 for one in rows(objective, source)])
    assert filled(causal_lm.Objective(8), corpus([10, 11, 12, 13], [20])) == 7 / 8
    draw = np.random.default_rng(3)
    source = corpus(*[draw.integers(6, 44, n) for n in np.clip(np.exp(draw.normal(5, 1, 500)), 1, None).astype(int)])
    assert filled(causal_lm.Objective(128), source) > 0.99


def test_no_text_no_rows():
    for source in (corpus(), corpus([], [])):
        assert len(causal_lm.Objective(8).plan(source, 0, 0)) == 0


def test_what_it_states():
    objective = causal_lm.Objective(16)
    assert objective.lengths() == {'tokens': 16, 'targets': 16} and objective.problems(SPECIAL) == []
    assert objective.architectures == ('decoder',) and objective.hint == ('causal', 'packed') and objective.likelihood


def test_a_stream_by_hand():
    """Each document stands between two EOS; rows of 4 ignore that, and read on where the last one ended."""
    objective, source = causal_lm.Objective(4, 'stream'), corpus([10, 11, 12], [20], [], [30, 31])
    got = rows(objective, source)
    assert [one['targets'].tolist() for one in got] == [[10, 11, 12, 1], [20, 1, 30, 31], [1, 0, 0, 0]]
    assert [one['tokens'].tolist() for one in got] == [[1, 10, 11, 12], [1, 20, 1, 30], [31, 0, 0, 0]]
    assert [one['weights'].tolist() for one in got] == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert got[1]['segments'].tolist() == [1, 1, 1, 1] and got[1]['positions'].tolist() == [0, 1, 2, 3]
    assert got[1]['sees'].tolist() == got[1]['seen'].tolist() == [0, 1, 2, 3]
    assert objective.original(source, objective.plan(source, 0, 0)[1]).tolist() == [20, 1, 30, 31]


@pytest.mark.parametrize('size', [1, 3, 16, 500])
def test_a_stream_says_everything_once_and_reads_what_it_said(size):
    draw = np.random.default_rng(4)
    documents = [draw.integers(6, 44, n) for n in draw.integers(0, 30, 20)]
    flat = np.concatenate([np.append(d, SPECIAL.eos) for d in documents if len(d)])
    got = rows(causal_lm.Objective(size, 'stream'), corpus(*documents))
    said, read = (np.concatenate([one[name][one['weights'] > 0] for one in got]) for name in ('targets', 'tokens'))
    assert (said == flat).all() and read[0] == SPECIAL.eos and (read[1:] == flat[:-1]).all()


def test_windows_are_nanogpts():
    """x = stream[i:i + T], y = stream[i + 1:i + T + 1], i uniform in 0..N-T-1, as many as fit N."""
    draw = np.random.default_rng(5)
    documents = [draw.permutation(np.arange(6, 44))[:n] for n in (5, 0, 9, 1, 12)]
    flat = np.concatenate([np.append(d, SPECIAL.eos) for d in documents if len(d)])
    objective, source, size = causal_lm.Objective(4, 'windows'), corpus(*documents), 4
    windows = {tuple(flat[i:i + size + 1]): i for i in range(len(flat) - size)}
    counts = np.zeros(len(flat) - size)
    for epoch in range(300):
        got = rows(objective, source, epoch)
        assert len(got) == -(-len(flat) // size)
        for one in got:
            assert one['weights'].all() and (one['positions'] == np.arange(size)).all()
            counts[windows[(*one['tokens'], one['targets'][-1])]] += 1
            assert (one['tokens'][1:] == one['targets'][:-1]).all()
    expected = counts.sum() / len(counts)
    assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert [one['targets'].tolist() for one in rows(causal_lm.Objective(8, 'windows'), corpus([9, 8]))] == [[8, 1, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize('documents', causal_lm.DOCUMENTS)
def test_streams_have_plans_of_one_length_and_none_without_text(documents):
    objective = causal_lm.Objective(8, documents)
    for source in (corpus(), corpus([], [])):
        assert len(objective.plan(source, 0, 0)) == 0
    source = corpus(*[np.arange(6, 6 + n) for n in (3, 20, 1, 9)])
    assert len({objective.plan(source, seed, epoch).shape for seed in (0, 1) for epoch in (0, 1)}) == 1
    assert (objective.plan(source, 3, 1) == objective.plan(source, 3, 1)).all()


def test_documents_is_one_of_three():
    assert causal_lm.Objective(8, 'flat').problems() == [('objective.documents', 'expected packed, stream or windows.')]
    assert causal_lm.Objective(8, 'windows').problems() == []


@pytest.mark.parametrize('documents', causal_lm.DOCUMENTS)
def test_no_output_depends_on_a_later_token_or_packed_rows_on_another_document(documents):
    source = corpus(*[np.arange(10, 10 + n) for n in (11, 7, 14, 9)])
    objective = causal_lm.Objective(24, documents)
    one = objective.transform(source, objective.plan(source, 0, 0)[0], None)
    found, real = dependence.of(one), one['segments'] > 0
    expected = np.tril(np.ones_like(found))
    if documents == 'packed':
        assert one['segments'].max() > 1
        expected &= one['segments'][:, None] == one['segments'][None]
    assert (found == expected & real & real[:, None])[real].all()


def test_the_loss_of_a_packed_row_is_the_sum_of_its_documents_losses():
    backbone = transformer.Transformer(model_config.Config(vocab_size=300, layers=2, dim=16, heads=2, max_length=24))
    module, objective = token.TokenLoss(backbone), causal_lm.Objective(24)
    documents = [np.arange(10, 10 + n) for n in (9, 5, 6)]
    batch = lambda *documents: {name: value[None] for name, value in rows(objective, corpus(*documents))[0].items()}
    packed = batch(*documents)
    params = jax.jit(module.init)(jax.random.key(0), packed)
    loss = jax.jit(lambda batch: [x.sum() for x in module.apply(params, batch).terms['tokens']])
    assert packed['segments'].max() == 3
    assert float(loss(packed)[0]) == pytest.approx(sum(float(loss(batch(d))[0]) for d in documents), rel=1e-5)
    blank = {name: value[None] for name, value in example.empty(rows(objective, corpus([9]))[0]).items()}
    assert [float(x) for x in loss(blank)] == [0, 0]
