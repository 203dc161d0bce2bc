"""One run at a time in a workdir: the second leaves at once; a run that was killed is continued at once."""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import subprocesses
from train.monitoring import metrics
from train.reliability import lock
from train.settings import errors

HOLDER = '''
import sys, time
from train.reliability import lock
with lock.held(sys.argv[1]):
    print('held', flush=True)
    time.sleep(600)
'''


def holder(folder):
    """A process that has the lock of a folder, and its end."""
    made = subprocesses.start([sys.executable, '-c', HOLDER, str(folder)])
    assert made.stdout.readline() == 'held\n'
    return made


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    first = holder(tmp_path / 'run[1]' / 'a')
    with pytest.raises(errors.Error) as error:
        with lock.held(str(tmp_path / 'run[1]' / 'a')):
            raise AssertionError
    message = (subprocesses.ROOT / 'tests' / 'fixtures' / 'messages' / 'locked.txt').read_text()
    shown = re.sub(r'on \S+, since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', 'on HOST, since TIME', str(error.value))
    assert shown.replace(str(tmp_path), 'FOLDER').replace(str(first.pid), 'NUMBER') + '\n' == message
    first.send_signal(signal.SIGKILL)
    first.wait()
    with lock.held(str(tmp_path / 'run[1]' / 'a')):
        assert json.loads((tmp_path / 'run[1]' / 'a' / '.lock').read_text())['process'] == os.getpid()
    assert list((tmp_path / 'run[1]' / 'a').iterdir()) == []     # the folder was there before


def test_a_folder_in_which_nothing_was_written_is_not_left(tmp_path):
    with lock.held(str(tmp_path / 'new')):
        assert (tmp_path / 'new').exists()
    assert not (tmp_path / 'new').exists()


def test_never_two_at_once(tmp_path):
    """Threads that take the lock and delete its file as fast as they can: each open file is a holder of its own to flock."""
    inside, most, taken = [], [], []

    def worker():
        for _ in range(300):
            try:
                with lock.held(str(tmp_path / 'run')):
                    inside.append(1)
                    most.append(len(inside))
                    taken.append(1)
                    inside.pop()
            except errors.Error:
                pass
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(worker) for _ in range(4)]:
            done.result()
    assert set(most) == {1} and len(taken) > 20


@pytest.mark.parametrize('text', ['', '{', '[]', '{"process": 3}'])
def test_a_holder_that_has_not_written_its_name(tmp_path, text):
    first = holder(tmp_path)
    (tmp_path / '.lock').write_text(text)
    with pytest.raises(errors.Error, match='another process trains in this workdir'):
        lock.held(str(tmp_path)).__enter__()
    first.kill()
    first.wait()


def test_children_of_a_killed_run_do_not_keep_the_lock(tmp_path):
    code = HOLDER.replace('time.sleep(600)', "import subprocess; subprocess.run(['sleep', '30'])")
    first = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=subprocesses.ROOT, text=True, stdout=subprocess.PIPE)
    assert first.stdout.readline() == 'held\n'
    time.sleep(0.2)
    first.kill()
    first.wait()
    with lock.held(str(tmp_path)):
        pass


def test_nothing_is_held_where_there_are_no_locks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lock.held('gs://bucket/run'), lock.held('gs://bucket/run'):
        assert list(tmp_path.iterdir()) == []


def test_the_same_command_twice_and_again_after_kill_9(tmp_path):
    run = tmp_path / 'run'
    command = [sys.executable, '-m', 'train.main', '--config=configs/tiny.py', f'--workdir={run}', f'--config.data.cache={tmp_path}/cache',
               '--config.steps=2000', '--config.log_every=1', '--config.checkpoint.every=5', '--config.eval_batches=1']
    first = subprocesses.start(command)
    try:
        while first.poll() is None and not any((run / 'checkpoints').glob('*/manifest.json')):
            time.sleep(0.1)
        before = {path: path.read_bytes() for path in (run / 'config.json', run / 'environment.json', run / '.lock')}
        second = subprocesses.run(*command[1:], code=2)
        assert f'another process trains in this workdir (process {first.pid} on ' in second.stderr and 'Traceback' not in second.stderr
        assert {path: path.read_bytes() for path in before} == before and not (run / 'checkpoints' / 'bad').exists()
        first.kill()
        first.wait()
        third = subprocesses.run(*command[1:], '--time_limit=1', code=75)
        assert 'continuing at step' in third.stdout
        steps = [line['step'] for line in metrics.read(run)]
        assert steps == list(range(1, len(steps) + 1))
    finally:
        first.kill()
