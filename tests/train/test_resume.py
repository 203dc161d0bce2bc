"""Real processes, killed with SIGKILL or stopped with SIGTERM, then started again with the same command."""
import json
import random
import re
import signal
import sys
import time

import pytest

from tests.helpers import subprocesses
from train.monitoring import metrics

OBJECTIVES = ('tiny.py:causal_lm', 'tiny.py:masked_lm', 'tiny.py:span_corruption', 'tiny.py:permuted_lm')
# Two networks, pairs with labels, shared layers, rows and steps that alternate, plans and corruptions of all kinds.
OTHERS = ('pretrain_electra.py:tiny', 'pretrain_bert.py:tiny', 'pretrain_roberta.py:tiny', 'pretrain_albert.py:tiny',
          'pretrain_bart.py:tiny', 'pretrain_ul2.py:tiny', 'tiny.py:mixture', 'tiny.py:alternation', 'tiny.py:prefix_lm',
          'tiny.py:fill_in_the_middle', 'tiny.py:deshuffle')


def command(workdir, variant, steps, *flags):
    return ['taskset', '-c', '0', sys.executable, '-m', 'train.main', f'--config=configs/{variant}', f'--workdir={workdir}',
            f'--config.steps={steps}', '--config.model.dropout=0.1', '--config.accumulation=2', '--config.log_every=1',
            *flags]


def start(workdir, variant, steps, *flags):
    return subprocesses.start(command(workdir, variant, steps, *flags))


def finish(process, timeout=300):
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output


def untimed(workdir):
    return [{name: value for name, value in line.items() if not metrics.timed(name)} for line in metrics.read(workdir)]


def state_hash(output):
    return re.search(r'state sha256 (\w{64})', output)[1]


def wait_for_step(workdir, step, process, timeout=300):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        lines = metrics.read(workdir)
        if lines and lines[-1]['step'] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f'step {step} was not reached: {finish(process)[1]}')


def kill_and_compare(tmp_path, variant, steps, kills, *flags):
    """A run that is killed some seconds after it logged each step of `kills` ends with the bytes of an uninterrupted one."""
    code, output = finish(start(tmp_path / 'whole', variant, steps, *flags))
    assert code == 0, output
    for step, moment in kills:
        process = start(tmp_path / 'killed', variant, steps, *flags)
        wait_for_step(tmp_path / 'killed', step, process)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        assert finish(process)[0] == -signal.SIGKILL
    code, resumed = finish(start(tmp_path / 'killed', variant, steps, *flags))
    assert code == 0, resumed
    assert 'continuing at step' in resumed
    lines = untimed(tmp_path / 'whole')
    assert [line['step'] for line in lines] == list(range(1, steps + 1))
    assert untimed(tmp_path / 'killed') == lines
    assert state_hash(resumed) == state_hash(output)


def test_killed_run_ends_with_the_same_bytes(tmp_path):
    kill_and_compare(tmp_path, 'tiny.py:causal_lm', 40, [(17, 0.0)], '--config.checkpoint.every=5', '--config.eval_every=20',
                     '--config.eval_batches=4')


@pytest.mark.slow
@pytest.mark.parametrize('variant', OBJECTIVES)
def test_kills_at_random_moments_of_600_steps(tmp_path, variant):
    seed = random.randrange(2**32)
    print('seed', seed)
    draw = random.Random(seed)
    kills = [(1, draw.random())]  # before any checkpoint
    kills += [(step, draw.random() / 20) for step in sorted(draw.sample(range(60, 560), 3))]
    kill_and_compare(tmp_path, variant, 600, kills, '--config.checkpoint.every=50')


@pytest.mark.slow
@pytest.mark.parametrize('variant', OTHERS)
def test_kills_at_random_moments_of_every_objective(tmp_path, variant):
    seed = random.randrange(2**32)
    print('seed', seed)
    draw = random.Random(seed)
    kills = [(draw.randrange(*steps), draw.random() / 20) for steps in ((1, 60), (60, 150))]  # the second one finds a checkpoint
    kill_and_compare(tmp_path, variant, 160, kills, '--config.checkpoint.every=20')


def test_sigterm_saves_this_step_and_the_same_command_continues(tmp_path):
    process = start(tmp_path / 'run', 'tiny.py:causal_lm', 3000)
    wait_for_step(tmp_path / 'run', 3, process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 75, output
    last = metrics.read(tmp_path / 'run')[-1]['step']
    assert 'SIGTERM: saving after this step' in output
    assert (tmp_path / 'run' / 'checkpoints' / str(last) / 'manifest.json').exists()
    assert (tmp_path / 'run' / 'report.html').exists()
    code, output = finish(start(tmp_path / 'run', 'tiny.py:causal_lm', last + 2))
    assert code == 0 and f'continuing at step {last} of {last + 2}' in output
    code, output = finish(start(tmp_path / 'run', 'tiny.py:causal_lm', last + 2))
    assert code == 0 and f'is done: step {last + 2} of {last + 2}' in output
    assert [line['step'] for line in metrics.read(tmp_path / 'run')] == list(range(1, last + 3))


def test_another_config_is_refused_with_the_difference(tmp_path):
    assert finish(start(tmp_path / 'run', 'tiny.py:causal_lm', 2))[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / 'run').rglob('*') if p.is_file()}
    code, output = finish(start(tmp_path / 'run', 'tiny.py:causal_lm', 2, '--config.model.dim=128', '--config.seed=7'))
    assert code == 2
    expected = (subprocesses.ROOT / 'tests' / 'fixtures' / 'messages' / 'refused_resume.txt').read_text()
    assert output[output.index('config: '):] == expected.replace('WORKDIR', str(tmp_path / 'run'))
    assert {p: p.read_bytes() for p in (tmp_path / 'run').rglob('*') if p.is_file()} == before
    assert json.loads((tmp_path / 'run' / 'config.json').read_text())['model']['dim'] == 64
