"""Files to which a run appends: whatever fails, and whenever, their lines arrive in order and once each."""
import errno
import os
import random
import subprocess
import sys
import threading

import pytest

from data import atomic
from tests.helpers import subprocesses
from train.monitoring import appended

LINES = [f'{{"step": {i}, "text": "{"x" * (i % 50)}"}}\n'.encode() for i in range(200)]


@pytest.mark.parametrize('seed', range(20))
def test_a_disk_that_fills_up_at_random_moments_costs_no_line(tmp_path, monkeypatch, seed):
    """os.write takes everything, a part, or nothing: as on a full disk, whose last block takes a part of a line."""
    draw, write = random.Random(seed), os.write

    def limited(handle, data):
        outcome = draw.random()
        if outcome < 0.3:
            raise OSError(draw.choice([errno.ENOSPC, errno.EDQUOT, errno.EIO]), 'no room')
        return write(handle, data if outcome > 0.6 else data[:draw.randrange(1, len(data) + 1)])

    notices = []
    file = appended.File(tmp_path / 'lines', notices.append)
    monkeypatch.setattr(os, 'write', limited)
    for line in LINES:
        file.write(line)
        held = (tmp_path / 'lines').read_bytes() if (tmp_path / 'lines').exists() else b''
        assert b''.join(LINES).startswith(held)
    monkeypatch.undo()
    file.close()
    assert (tmp_path / 'lines').read_bytes() == b''.join(LINES)
    failing = [notice for notice in notices if notice.endswith('its lines wait in memory, the run goes on')]
    again = [notice for notice in notices if notice == 'lines is written again']
    assert len(failing) == len(again) > 3 and len(notices) == 2 * len(again)


def test_what_never_can_be_written_is_counted_and_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(appended, 'LIMIT', 30)
    (tmp_path / 'lines').mkdir()
    notices = []
    file = appended.File(tmp_path / 'lines', notices.append)
    for _ in range(5):
        file.write(b'0123456789\n')
    file.close()
    assert notices == ['lines cannot be written (Is a directory): its lines wait in memory, the run goes on',
                       'lines lost lines: 5 (Is a directory)']
    notices.clear()
    (tmp_path / 'lines').rmdir()
    file.flush()
    assert (tmp_path / 'lines').read_bytes() == b'0123456789\n' * 2
    assert notices == ['lines is written again, without 3 lines that did not fit into memory']


def test_a_file_that_was_deleted_comes_back(tmp_path):
    file = appended.File(tmp_path / 'lines', print)
    file.write(b'a\n')
    (tmp_path / 'lines').unlink()
    file.write(b'b\n')
    assert (tmp_path / 'lines').read_bytes() == b'b\n'


def test_preparation_is_tried_until_it_succeeds(tmp_path):
    notices = []
    file = appended.File(tmp_path / 'a' / 'b' / 'lines', notices.append, lambda: (tmp_path / 'a' / 'b').mkdir())
    file.write(b'1\n')
    (tmp_path / 'a').mkdir()
    file.write(b'2\n')
    assert (tmp_path / 'a' / 'b' / 'lines').read_bytes() == b'1\n2\n'
    assert notices == ['lines cannot be written (No such file or directory): its lines wait in memory, the run goes on',
                       'lines is written again']


def test_a_file_may_report_its_own_trouble_to_itself_and_to_another(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    files = {}
    for name, other in (('a', 'b'), ('b', 'a')):
        files[name] = appended.File(tmp_path / name, lambda text, other=other: [files[one].write(text.encode()) for one in ('a', 'b')])
    threads = [threading.Thread(target=files[name].write, args=[b'x'], daemon=True) for name in 'ab' * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_objects_of_a_store_that_cannot_be_reached_are_written_later(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, 'local', lambda path: False)
    monkeypatch.setattr(appended, 'PART_LINES', 3)
    notices = []
    file = appended.open_(tmp_path / 'lines.jsonl', notices.append)
    (tmp_path / 'lines.jsonl.parts').write_text('in the way')
    for line in LINES[:7]:
        file.write(line)
    (tmp_path / 'lines.jsonl.parts').unlink()
    for line in LINES[7:]:
        file.write(line)
    file.close()
    parts = appended.listed(tmp_path / 'lines.jsonl.parts')
    assert b''.join(part.read_bytes() for part in parts) == b''.join(LINES) and parts[0].name == '0000.00000000.jsonl'
    assert [notice.partition(' (')[0] for notice in notices] == ['lines.jsonl cannot be written', 'lines.jsonl is written again']


LIMITED = """
import resource, sys
sys.path.insert(0, {root!r})
from train.monitoring import appended
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
file = appended.File({path!r}, print)
for i in range(100):
    file.write(b'%05d a line of twenty\\n' % i)
    if i == 70:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.close()
"""


def test_a_limit_of_the_system_is_such_an_error_too(tmp_path):
    code = LIMITED.format(root=str(subprocesses.ROOT), path=str(tmp_path / 'lines'))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout == 'lines cannot be written (File too large): its lines wait in memory, the run goes on\nlines is written again\n'
    assert (tmp_path / 'lines').read_text().splitlines() == [f'{i:05d} a line of twenty' for i in range(100)], done.stderr
