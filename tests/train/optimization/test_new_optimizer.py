"""The page on adding an optimizer: its diff changes one file; in a clone the optimizer equals that of optax, and trains."""
import json
import math
import pathlib

import pytest

from tests.helpers import subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[3]
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


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """The last commit with the diff applied: its folder and what git says of it."""
    folder = tmp_path_factory.mktemp('new_optimizer') / 'clone'
    return folder, subprocesses.clone(folder, 'new_optimizer.diff')


def test_the_diff_changes_one_file_and_the_update_is_optaxs(clone):
    assert clone[1] == [' M train/optimization/optimizer.py']
    assert 'git apply docs/new_optimizer.diff' in (ROOT / 'docs' / 'adding-an-optimizer.md').read_text(encoding='utf-8')
    ours, theirs = subprocesses.run('-c', UPDATE, cwd=clone[0]).stdout.split()
    assert ours == theirs


def test_it_trains_and_refuses_the_settings_that_it_does_not_read(clone, tmp_path):
    command = ('-m', 'train.main', '--config=configs/tiny.py', '--config.optimizer.name=adabelief', '--config.steps=3',
               f'--config.data.cache={tmp_path}/cache', f'--workdir={tmp_path}/run')
    refused = subprocesses.run(*command, '--config.optimizer.momentum=0.9', cwd=clone[0], code=2).stderr
    assert 'optimizer.momentum' in refused and 'adabelief' in refused, refused
    subprocesses.run(*command, cwd=clone[0])
    last = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()[-1])
    assert last['step'] == 3 and math.isfinite(last['train/loss'])
