"""The models and batches of the bench: real ones of each family, and what both sides are given."""
import json

import jax
import numpy as np
import pytest

from bench import attention, cases, train_step
from data import example

TINY = dict(layers=2, dim=32, heads=2, vocab=384, length=32, batch=4)


@pytest.mark.parametrize('family', cases.FAMILIES)
def test_a_batch_is_full_rows_of_the_objective(family):
    case = cases.Case(family, **TINY)
    assert cases.Case(**json.loads(case.json())) == case
    config = cases.config(case)
    batch, lengths = cases.batch(config), config.objective.lengths()
    assert batch['tokens'].shape == (case.batch, lengths['tokens'])
    assert set(batch) <= set(example.FIELDS) and batch['weights'].sum() > 0
    for side in ('segments', 'encoder_segments'):     # PyTorch's attention is quickest without padding
        assert np.all(batch.get(side, 1) == 1)
    assert cases.tokens(case) == sum(batch[name].shape[1] for name in ('tokens', 'encoder_tokens') if name in batch)


@pytest.mark.parametrize('family', ['gpt2', 't5'])
def test_dropout_is_set_wherever_the_family_has_it(family):
    rates = [getattr(cases.config(cases.Case(family, dropout=0.1)).model, name)
             for name in ('dropout', 'attention_dropout', 'mlp_dropout', 'output_dropout')]
    assert rates == ([0.1] * 4 if cases.FAMILIES[family][0].get('dropout') else [0.0] * 4)


def test_rows_are_halved_while_memory_runs_out(monkeypatch):
    tried = []

    def measure(case, batch, *arguments):
        tried.append((case.batch, len(batch['tokens'])))
        if case.batch > 2:
            raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory')
        return {'batch': case.batch}

    monkeypatch.setattr(train_step, 'measure', measure)
    case, batch = cases.Case('gpt2', batch=8), {'tokens': np.zeros((8, 4))}
    assert train_step.largest(case, batch, 1) == {'batch': 2} and tried == [(8, 8), (4, 4), (2, 2)]
    with pytest.raises(RuntimeError, match='RESOURCE_EXHAUSTED'):
        train_step.largest(case, batch, 4)


@pytest.mark.parametrize('kind', attention.KINDS)
def test_attention_alone_gives_the_gradients_of_everything(kind):
    function, arguments = attention.build('plain', kind, 2, 2, 8, 16, 'float32')
    out, grads = function(*arguments)
    assert out.shape == (2, 2, 16, 8)
    moved = [bool(np.any(np.asarray(leaf) != 0)) for leaf in jax.tree.leaves(grads)]
    assert moved == [True, True, True, kind == 'T5 bias']
