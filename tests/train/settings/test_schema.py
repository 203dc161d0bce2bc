"""The schema agrees with itself, with the checks and with the code that carries its choices out."""
import dataclasses
import re

import pytest

from data import objectives, ranges
from train.optimization import optimizer, schedules
from train.settings import reads, schema, values

LEAVES = schema.kinds()


@pytest.mark.parametrize('key', LEAVES)
def test_every_default_has_its_type_and_its_range_and_every_setting_a_meaning(key):
    default = schema.values(schema.Config())[key]
    assert values.convert(LEAVES[key], default) == default
    assert values.describe(LEAVES[key])
    assert default is None or ranges.outside(LEAVES[key], default) is None
    assert ranges.stated(LEAVES[key])[1]


@pytest.mark.parametrize('key', [key for key, kind in LEAVES.items() if values.parts(kind)[0] in (int, float)])
def test_every_number_has_a_range(key):
    assert ranges.stated(LEAVES[key])[0] in ranges.RANGES


def test_no_row_is_dead():
    for pattern in schema.MAY_CHANGE_ON_RESUME:
        assert any(re.fullmatch(pattern, key) for key in LEAVES), pattern


def test_keys_that_scripts_outside_rely_on():
    expected = '''steps epochs seed batch_size sequence_length accumulation dtype model.heads model.dropout
                  model.attention_dropout optimizer.learning_rate mesh.data mesh.fsdp mesh.tensor mesh.context
                  init.from init.paths log_every eval_every sample_every checkpoint.every checkpoint.keep'''.split()
    assert not set(expected) - set(LEAVES)


def test_choices_are_those_that_exist():
    assert schema.OPTIMIZERS == tuple(optimizer.OPTIMIZERS)
    assert schema.SCHEDULES == tuple(schedules.SHAPES)
    assert [name for name in schema.SCHEDULES if not reads.stretched(name)] == ['constant', 'rsqrt']


def test_build_is_the_inverse_of_values():
    config = schema.build(schema.Config, {'seed': 3, 'model.heads': 4, 'init.from': 'x'})
    assert (config.seed, config.model.heads, config.init.from_) == (3, 4, 'x')
    assert schema.build(schema.Config, schema.values(config)) == config


@pytest.mark.parametrize('name', objectives.names())
def test_objectives_are_settings_too(name):
    kind = objectives.load(name)
    assert kind().name == name
    kinds = {'objective.name': str, **schema.kinds(kind, 'objective.')}
    assert list(kinds)[1] == 'objective.sequence_length'
    for key, default in schema.values(schema.Config(objective=kind())).items():
        if key.startswith('objective.'):
            assert values.convert(kinds[key], default) == default
    hash(dataclasses.replace(schema.Config(), objective=kind()))
