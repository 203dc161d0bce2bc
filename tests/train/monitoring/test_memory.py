"""The memory of a step: its table before the first step, what to change, and the same after a real lack of memory."""
import dataclasses
import logging
import re

import jax
import pytest

from data.objectives import causal_lm
from model import config as model_config
from tests.helpers import training
from train import main
from train.monitoring import memory
from train.parallel import sharding
from train.settings import schema

MIB = 2**20
CONFIG = schema.Config(batch_size=64, sequence_length=64, objective=causal_lm.Objective(64), model=model_config.Config(layers=4),
                       mesh=schema.Mesh(data=4, fsdp=2))
NEEDS = {'parameters': 100 * MIB, 'optimizer': 200 * MIB, 'moving average': 0, 'carry': 0, memory.GRADIENTS: 100 * MIB,
         memory.OTHERS: 1000 * MIB}


def advice(config=CONFIG, **needs):
    found = memory.Memory(config, sharding.mesh(config.mesh), None)
    found.needs = {**NEEDS, **{name.replace('_', ' '): value * MIB for name, value in needs.items()}}
    return found.advice()


def test_what_helps_most_is_what_saves_most():
    assert advice() == ('What helps most: --config.model.remat=full (about 750.0 MiB less) · --config.accumulation=2 (about 500.0 MiB '
                        'less) · --config.dtype=bfloat16 (about 500.0 MiB less)')
    assert advice(other_temporaries=10) == (
        'What helps most: --config.mesh.fsdp=8 --config.mesh.data=1 (about 300.0 MiB less) · --config.optimizer.name=adafactor (about '
        '200.0 MiB less) · --config.model.remat=full (about 7.5 MiB less)')
    assert '--config.ema=None (about 900.0 MiB less)' in advice(moving_average=900)


def test_a_setting_that_is_turned_already_is_not_advised():
    config = dataclasses.replace(CONFIG, accumulation=8, dtype='bfloat16', mesh=schema.Mesh(fsdp=8),
                                 model=dataclasses.replace(CONFIG.model, remat='full'))
    assert advice(config, optimizer=50) == 'What helps most: --config.sequence_length=32 (about 500.0 MiB less)'
    assert '--config.accumulation=8' in advice(dataclasses.replace(config, accumulation=4))


def test_a_run_that_continues_is_advised_what_may_change():
    found = memory.Memory(dataclasses.replace(CONFIG, mesh=schema.Mesh(fsdp=8)), sharding.mesh(schema.Mesh(fsdp=8)), None)
    found.needs, found.begun = NEEDS, 3
    assert found.advice() == 'What helps most: --config.model.remat=full (about 750.0 MiB less)'
    found.config = dataclasses.replace(found.config, model=dataclasses.replace(CONFIG.model, remat='full'))
    assert found.advice() == 'No setting that may change helps: take more devices, or a smaller model in a new workdir.'


@pytest.mark.parametrize('text, expected', [
    ('RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.', True),
    ('INTERNAL: Error dispatching computation: Out of memory allocating 8 bytes', True),
    ('RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 300000, available: 232448', False),
    ('RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem', False),
    ('RESOURCE_EXHAUSTED: Received message larger than max', False), ('INVALID_ARGUMENT: shapes', False)])
def test_only_a_lack_of_a_devices_memory_is_one(text, expected):
    assert memory.exhausted(text) is expected


def test_what_lasts_is_counted_a_device():
    mesh = sharding.mesh(schema.Mesh(data=4, fsdp=2))
    tree = {'kernel': jax.ShapeDtypeStruct((8, 6), 'float32'), 'scale': jax.ShapeDtypeStruct((5,), 'bfloat16')}
    tree = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=jax.sharding.NamedSharding(mesh, spec))
            for (name, leaf), spec in zip(tree.items(), (jax.sharding.PartitionSpec('fsdp'), jax.sharding.PartitionSpec()))}
    assert memory.size(tree) == 4 * 6 * 4 + 5 * 2


def test_amounts():
    assert [memory.amount(count) for count in (0, 1023, 1536, 5 * MIB, 2**31, 3 * 2**40)] == [
        '0 B', '1,023 B', '1.5 KiB', '5.0 MiB', '2.0 GiB', '3.0 TiB']


def test_a_run_shows_the_table_and_compiles_its_step_once(tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        _, state, lines = training.shown(
            '--config=configs/tiny.py', f'--workdir={tmp_path}', '--config.steps=2', '--config.data.eval_fraction=0.0', '--config.ema=0.9',
            '--config.model.layers=1', '--config.model.dim=32')
    compiled = [record.getMessage() for record in caplog.records if re.match(r'Compiling (jit\()?step\)? ', record.getMessage())]
    assert len(compiled) == 1, compiled
    lines = [line.rstrip() for line in lines]
    at = lines.index('memory')
    rows = dict(re.fullmatch(r'(.*?) {2,}(\S+ \S+)', line).groups() for line in lines[at + 2:] if re.search(r'  \S+ ([KMG]i)?B$', line))
    bytes_of = memory.amount(sum(leaf.nbytes for leaf in jax.tree.leaves(state.params)))
    assert [*rows] == ['parameters', 'optimizer', 'moving average', 'gradients, at most', 'other temporaries', 'total', 'available']
    assert rows['parameters'] == rows['moving average'] == bytes_of


def test_a_real_lack_of_memory_is_the_table_and_advice(tmp_path, capsys):
    code = main.main(['--config=configs/tiny.py', f'--workdir={tmp_path}', '--config.steps=2', '--config.mesh.data=8',
                      '--config.model.layers=1', f'--config.model.mlp_dim={2**32}'])
    error = capsys.readouterr().err
    assert code == 2 and 'Traceback' not in error
    table = re.sub(r'\(.*?\)\n', '(...)\n', re.sub(r'[\d,.]+ [KMGT]iB', 'N', error), count=1)
    assert table == '''memory: a device has too little memory (...)
  parameters             N
  optimizer              N
  gradients, at most     N
  other temporaries      N
  total                 N of N
What helps most: --config.mesh.fsdp=8 --config.mesh.data=1 (about N less) · --config.optimizer.name=adafactor (about N less) · \
--config.dtype=bfloat16 (about N less)
'''
