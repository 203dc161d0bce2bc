"""Crash-safe writes: a file or folder is complete, or as it was before."""
import os
import signal
import subprocess
import sys

import pytest

from data import atomic


def test_a_file_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / 'a.json'
    atomic.write(path, b'old')

    def fail(*_):
        raise OSError('no space')
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError):
        atomic.write(path, b'new')
    assert path.read_bytes() == b'old'
    monkeypatch.undo()
    atomic.write(path, b'new')
    assert path.read_bytes() == b'new' and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_renamed_at_the_end_and_a_kill_leaves_no_folder(tmp_path):
    with atomic.folder(tmp_path / 'out') as made:
        (made / 'a').write_text('x')
        assert not (tmp_path / 'out').exists()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob('*'))] == ['out', 'out/a']
    code = ('import os, pathlib, sys\nfrom data import atomic\nwith atomic.folder(pathlib.Path(sys.argv[1])) as made:\n'
            "    (made / 'a').write_text('x')\n    os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, '-c', code, tmp_path / 'killed']).returncode == -signal.SIGKILL
    assert not (tmp_path / 'killed').exists()


def test_a_folder_that_was_filled_meanwhile_is_left_as_it_is(tmp_path):
    (tmp_path / 'out').mkdir()
    with pytest.raises(OSError), atomic.folder(tmp_path / 'out'):
        (tmp_path / 'out' / 'mine.txt').write_text('kept')
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*')] == ['out', 'out/mine.txt']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing(tmp_path, number):
    outer = signal.signal(number, before := signal.SIG_DFL)  # a shell starts what is in the background with SIGINT ignored
    with pytest.raises(SystemExit) as error, atomic.folder(tmp_path / 'out') as made:
        (made / 'half').write_text('')
        signal.raise_signal(number)
    assert error.value.code == 128 + number and list(tmp_path.iterdir()) == [] and signal.getsignal(number) is before
    signal.signal(number, outer)
