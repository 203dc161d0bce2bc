"""The same run on other meshes and on two processes: the same data, the same losses, checkpoints that open on one device."""
import re
import sys

import numpy as np
import pytest

from tests.helpers import subprocesses
from train.monitoring import metrics

STEPS = 20
FLAGS = ('--config=configs/tiny.py', f'--config.steps={STEPS}', '--config.log_every=1', '--config.batch_size=16',
         '--config.model.dropout=0.1', '--config.accumulation=2', '--config.eval_batches=2', '--config.sample.max_new_tokens=4')
MESHES = {
    'data=2,fsdp=2,tensor=2': ['--config.mesh.data=2', '--config.mesh.fsdp=2', '--config.mesh.tensor=2'],
    'data=8': ['--config.mesh.data=8'],
    'fsdp=8': ['--config.mesh.fsdp=8'],
    'tensor=8': ['--config.mesh.tensor=8'],
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in list(MESHES)[1:]]


def start(workdir, devices, *flags):
    return subprocesses.start([sys.executable, '-m', 'train.main', f'--workdir={workdir}', *FLAGS, *flags], devices)


def finish(processes, timeout=400):
    outputs = []
    try:
        for process in processes:
            outputs.append(process.communicate(timeout=timeout)[0])
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), '\n'.join(outputs)
    return outputs


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The run on a single device."""
    folder = tmp_path_factory.mktemp('alone')
    finish([start(folder, 1)])
    return folder


def compare(folder, alone):
    found, expected = metrics.read(folder), metrics.read(alone)
    assert [line['step'] for line in found] == list(range(1, STEPS + 1))
    for name in ('train/loss', 'eval/loss', 'grad_norm'):
        np.testing.assert_allclose([line[name] for line in found if name in line], [line[name] for line in expected if name in line],
                                   rtol=1e-4, err_msg=name)


def opens_on_one_device(folder, output):
    """The same command on one device restores the very bytes that the run ended with."""
    again, = finish([start(folder, 1)])
    assert f'is done: step {STEPS} of {STEPS}' in again
    assert state_hash(again) == state_hash(output)


def state_hash(output):
    return re.search(r'state sha256 (\w{64})', output)[1]


@pytest.mark.parametrize('name', ['data=2,fsdp=2,tensor=2', *SLOW])
def test_eight_devices_train_as_one(tmp_path, alone, name):
    output, = finish([start(tmp_path, 8, *MESHES[name])])
    compare(tmp_path, alone)
    opens_on_one_device(tmp_path, output)


def test_two_processes_train_as_one_and_their_checkpoint_opens_on_one_device(tmp_path, alone):
    mesh = [*MESHES['data=2,fsdp=2,tensor=2'], f'--coordinator_address=127.0.0.1:{subprocesses.free_port()}', '--num_processes=2']
    output, silent = finish([start(tmp_path, 4, *mesh, f'--process_id={i}') for i in range(2)])
    compare(tmp_path, alone)
    opens_on_one_device(tmp_path, output)
    assert not re.search(r'^(step \d|state sha256)', silent, re.MULTILINE)  # the first process speaks for both
