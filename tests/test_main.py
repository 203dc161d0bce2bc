"""The command's exit codes: each kind of trouble is one message on standard error, no traceback, and its own number."""
import os
import pathlib
import subprocess
import sys
import time

import pytest

from train import main

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(os, 'environ', os.environ.copy())  # main sets variables for JAX


def run(capsys, *flags):
    """(exit code, standard error) of the command with these flags, in this process."""
    code = main.main(['--config=configs/tiny.py', '--config.steps=2', '--config.mesh.data=8', '--config.eval_batches=1', *flags])
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    return code, error


def test_five_mistakes_are_five_numbered_messages_in_two_seconds_and_exit_2():
    flags = ['--config=configs/tiny.py', '--workdir=runs/x', '--config.optimizer.learning_rat=1e-3', '--config.model.heads=6', '--config.mesh.tensor=3',
             '--config.steps=many', '--config.objective.name=causal']
    begun = time.monotonic()
    result = subprocess.run([sys.executable, '-m', 'train.main', *flags], cwd=ROOT, capture_output=True, text=True,
                            env={**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}, timeout=60)
    took = time.monotonic() - begun
    assert result.returncode == 2 and result.stdout == ''
    assert result.stderr == (ROOT / 'tests/data/messages/five_mistakes.txt').read_text()
    print(f'{took:.2f} s')


@pytest.mark.parametrize('name, content, field, message', [
    ('empty.txt', '', 'text', 'empty'),
    ('missing.txt', None, 'text', 'missing'),
    ('rows.jsonl', '{"text": "fine"}\n{"text": broken\n', 'text', 'broken'),
    ('rows.jsonl', '{"body": "fine"}\n', 'text', 'column'),
])
def test_bad_data_exits_3_with_file_and_line(tmp_path, capsys, name, content, field, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    code, error = run(capsys, f'--workdir={tmp_path}/run', f'--config.data.train={tmp_path}/{name}', f'--config.data.cache={tmp_path}/cache')
    assert code == 3
    assert error == (ROOT / f'tests/data/messages/data_{message}.txt').read_text().replace('FOLDER', str(tmp_path))
    assert not (tmp_path / 'run').exists()


def test_nothing_restorable_exits_4_and_unsavable_exits_6(tmp_path, capsys):
    flags = [f'--workdir={tmp_path}/run', f'--config.data.cache={tmp_path}/cache']
    assert run(capsys, *flags)[0] == 0
    for manifest in (tmp_path / 'run' / 'checkpoints').glob('*/meta.json'):
        manifest.write_text('{}')
    code, error = run(capsys, *flags)
    assert code == 4
    assert error.startswith(f'restore: none of the checkpoints in {tmp_path}/run/checkpoints can be restored\n')

    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'checkpoints').write_text('not a folder')
    code, error = run(capsys, f'--workdir={tmp_path}/other', f'--config.data.cache={tmp_path}/cache')
    assert code in (2, 6) and f'{tmp_path}/other' in error


def test_divergence_exits_5(tmp_path, capsys):
    code, error = run(capsys, f'--workdir={tmp_path}/run', f'--config.data.cache={tmp_path}/cache', '--config.optimizer.name=sgd',
                      '--config.optimizer.learning_rate=1e30', '--config.optimizer.clip=None', '--config.optimizer.warmup=0', '--config.steps=5',
                      '--config.log_every=1')
    assert code == 5
    assert error == ('diverged: the loss of step 2 is nan; lower optimizer.learning_rate or raise optimizer.warmup. '
                     'The last checkpoint is intact\n')


def test_invalid_utf8_is_replaced_counted_and_said(tmp_path, capsys):
    (tmp_path / 'mixed.txt').write_bytes(b'It was a dark and stormy night. ' * 400 + b'\xff\xfe caf\xe9 ' + b'The end. ' * 100)
    code = main.main(['--config=configs/tiny.py', '--config.steps=2', '--config.mesh.data=8', '--config.eval_batches=1', f'--workdir={tmp_path}/run',
                      f'--config.data.train={tmp_path}/mixed.txt', f'--config.data.cache={tmp_path}/cache'])
    shown = capsys.readouterr().out
    assert code == 0 and '3' in next(line for line in shown.splitlines() if 'UTF-8' in line)
