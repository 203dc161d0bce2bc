"""Packed causal LM: rows worked by hand, every token a target exactly once, the epoch's law."""
import collections

import numpy as np
import pytest

from data import cache, example, vocabulary
from data.objectives import causal_lm

N = example.NEVER_SEEN
SPECIAL = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, bos=5, sentinels=(299, 44), vocab_size=300)


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
    special = vocabulary.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(299, 44), vocab_size=300)
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
    assert causal_lm.Objective(8).fill(corpus([10, 11, 12, 13], [20])) == 7 / 8
    draw = np.random.default_rng(3)
    source = corpus(*[draw.integers(6, 44, n) for n in np.clip(np.exp(draw.normal(5, 1, 500)), 1, None).astype(int)])
    assert causal_lm.Objective(128).fill(source) > 0.99


def test_no_text_no_rows():
    for source in (corpus(), corpus([], [])):
        assert len(causal_lm.Objective(8).plan(source, 0, 0)) == 0


def test_what_it_states():
    objective = causal_lm.Objective(16)
    assert objective.lengths() == {'tokens': 16, 'targets': 16} and objective.problems(SPECIAL) == []
    assert objective.architectures == ('decoder',) and objective.hint == 'causal' and objective.likelihood
