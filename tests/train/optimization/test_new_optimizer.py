"""The page on adding an optimizer: its diff changes one file; in a clone the optimizer equals that of optax, and trains."""
import json
import math
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DIFF = ROOT / 'docs' / 'new_optimizer.diff'
UPDATE = """
import jax.numpy as jnp, numpy as np, optax
from train.optimization import optimizer
from train.settings import schema
params, grads = {'norm': {'scale': jnp.arange(1.0, 5.0)}}, {'norm': {'scale': jnp.array([0.5, -1.0, 2.0, 0.1])}}
settings = schema.Optimizer(name='adabelief', learning_rate=0.01, schedule='constant', clip=None)
for transform in (optimizer.build(settings, 10, params), optax.adabelief(0.01, eps=1e-8, eps_root=1e-16)):
    state = transform.init(params)
    for _ in range(3):
        updates, state = transform.update(grads, state, params)
    print(np.asarray(updates['norm']['scale']).tobytes().hex())
"""


def run(folder, *arguments):
    environment = {**os.environ, 'XLA_FLAGS': ''}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """The last commit with the diff applied."""
    folder = tmp_path_factory.mktemp('new_optimizer') / 'clone'
    subprocess.run(['git', '-c', 'safe.directory=*', 'clone', '-q', str(ROOT), str(folder)], check=True)
    subprocess.run(['git', 'apply', str(DIFF)], cwd=folder, check=True)
    return folder


def test_the_diff_changes_one_file_and_the_update_is_optaxs(clone):
    status = subprocess.run(['git', 'status', '--porcelain'], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert status.split() == ['M', 'train/optimization/optimizer.py']
    assert 'git apply docs/new_optimizer.diff' in (ROOT / 'docs' / 'adding-an-optimizer.md').read_text(encoding='utf-8')
    result = run(clone, '-c', UPDATE)
    assert result.returncode == 0, result.stderr
    ours, theirs = result.stdout.split()
    assert ours == theirs


def test_it_trains_and_refuses_the_settings_that_it_does_not_read(clone, tmp_path):
    command = ('-m', 'train.main', '--config=configs/tiny.py', '--config.optimizer.name=adabelief', '--config.steps=3',
               f'--config.data.cache={tmp_path}/cache', f'--workdir={tmp_path}/run')
    result = run(clone, *command, '--config.optimizer.momentum=0.9')
    assert result.returncode == 2 and 'optimizer.momentum' in result.stderr and 'adabelief' in result.stderr, result.stderr
    result = run(clone, *command)
    assert result.returncode == 0, result.stderr
    last = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()[-1])
    assert last['step'] == 3 and math.isfinite(last['train/loss'])
