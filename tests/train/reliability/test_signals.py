"""Signals, files and the clock stop a run at a step boundary; of two processes both stop at the same one."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers import subprocesses
from tests.train.checkpoints import test_checkpoint
from train.checkpoints import folders
from train.reliability import signals

ROOT = test_checkpoint.ROOT


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'nothing happened'
        time.sleep(0.01)


@pytest.fixture
def listen(tmp_path):
    made, before = [], [signal.getsignal(number) for number in signals.SIGNALS]

    def make(**keywords):
        lines = []
        made.append(signals.Signals(tmp_path, notice=lines.append, **keywords))
        return made[-1], lines
    yield make
    for one in reversed(made):
        one.__exit__()
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


@pytest.mark.parametrize('number', signals.SIGNALS)
def test_a_signal_stops_at_the_next_boundary(listen, number):
    running, lines = listen()
    assert running.poll(1) is None
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)                                 # `timeout` sends two at once: that is one
    until(lambda: running.poll(2) == 'stop')
    assert running.poll(3) == 'stop' and running.reason == number.name
    assert lines == [f'{number.name}: saving after this step, then stopping (a second signal leaves at once)']


def test_a_lost_terminal_hangs_up_twice_and_is_no_second_signal(listen):
    running, lines = listen()
    os.kill(os.getpid(), signal.SIGHUP)
    until(lambda: running.poll(1) == 'stop')
    time.sleep(signals.AGAIN + 0.1)
    os.kill(os.getpid(), signal.SIGHUP)                          # the shell's, after the terminal's
    os.kill(os.getpid(), signal.SIGTERM)                         # and the session's
    time.sleep(0.1)
    assert running.poll(2) == 'stop' and running.reason == 'SIGHUP' and len(lines) == 1


def test_nohup_is_obeyed(tmp_path):
    before, lines = signal.signal(signal.SIGHUP, signal.SIG_IGN), []
    try:
        with signals.Signals(tmp_path, notice=lines.append) as running:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert running.poll(1) is None and lines == [] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_files_are_obeyed_once(listen, tmp_path, monkeypatch):
    monkeypatch.setattr(signals, 'LOOK', 0.02)
    running, lines = listen()
    (tmp_path / 'SAVE').touch()
    until(lambda: running.poll(1) == 'save')
    assert running.poll(2) is None and not (tmp_path / 'SAVE').exists()
    (tmp_path / 'STOP').touch()
    until(lambda: running.poll(3) == 'stop')
    assert not (tmp_path / 'STOP').exists() and running.reason == 'the file STOP'
    assert lines == ['the file SAVE: saving after this step',
                     'the file STOP: saving after this step, then stopping (a second signal leaves at once)']


def test_time_limit(listen):
    running, lines = listen(time_limit=0.3)
    assert running.poll(1) is None
    until(lambda: running.poll(2) == 'stop')
    assert running.reason == 'the time limit'
    late, _ = listen(time_limit=-1)
    until(lambda: late.poll(1) == 'stop')


def test_outside_the_main_thread_files_still_work(listen, tmp_path, monkeypatch):
    monkeypatch.setattr(signals, 'LOOK', 0.02)
    made = []
    thread = threading.Thread(target=lambda: made.append(listen()[0]))
    thread.start()
    thread.join()
    (tmp_path / 'STOP').touch()
    until(lambda: made[0].poll(1) == 'stop')


BUSY = """
import sys, time
sys.path.insert(0, {root!r})
from train.reliability import signals
running = signals.Signals({folder!r}, notice=lambda line: print(line, flush=True))
print('ready', flush=True)
{work}
while running.poll(1) is None:
    time.sleep(0.01)
"""


def busy(folder, work):
    code = BUSY.format(root=str(ROOT), folder=str(folder), work=work)
    child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout.readline() == 'ready\n'
    return child


def test_a_second_signal_leaves_at_once_even_while_python_is_stuck_in_native_code(tmp_path):
    # a query without end stands for XLA's compiler: native code without the GIL, so Python's own handlers must wait
    query = 'with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c'
    work = f"import sqlite3; sqlite3.connect(':memory:').execute('{query}')"
    child = busy(tmp_path, work)
    try:
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == (
            'SIGINT: saving after this step, then stopping (a second signal leaves at once)\n')
        time.sleep(signals.AGAIN + 0.1)
        child.send_signal(signal.SIGTERM)
        assert child.communicate(timeout=20)[0] == 'SIGTERM: leaving at once, the last steps are not saved\n'
        assert child.returncode == 128 + signal.SIGTERM
    finally:
        child.kill()


def test_a_child_process_and_a_fork_do_not_tell_the_parent(listen):
    running, lines = listen()
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.1)
    assert running.poll(1) is None and lines == []


TWO = """
import sys, time
sys.path.insert(0, {root!r})
import jax
rank = int(sys.argv[1])
jax.distributed.initialize('127.0.0.1:{port}', 2, rank)
from tests.train.checkpoints import test_checkpoint as t
from train.reliability import signals
from train.checkpoints import checkpoint
signals.LOOK = 0.1
state = t.put(t.make(0), ((2, 1), 2))
@jax.jit
def step(s):
    params = jax.tree.map(lambda x: 0.9 * x + 0.1 * x.mean(), s.params)   # a collective
    return t.states.State(s.step + 1, params, s.opt_state, None, s.rng, None)
running = signals.Signals({folder!r}, notice=lambda line: print(line, flush=True))
with checkpoint.Checkpoints({folder!r} + '/checkpoints') as saved, running:
    for number in range(1, 20000):
        state = step(state)
        if rank == 0:
            time.sleep(0.003)             # the host of process 1 runs ahead
        if number % 20 == 0:
            jax.block_until_ready(state)
        wanted = running.poll(number)
        if wanted:
            saved.save(number, state, {{}})
            print(wanted, number, running.reason, flush=True)
        if wanted == 'stop':
            break
        if number == 10:
            print('ready', flush=True)
    print('sha256', saved.verify(number, state), int(state.step), flush=True)
"""


def test_two_processes_save_and_stop_at_the_same_step_though_only_one_was_told(tmp_path):
    code = TWO.format(root=str(ROOT), folder=str(tmp_path), port=subprocesses.free_port())

    def tell(children):
        for child in children:
            while child.stdout.readline() not in ('ready\n', ''):
                pass
        (tmp_path / 'SAVE').touch()                              # process 0 sees the file
        until(lambda: folders.complete(tmp_path / 'checkpoints'))
        children[1].send_signal(signal.SIGTERM)

    commands = [[sys.executable, '-c', code, str(rank)] for rank in range(2)]
    outputs = test_checkpoint.run_all(commands, devices=1, meanwhile=tell)
    ends = []
    for status, out in outputs:
        assert status == 0, out
        ends.append([line for line in out.splitlines() if line.startswith(('save ', 'stop', 'sha256'))])
    assert ends[0] == ends[1] and len(ends[0]) == 3, outputs
    (save, first, *why), (stop, last, *who) = (line.split() for line in ends[0][:2])
    assert save == 'save' and ' '.join(why) == 'the file SAVE'
    assert stop == 'stop' and ' '.join(who) == 'SIGTERM at process 1'
    assert folders.complete(tmp_path / 'checkpoints') == [int(first), int(last)]
    assert int(last) == int(ends[0][2].split()[2]) > int(first)
