"""The share of the text that an epoch reads, against a text in which no token occurs twice."""
import numpy as np
import pytest

from data import objectives, special_tokens
from data.objectives import mixture
from data.text import cache

SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(8191, 8092), vocab_size=8192)
WAYS = {
    'causal_lm': [{}, dict(documents='stream'), dict(documents='windows')],
    'masked_lm': [{}, *(dict(inputs=inputs) for inputs in ('doc_sentences', 'full_sentences', 'next_sentence', 'sentence_order')),
                  dict(inputs='sentence_order', overflow='next_row')],
    'replaced_token_detection': [{}, dict(overflow='next_row')],
    'permuted_lm': [dict(batch_size=2), dict(batch_size=4, directions='forward')],
}


def source(sentence):
    """7,000 tokens, all different, in documents of up to 700 and sentences of up to `sentence` tokens."""
    draw, ids = np.random.default_rng(0), np.random.default_rng(1).permutation(np.arange(5, 7005))
    cuts = np.cumsum(draw.integers(1, 700, 60))
    documents = np.split(ids, cuts[cuts < 7000])
    starts = [np.unique(np.cumsum(draw.integers(1, sentence, 700))) for _ in documents]
    return cache.Tokens.from_arrays(documents, SPECIAL, [some[some < len(one)] for some, one in zip(starts, documents)])


def read(objective, text):
    """The share of the tokens that stand in a row, by looking at all rows."""
    rows = objective.plan(text, 0, 0)
    ids = np.unique(np.concatenate([objective.original(text, row) for row in rows]))
    return np.isin(ids, text.flat).sum() / text.num_tokens


@pytest.mark.parametrize('sentence', [9, 200])
@pytest.mark.parametrize('name', sorted(set(objectives.names()) - {'mixture', 'alternation'}))
def test_coverage_is_what_the_rows_hold(name, sentence):
    text = source(sentence)
    for fields in WAYS.get(name, [{}]):
        objective = objectives.load(name)(sequence_length=64, **fields)
        near = 0.015 if name == 'permuted_lm' else 1e-3
        assert objective.coverage(text, objective.plan(text, 0, 0)) == pytest.approx(read(objective, text), abs=near), fields


@pytest.mark.parametrize('sentence', [9, 200])
def test_replaced_token_detection_may_read_all_of_the_text_once(sentence):
    text, objective = source(sentence), objectives.load('replaced_token_detection')(64, overflow='next_row')
    rows = objective.plan(text, 0, 0)
    found = np.concatenate([objective.original(text, row) for row in rows])
    assert objective.coverage(text, rows) == 1 and np.array_equal(np.sort(found[found > 4]), np.sort(text.flat))
    assert max(len(objective.original(text, row)) for row in rows) <= 64


@pytest.mark.parametrize('kind', ['mixture', 'alternation'])
@pytest.mark.parametrize('names', [('causal_lm', 'prefix_lm'), ('causal_lm', 'prefix_lm', 'deshuffle'), ('masked_lm', 'masked_lm')])
@pytest.mark.parametrize('weights', [(1, 1, 1), (3, 1, 2)])
def test_members_read_the_text_together(kind, names, weights):
    """As many rows as the text has, of members that do not know of one another: two equal ones read three quarters of it."""
    text, fields = source(200), {'batch_size': 4} if kind == 'alternation' else {}
    one = objectives.load(kind)(64, members=tuple(
        mixture.Member(f'm{i}', objectives.load(name)(64), weight) for i, (name, weight) in enumerate(zip(names, weights))), **fields)
    assert one.coverage(text, one.plan(text, 0, 0)) == pytest.approx(read(one, text), abs=0.05)
