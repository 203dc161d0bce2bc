"""docs/adding-an-objective.md is true: each diff adds what the page promises, and in a clone both objectives train."""
import json
import math
import pathlib
import re

import numpy as np
import pytest

from tests.helpers import subprocesses

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = ROOT / 'docs' / 'adding-an-objective.md'
ADDED = {
    'new_objective.diff': ['configs/backward_lm.py', 'data/objectives/backward_lm.py'],
    'new_loss.diff': [f'{folder}/shuffled_token_detection.py' for folder in ('configs', 'data/objectives', 'train/objectives')],
}


def run(folder, *arguments):
    return subprocesses.run('-m', *arguments, cwd=folder).stdout


def trained(clone, workdir, *flags):
    """The last line of metrics of a run."""
    run(clone[0], 'train.main', f'--workdir={workdir}', *flags)
    return json.loads((workdir / 'metrics.jsonl').read_text().splitlines()[-1])


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """The last commit with both diffs applied: its folder and what git says of it."""
    folder = tmp_path_factory.mktemp('new_objective') / 'clone'
    return folder, subprocesses.clone(folder, *ADDED)


def test_the_diffs_add_one_file_and_a_config_or_two_with_a_loss(clone):
    for name, added in ADDED.items():
        assert sorted(re.findall(r'^\+\+\+ b/(.*)$', (ROOT / 'docs' / name).read_text(encoding='utf-8'), re.M)) == added
        page = PAGE.read_text(encoding='utf-8')
        assert f'git apply docs/{name}' in page and all(path in page for path in added)
    assert clone[1] == sorted(f'?? {path}' for path in sum(ADDED.values(), []))


def test_it_trains_and_beats_the_frequencies_of_its_targets(clone, tmp_path):
    cache = f'--config.data.cache={tmp_path}/cache'
    printed = run(clone[0], 'train.inspect', '--config=configs/backward_lm.py', cache, '--split=eval', '--num_examples=256', '--json')
    examples = [json.loads(line)['example'] for line in printed.splitlines()]
    targets = np.concatenate([np.array(one['targets'])[np.array(one['weights']) > 0] for one in examples])
    shares = np.bincount(targets) / len(targets)
    entropy = -sum(share * math.log(share) for share in shares if share)
    last = trained(clone, tmp_path / 'run', '--config=configs/backward_lm.py', cache)
    assert last['step'] == 200 and last['eval/loss'] < entropy - 0.2, (last['eval/loss'], entropy)


def test_the_one_with_a_loss_is_inspected_and_learns_one_batch(clone, tmp_path):
    """Its loss falls far below the entropy of the share of moved tokens."""
    flags = ('--config=configs/shuffled_token_detection.py', f'--config.data.cache={tmp_path}/cache')
    assert len(run(clone[0], 'train.inspect', *flags, '--num_examples=8', '--json').splitlines()) == 8
    last = trained(clone, tmp_path / 'run', *flags, '--config.overfit_one_batch=True', '--config.batch_size=8', '--config.steps=150',
                   '--config.sequence_length=32', '--config.eval_batches=1')
    share = last['train/share_moved']
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert last['step'] == 150 and last['train/loss'] < 0.6 * entropy, (last['train/loss'], entropy)
