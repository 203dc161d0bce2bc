"""docs/adding-an-objective.md is true: its diff is one file and one config, and in a clone they train."""
import json
import math
import pathlib
import re
import subprocess

import numpy as np
import pytest

from tests.helpers import subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[3]
DIFF = ROOT / 'docs' / 'new_objective.diff'
ADDED = ['configs/backward_lm.py', 'data/objectives/backward_lm.py']


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """The last commit with the diff applied."""
    folder = tmp_path_factory.mktemp('new_objective') / 'clone'
    subprocess.run(['git', '-c', 'safe.directory=*', 'clone', '-q', str(ROOT), str(folder)], check=True)
    subprocess.run(['git', 'apply', '--check', str(DIFF)], cwd=folder, check=True)
    subprocess.run(['git', 'apply', str(DIFF)], cwd=folder, check=True)
    return folder


def test_the_diff_adds_one_file_and_one_config(clone):
    assert sorted(re.findall(r'^\+\+\+ b/(.*)$', DIFF.read_text(encoding='utf-8'), re.M)) == ADDED
    status = subprocess.run(['git', 'status', '--porcelain'], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert sorted(line.split()[-1] for line in status.splitlines()) == ADDED and all(line.startswith('??') for line in status.splitlines())
    page = (ROOT / 'docs' / 'adding-an-objective.md').read_text(encoding='utf-8')
    assert 'git apply docs/new_objective.diff' in page and all(path in page for path in ADDED)


def test_it_trains_and_beats_the_frequencies_of_its_targets(clone, tmp_path):
    cache = f'--config.data.cache={tmp_path}/cache'
    inspected = subprocesses.run('-m', 'train.inspect', '--config=configs/backward_lm.py', cache, '--split=eval', '--num_examples=256',
                              '--json', cwd=clone)
    examples = [json.loads(line)['example'] for line in inspected.stdout.splitlines()]
    targets = np.concatenate([np.array(one['targets'])[np.array(one['weights']) > 0] for one in examples])
    shares = np.bincount(targets) / len(targets)
    entropy = -sum(share * math.log(share) for share in shares if share)

    subprocesses.run('-m', 'train.main', '--config=configs/backward_lm.py', f'--workdir={tmp_path}/run', cache, cwd=clone)
    last = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()[-1])
    assert last['step'] == 200 and last['eval/loss'] < entropy - 0.2, (last['eval/loss'], entropy)
