"""The command's exit codes: each kind of error is one message on standard error, without a traceback, and a number of its own."""
import os
import pathlib
import subprocess
import sys

import pytest

from train import main

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(os, 'environ', os.environ.copy())  # main sets variables for JAX


def run(capsys, *flags):
    """(exit code, standard error) of the command with these flags, in this process."""
    code = main.main(['--config=configs/tiny.py', '--config.steps=2', '--config.mesh.data=8', '--config.eval_batches=1', *flags])
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    return code, error


def test_five_mistakes_are_five_numbered_messages_without_jax_and_exit_2():
    flags = ['--config=configs/tiny.py', '--workdir=runs/x', '--config.optimizer.learning_rat=1e-3', '--config.model.heads=6',
             '--config.mesh.tensor=3', '--config.steps=many', '--config.objective.name=causal']
    code = 'import sys\nfrom train import main\ncode = main.main(sys.argv[1:])\nassert "jax" not in sys.modules\nsys.exit(code)'
    result = subprocess.run([sys.executable, '-c', code, *flags], cwd=ROOT, capture_output=True, text=True,
                            env={**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}, timeout=60)
    assert result.returncode == 2 and result.stdout == ''
    assert result.stderr == (ROOT / 'tests/fixtures/messages/five_mistakes.txt').read_text()


@pytest.mark.parametrize('name, content, field, message', [
    ('empty.txt', '', 'text', 'empty'),
    ('missing.txt', None, 'text', 'missing'),
    ('rows.jsonl', '{"text": "fine"}\n{"text": broken\n', 'text', 'broken'),
    ('rows.jsonl', '{"body": "fine"}\n', 'text', 'column'),
])
def test_bad_data_exits_3_with_file_and_line(tmp_path, capsys, name, content, field, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    code, error = run(capsys, f'--workdir={tmp_path}/run', f'--config.data.train={tmp_path}/{name}',
                      f'--config.data.cache={tmp_path}/cache')
    assert code == 3
    assert error == (ROOT / f'tests/fixtures/messages/data_{message}.txt').read_text().replace('FOLDER', str(tmp_path))
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
    assert code == 2 and error == f'''config: 1 problem
  1. --workdir={tmp_path}/other   holds checkpoints but no config.json, which states their settings. Put it back, or start with another --workdir.
nothing was run
'''  # noqa: E501


@pytest.mark.parametrize('name, flags, code, message', [
    ('a workdir that is a file', ['--workdir=FOLDER/file'], 2, 'expected a folder to write to, FOLDER/file is a file.'),
    ('a workdir nobody can make', ['--workdir=/proc/nope'], 6, 'files: '),
    ('a damaged config.json', ['--workdir=FOLDER/damaged'], 2, 'expected JSON, got Expecting value'),
    ('a start from another shape', ['--workdir=FOLDER/new', '--config.init.from=FOLDER/wide'], 2, 'checkpoint: '),
    ('a start that takes nothing', ['--workdir=FOLDER/new', '--config.init.from=FOLDER/wide', '--config.init.paths=nothing'], 2,
     'nothing in params matches nothing'),
    ('a prompt that is too long', ['--workdir=FOLDER/new', '--config.sequence_length=16',
                                   f"--config.sample.prompts=('', '{'many ' * 20}')"], 2,
     'sequence_length is 16; expected at most 15: shorten it.'),
    ('a start from nowhere', ['--workdir=FOLDER/new', '--config.init.from=FOLDER/nowhere'], 2, 'init.from'),
])
def test_trouble_is_one_message_and_leaves_the_workdir_free(tmp_path, capsys, name, flags, code, message):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'damaged').mkdir()
    (tmp_path / 'damaged' / 'config.json').write_text('')
    cache = f'--config.data.cache={tmp_path}/cache'
    if 'wide' in str(flags):
        assert run(capsys, f'--workdir={tmp_path}/wide', cache, '--config.model.dim=32')[0] == 0
    found, error = run(capsys, cache, *(flag.replace('FOLDER', str(tmp_path)) for flag in flags))
    assert found == code and message.replace('FOLDER', str(tmp_path)) in error
    assert not (tmp_path / 'new' / 'config.json').exists()


def test_divergence_exits_5(tmp_path, capsys):
    code, error = run(capsys, f'--workdir={tmp_path}/run', f'--config.data.cache={tmp_path}/cache', '--config.optimizer.name=sgd',
                      '--config.optimizer.learning_rate=1e30', '--config.optimizer.clip=None', '--config.optimizer.warmup=0',
                      '--config.steps=5', '--config.log_every=1')
    assert code == 5
    assert error == ('diverged: the loss of step 2 is nan; lower optimizer.learning_rate or raise optimizer.warmup. '
                     'The last checkpoint is intact\n')


def test_invalid_utf8_is_replaced_counted_and_said(tmp_path, capsys):
    (tmp_path / 'mixed.txt').write_bytes(b'It was a dark and stormy night. ' * 400 + b'\xff\xfe caf\xe9 ' + b'The end. ' * 100)
    code = main.main(['--config=configs/tiny.py', '--config.steps=2', '--config.mesh.data=8', '--config.eval_batches=1',
                      f'--workdir={tmp_path}/run', f'--config.data.train={tmp_path}/mixed.txt', f'--config.data.cache={tmp_path}/cache'])
    shown = capsys.readouterr().out
    assert code == 0 and ': 3 damaged characters, bytes' in shown


@pytest.mark.parametrize('path', [
    *(f'train/{name}.py' for name in ('main', 'inspect', 'generate', 'evaluate', 'convert', 'report')), 'data/tokenizer.py'])
def test_a_command_started_by_its_path_says_how_to_start_it(path):
    done = subprocess.run([sys.executable, ROOT / path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, '', f'use python -m {path.replace("/", ".").removesuffix(".py")}\n')


def test_the_list_of_commands_ends_where_nobody_reads_it():
    command = f'{sys.executable} -m train | head -n 1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(['bash', '-c', command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    first, code = done.stdout.splitlines()
    assert done.stderr == '' and first.startswith('python -m COMMAND --help') and code in ('0', '141')


def test_every_config_is_a_module():
    from configs import tiny
    assert tiny.get_config('tiny').steps == 20
