"""Standard output that others close, hang up or fill: a command of a pipe ends quietly, a run goes on."""
import os
import pty
import subprocess
import sys

import pytest

from tests.helpers import subprocesses

SHOWN = """
import sys
sys.path.insert(0, {root!r})
from train.monitoring import display, loss_terms
from train.settings import command, streams
def run():
    with display.Display() as screen:
        screen.keep({folder!r})
        screen.start(0, 300, loss_terms.Terms())
        for i in range(300):
            screen.notice(f'line {{i}} · 曹操')
            screen.update(i, {{'train/loss': 1.0}})
    return 0
command.main(run)
"""


def shown(folder, environment=None, **streams):
    code = SHOWN.format(root=str(subprocesses.ROOT), folder=str(folder))
    return subprocess.Popen([sys.executable, '-c', code], cwd=subprocesses.ROOT, env={**os.environ, **(environment or {})}, **streams)


def complete(folder):
    """Whether the log holds every line, without an escape."""
    text = (folder / 'train.log').read_bytes().decode()
    assert '\x1b' not in text and text.startswith('== ')
    return [line for line in text.splitlines() if line.startswith('line ')] == [f'line {i} · 曹操' for i in range(300)]


LOST = 'standard output is lost ({}): the run goes on, its lines are in train.log'


def test_a_pipe_that_nobody_reads(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    child = shown(tmp_path, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert child.communicate(timeout=60)[1].decode() == LOST.format('Broken pipe') + '\n' and child.returncode == 0
    assert complete(tmp_path) and LOST.format('Broken pipe') in (tmp_path / 'train.log').read_text()


def test_a_terminal_that_hangs_up(tmp_path):
    """As after a lost connection, when SIGHUP is ignored: every write is an error, on both streams."""
    master, terminal = pty.openpty()
    child = shown(tmp_path, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    os.close(master)
    assert child.wait(timeout=60) == 0
    assert complete(tmp_path) and LOST.format('Input/output error') in (tmp_path / 'train.log').read_text()


@pytest.mark.parametrize('flags', ['>/dev/full', '>&-', '2>&-', '<&- >&- 2>&-', '>/dev/full 2>/dev/full', '| true', '2>&1 | true'])
def test_every_way_to_take_the_streams_away(tmp_path, flags):
    (tmp_path / 'code.py').write_text(SHOWN.format(root=str(subprocesses.ROOT), folder=str(tmp_path / 'run')))
    code = f'{sys.executable} {tmp_path}/code.py {flags}; echo ${{PIPESTATUS[0]}} >{tmp_path}/code'
    subprocess.run(['bash', '-c', code], check=True, timeout=60, capture_output=True)
    assert (tmp_path / 'code').read_text() == '0\n' and complete(tmp_path / 'run')


def test_an_encoding_without_the_letters_shows_escapes(tmp_path):
    child = shown(tmp_path, {'PYTHONIOENCODING': 'ascii', 'PYTHONUTF8': '0'}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, error = child.communicate(timeout=60)
    assert child.returncode == 0 and error == b'' and out.splitlines()[0] == rb'line 0 \xb7 \u66f9\u64cd'
    assert complete(tmp_path)


def test_another_command_ends_quietly_when_its_reader_leaves():
    code = 'from train.settings import command\ncommand.main(command.entry(lambda argv: [print(i) for i in range(10**6)]))'
    done = subprocess.run(['bash', '-c', f'{sys.executable} -c "$0" | head -n 1; echo ${{PIPESTATUS[0]}}', code], cwd=subprocesses.ROOT,
                          capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ('0\n141\n', '')
