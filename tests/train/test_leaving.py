"""A run that loses its output, its terminal or the room on its disk, and the same command again: the same bytes as never disturbed."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest

from tests.helpers import subprocesses, training
from tests.train import test_resume
from train import evaluate, generate, main, report
from train.checkpoints import checkpoint, folders
from train.monitoring import metrics

FLAGS = ('--config.checkpoint.every=5', '--config.eval_every=20', '--config.eval_batches=4')


def through_head(workdir, steps, *flags):
    """The process of a run whose output is read by `head -n 3`, in a session of its own; its errors are in `workdir`.err."""
    command = ' '.join(f"'{part}'" for part in test_resume.command(workdir, 'tiny.py:causal_lm', steps, *flags))
    with open(f'{workdir}.err', 'w') as errors:
        return subprocess.Popen(['bash', '-c', f'exec {command} > >(head -n 3)'], cwd=subprocesses.ROOT, stderr=errors,
                                stdout=subprocess.DEVNULL, env=subprocesses.environment(), start_new_session=True)


def leave_and_compare(tmp_path, steps, moments, *flags):
    """A run through `head`, hung up some seconds after it logged each step of `moments`, ends with the bytes of an undisturbed one."""
    code, output = test_resume.finish(test_resume.start(tmp_path / 'whole', 'tiny.py:causal_lm', steps, *flags))
    assert code == 0, output
    for step, moment in moments:
        process = through_head(tmp_path / 'left', steps, *flags)
        test_resume.wait_for_step(tmp_path / 'left', step, process)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(timeout=300) == 75, pathlib.Path(f'{tmp_path}/left.err').read_text()
    process = through_head(tmp_path / 'left', steps, *flags)
    assert process.wait(timeout=300) == 0
    assert pathlib.Path(f'{tmp_path}/left.err').read_text() == (
        'standard output is lost (Broken pipe): the run goes on, its lines are in train.log\n')
    log = (tmp_path / 'left' / 'train.log').read_text()
    assert log.count('\n== ') == len(moments) == log.count('SIGHUP: saving after this step, then stopping')
    assert test_resume.state_hash(log.rpartition('\n== ')[2]) == test_resume.state_hash(output)
    assert test_resume.untimed(tmp_path / 'left') == test_resume.untimed(tmp_path / 'whole')


def test_head_and_a_lost_connection_lose_nothing(tmp_path):
    leave_and_compare(tmp_path, 40, [(17, 0.0)], *FLAGS)


@pytest.mark.slow
def test_lost_connections_at_random_moments(tmp_path):
    seed = random.randrange(2**32)
    print('seed', seed)
    draw = random.Random(seed)
    moments = [(step, draw.random() / 20) for step in sorted(draw.sample(range(1, 350), 4))]
    leave_and_compare(tmp_path, 400, moments, '--config.checkpoint.every=50')


def test_nothing_that_a_run_writes_beside_its_checkpoints_can_end_it(tmp_path, monkeypatch):
    """Something lies in the place of every file and nothing can be moved: notices, and the state of an undisturbed run."""
    flags = ('--config=configs/tiny.py', '--config.steps=4', '--config.log_every=1', '--config.eval_batches=1', '--config.tensorboard=True',
             '--config.sample.max_new_tokens=2', f'--config.data.cache={tmp_path}/cache')
    _, whole, _ = training.shown(*flags, f'--workdir={tmp_path}/whole')
    for name in ('train.log', 'samples.jsonl', 'environment.json', 'report.html'):
        (tmp_path / 'run' / name / 'in the way').mkdir(parents=True)
    (tmp_path / 'run' / 'tensorboard').touch()
    monkeypatch.setattr(folders, 'set_aside', lambda *_: os.mkdir('/dev/null/full'))
    _, state, lines = training.shown(*flags, f'--workdir={tmp_path}/run')
    assert checkpoint.fingerprint(state) == checkpoint.fingerprint(whole)
    assert test_resume.untimed(tmp_path / 'run') == test_resume.untimed(tmp_path / 'whole')
    events = next(line for line in lines if line.startswith('events.out')).split()[0]
    written = 2 + sum(len(line) - 1 for line in metrics.read(tmp_path / 'run'))
    waiting = 'its lines wait in memory, the run goes on'
    expected = [f'train.log cannot be written (Is a directory): {waiting}', f'samples.jsonl cannot be written (Not a directory): {waiting}',
                f'{events} cannot be written (File exists): {waiting}',
                'environment.json cannot be written (Not a directory)',
                'samples.jsonl lost lines: 1 (Not a directory)', f'{events} lost lines: {written} (File exists)',
                f'the report was not written (Is a directory); python -m train.report {tmp_path}/run writes it']
    assert [line for line in expected if line not in lines] == []


def test_a_damaged_workdir_goes_on_evaluates_and_generates(tmp_path, capsys):
    flags = ['--config=configs/tiny.py', '--config.log_every=1', '--config.eval_batches=1', '--config.sample.max_new_tokens=2',
             '--config.optimizer.schedule=constant', f'--config.data.cache={tmp_path}/cache']
    run = tmp_path / 'run'
    training.run(*flags, '--config.steps=2', f'--workdir={run}')
    shutil.copytree(run, tmp_path / 'whole')
    _, whole = training.run(*flags, '--config.steps=4', f'--workdir={tmp_path}/whole')
    damage = {'metrics.jsonl': b'\xff\xfe\n', 'samples.jsonl': b'{}\n17\n', 'environment.json': b'[' * 10_000}
    for name, data in damage.items():
        (run / name).write_bytes(data)
    assert evaluate.main([f'--workdir={run}', '--batches=1']) == 0
    assert generate.main([f'--workdir={run}', '--prompt=It', '--max_new_tokens=2']) == 0
    assert report.main([str(run)]) == 0 and 'Traceback' not in capsys.readouterr().err
    _, state, lines = training.shown(*flags, '--config.steps=4', f'--workdir={run}')
    assert checkpoint.fingerprint(state) == checkpoint.fingerprint(whole)
    assert test_resume.untimed(run) == test_resume.untimed(tmp_path / 'whole')[2:]
    assert {name: (run / 'bad' / name).read_bytes() for name in damage} == damage
    assert any(line.startswith('metrics.jsonl holds 0 of the ') for line in lines)
    assert all(any(line.startswith(f'{name} is damaged') for line in lines) for name in ('metrics.jsonl', 'samples.jsonl'))
    tree = json.loads((run / 'config.json').read_text())
    for text, message in ((b'{', 'expected JSON, got Expecting property name'),
                          (json.dumps({**tree, 'seed': 1}).encode(),
                           'config.json has 1, its checkpoint 4 was trained with 0: the file was changed since. Put it back.')):
        (run / 'config.json').write_bytes(text)
        for command, argv in ((evaluate, []), (generate, []), (main, [*flags, '--config.steps=6', '--config.mesh.data=8'])):
            code, error = command.main([*argv, f'--workdir={run}']), capsys.readouterr().err
            assert code == 2 and error.startswith('config: 1 problem\n') and message in error


def test_a_log_holds_what_was_shown(tmp_path):
    done = subprocesses.run('-m', 'train.main', '--config=configs/tiny.py', '--config.steps=3', f'--workdir={tmp_path}/run')
    header, _, rest = (tmp_path / 'run' / 'train.log').read_text().partition('\n')
    assert rest == done.stdout and header.startswith('== 20') and f'--workdir={tmp_path}/run' in header
    assert 'parameters' in rest and 'step 3/3 · loss' in rest and 'state sha256' in rest and 'report: ' in rest


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of 24 MB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', str(folder)], capture_output=True).returncode:
        pytest.skip('needs the right to mount a tmpfs')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(path):
    """Fills the disk of `path` to its last byte."""
    with contextlib.suppress(OSError), open(path, 'ab', buffering=0) as file:
        while file.write(b'\0' * 4096):
            pass


@pytest.mark.slow
def test_a_disk_that_is_filled_at_random_moments(tmp_path, disk):
    """1,000 steps; five times the disk is full for a while. A save that fails ends the run with 6, and the same command goes on."""
    steps, flags = 1000, ('--config.checkpoint.every=25', '--config.eval_batches=4')
    seed = random.randrange(2**32)
    print('seed', seed)
    draw = random.Random(seed)
    code, output = test_resume.finish(test_resume.start(tmp_path / 'whole', 'tiny.py:causal_lm', steps, *flags))
    assert code == 0, output
    process = test_resume.start(disk / 'run', 'tiny.py:causal_lm', steps, *flags)
    failed = 0
    for step, patience in zip(sorted(draw.sample(range(50, 900), 5)), (60, 0, 0.5, 60, 1)):
        while process.poll() is None and not any(line['step'] >= step for line in metrics.read(disk / 'run')[-1:]):
            time.sleep(0.02)                  # or until it ends, as a save failed after there was room again
        time.sleep(draw.random() / 20)
        before = folders.complete(disk / 'run' / 'checkpoints')
        fill(disk / 'filler')
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
        (disk / 'filler').unlink()
        if process.poll() is not None:
            code, output = test_resume.finish(process)
            assert code in (0, 6) and 'Traceback' not in output and (code == 0 or 'cannot save step ' in output), output
            assert before[-1] in folders.complete(disk / 'run' / 'checkpoints') or f'{before[-1]} is intact' not in output
            failed += code == 6
            process = test_resume.start(disk / 'run', 'tiny.py:causal_lm', steps, *flags)
    code, output = test_resume.finish(process)
    if code == 6:
        code, output = test_resume.finish(test_resume.start(disk / 'run', 'tiny.py:causal_lm', steps, *flags))
    assert code == 0 and failed >= 2, output
    assert test_resume.state_hash(output) == test_resume.state_hash((tmp_path / 'whole' / 'train.log').read_text())
    assert test_resume.untimed(disk / 'run') == test_resume.untimed(tmp_path / 'whole')
