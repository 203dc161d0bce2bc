"""Did-you-mean over every setting, and messages that a terminal can print."""
import random

import pytest

from data import objectives
from train.settings import errors, schema


def candidates():
    kind = objectives.load('span_corruption')
    return [*schema.settings({'objective.': kind})]


def mutate(key, how, rng):
    """A key with one typing error, in its last name."""
    group, dot, name = key.rpartition('.')
    i = rng.randrange(len(name) - 1)
    if how == 'delete':
        name = name[:i] + name[i + 1:]
    elif how == 'insert':
        name = name[:i] + rng.choice('abcdefghijklmnopqrstuvwxyz') + name[i:]
    elif how == 'swap':
        i = next(i for i in [*range(i, len(name) - 1), *range(i)] if name[i] != name[i + 1])
        name = name[:i] + name[i + 1] + name[i] + name[i + 2:]
    elif how == 'group':
        group = rng.choice([g for g in ('model', 'optimizer', 'data', 'train', 'training') if g != group])
        dot = '.'
    elif how == 'plural':
        name = name[:-1] if name.endswith('s') else name + 's'
    return group + dot + name


def test_28_of_30_mutated_keys_get_the_right_suggestion():
    for seed in range(5):
        rng = random.Random(seed)
        keys = rng.sample([key for key in candidates() if len(key.rpartition('.')[2]) > 2], 30)
        right = 0
        for key, how in zip(keys, ['delete', 'insert', 'swap', 'group', 'plural'] * 6):
            wrong = mutate(key, how, rng)
            while wrong in candidates():
                wrong = mutate(key, 'insert', rng)
            right += key in errors.closest(wrong, candidates())
        assert right >= 28, f'seed {seed}: {right} of 30'


@pytest.mark.parametrize('foreign, ours', [
    ('lr', 'optimizer.learning_rate'), ('optimizer.lr', 'optimizer.learning_rate'), ('train.max_steps', 'steps'),
    ('model.n_layers', 'model.layers'), ('model.hidden_size', 'model.dim'), ('num_heads', 'model.heads'),
    ('batchsize', 'batch_size'),
    ('optimizer.warmup_steps', 'optimizer.warmup'), ('seq_len', 'sequence_length'),
    ('model.dropout_rate', 'model.dropout'),
    ('BATCH-SIZE', 'batch_size'), ('optimizer', 'optimizer.name')])
def test_names_of_other_codebases(foreign, ours):
    assert errors.closest(foreign, candidates())[0] == ours


def test_nothing_near_suggests_nothing():
    assert errors.closest('model.zzzzzzzz', candidates()) == []
    assert errors.did_you_mean('model.zzzzzzzz', candidates()) == ''


def test_numbers_and_columns():
    found = [errors.Problem('a', 'one.'), errors.Problem('longer', 'two.', 'set in x.py')]
    assert str(errors.Error(found)) == '''\
config: 2 problems
  1. a        one.
  2. longer   two.   (set in x.py)
nothing was run'''
    assert str(errors.Error(found[:1], 'data', '')) == 'data: 1 problem\n  1. a   one.'
    tenth = str(errors.Error(found[:1] * 10)).splitlines()
    assert tenth[1] == '   1. a   one.' and tenth[10] == '  10. a   one.'


def test_a_message_cannot_move_the_cursor():
    text = str(errors.Error([errors.Problem('\x1b[2Jsteps', 'a\rb\n\u202e', '\x07')]))
    assert all(c.isprintable() for line in text.splitlines() for c in line) and len(text.splitlines()) == 3


def test_one_of():
    assert [errors.one_of(names) for names in ('a', 'ab', ('a', 'b', 'c'))] == ['a', 'a or b', 'a, b or c']
