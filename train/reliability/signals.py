"""Requests to save and to stop: SIGTERM, SIGINT, SIGUSR1, SIGHUP, the files STOP and SAVE in the workdir, a time limit.

All save first. The signals, STOP and the limit also end the run (exit 75: the same command continues it); SIGUSR1 is among them
because Slurm can send it ahead of its time limit (--signal=USR1@120), SIGHUP because a lost connection sends it: once from the terminal
and once from the shell, and so it never counts as a second signal; under nohup it is ignored. SAVE goes on. A second signal exits at
once with 128 + its number. The loop calls `poll(step)` between steps: it takes one lock and uses no device, file or network.

Several processes must stop at the *same* step although only one got the signal, and hosts run ahead of each other. So (the
idea of JAX's preemption sync point, which handles SIGTERM alone) the process that got it writes the request to the coordination
service. In every process a thread reads it, blocks `poll`, and publishes the step that its process has reached. Process 0 answers
with the largest plus one, which no process can have passed, and all continue to that step. Without a request the steps cost nothing.
"""
import contextlib
import math
import os
import select
import signal
import sys
import threading
import time
from typing import Callable

from etils import epath

from train.parallel import processes

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
FILES = {'STOP': 'stop', 'SAVE': 'save'}      # deleted when found, so that the next run does not stop again
LOOK = 2.0                                    # seconds between two looks for the files
ASK = 0.5                                     # seconds between two questions to the coordination service
AGAIN = 0.3                                   # a second signal this soon is the same one: `timeout` and `srun` send two
PATIENCE = 300                                # seconds to wait for the step of each process; a first step may compile


class Signals(contextlib.AbstractContextManager):
    """Listens from construction to the end of `with`. Make it in the main thread, after jax.distributed is initialized.

    workdir: where process 0 looks for the files. time_limit: seconds from now, which should leave room for a step and a save.
    notice(line) informs the user at once, also while the main thread compiles.
    """

    def __init__(self, workdir: epath.PathLike, time_limit: float | None = None, notice: Callable[[str], None] = print):
        self.workdir, self.notice = epath.Path(workdir), notice
        self.deadline = time.monotonic() + (math.inf if time_limit is None else time_limit)
        self.reason = ''                      # of the request: 'SIGTERM', 'SIGTERM at process 3', 'the file STOP', ...
        self._wanted, self._first = set(), None  # the requests to this process; when its first signal came
        self._agreed, self._target = None, 0  # the request that all processes agreed on, and the step from which it holds
        self._step, self._event = 0, 0
        self._lock, self._changed, self._asking = threading.Lock(), threading.Event(), None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._closed, self._old = False, {}
        self.install()
        os.register_at_fork(after_in_child=lambda: self._closed or signal.set_wakeup_fd(-1))  # a child's signals are not ours
        threading.Thread(target=self._listen, name='signals', daemon=True).start()

    def install(self) -> None:
        """Installs the handlers; again in the first `poll` of several processes, as jax.distributed.initialize replaces that of SIGTERM.

        The handlers do nothing. The bytes that Python writes into the pipe reach the listening thread even while the
        main thread is in a compilation, where a handler in Python would have to wait.
        """
        if threading.current_thread() is not threading.main_thread():
            return                            # Python allows handlers only there: files and the limit still work
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._old.setdefault(number, signal.signal(number, lambda *_: None))
        self._old.setdefault('wakeup', signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False))

    def poll(self, step: int) -> str | None:
        """None, 'save' (save and go on) or 'stop' (save and exit), to be obeyed now, after `step` steps.

        With several processes each must call it at the same steps, and all get the same answer at the same step.
        """
        if processes.count() == 1:
            wanted = self._request()
            if wanted == 'save':
                self._wanted.discard('save')
            return wanted
        if self._asking is None:
            self.install()
            self._asking, self._step = threading.Thread(target=self._agree, name='signals between processes', daemon=True), step
            self._asking.start()
        with self._lock:
            self._step = step
            if self._agreed is None or step < self._target:
                return None
            wanted, self._agreed = self._agreed, None if self._agreed == 'save' else self._agreed
            return wanted

    def __exit__(self, *_):
        """Restores the handlers of before. From the main thread."""
        self._closed = True
        if threading.current_thread() is threading.main_thread() and self._old:
            signal.set_wakeup_fd(self._old.pop('wakeup'))
            for number, handler in self._old.items():
                signal.signal(number, handler)
        os.write(self._writer, b'\0')         # wakes the listening thread, which then ends

    def _listen(self):
        """The listening thread: bytes of signals, files, the time limit."""
        look = time.monotonic()
        while not self._closed:
            wait = max(0, min(look, self.deadline) - time.monotonic())
            if select.select([self._reader], [], [], wait)[0]:
                for number in os.read(self._reader, 64):
                    self._signal(number)
            now = time.monotonic()
            if now >= self.deadline:
                self.deadline = math.inf
                self._want('stop', 'the time limit')
            if now >= look:
                look = now + LOOK
                for name, wanted in FILES.items() if processes.rank() == 0 else ():
                    with contextlib.suppress(OSError):  # a store that cannot be reached now is asked again
                        if (self.workdir / name).exists():
                            (self.workdir / name).unlink()
                            self._want(wanted, f'the file {name}')
        os.close(self._reader)
        os.close(self._writer)

    def _signal(self, number):
        if number not in SIGNALS:
            return
        name, now = signal.Signals(number).name, time.monotonic()
        if number == signal.SIGHUP:
            self._want('stop', name)
        elif self._first is None:
            self._first = now
            self._want('stop', name)
        elif now - self._first > AGAIN:
            cursor = '\x1b[?25h\x1b[0m' if sys.__stderr__.isatty() else ''  # visible again, without colour
            with contextlib.suppress(OSError):
                os.write(2, f'{cursor}{name}: leaving at once, the last steps are not saved\n'.encode())
            os._exit(128 + number)

    def _request(self):
        return next((wanted for wanted in ('stop', 'save') if wanted in self._wanted), None)

    def _want(self, wanted, reason):
        if 'stop' in self._wanted:
            return
        self._wanted.add(wanted)
        self.reason = reason + (f' at process {processes.rank()}' if processes.rank() > 0 else '')
        then = ', then stopping (a second signal leaves at once)' if wanted == 'stop' else ''
        self.notice(f'{self.reason}: saving after this step{then}')
        self._changed.set()

    def _agree(self):
        """The thread between processes: publishes this process's request, reads those of others, and agrees on a step.

        It runs on after the end of `with`: a process that is a step behind may get a request now, and waits for the steps of all.
        """
        client, published = processes.client(), None
        while self._agreed != 'stop' and processes.client() is client:
            self._changed.wait(ASK)
            self._changed.clear()
            if self._agreed is not None:      # a SAVE that was agreed on and is not yet reached
                time.sleep(ASK)
                continue
            event = f'pretext/signal/{self._event}'
            try:
                if self._wanted and published != self._event and not self._closed:
                    published = self._event
                    with contextlib.suppress(Exception):  # another process was first: its request comes now, ours is the next event
                        client.key_value_set(event, f'{self._request()} {self.reason}')
                try:
                    wanted, reason = client.key_value_try_get(event).split(' ', 1)
                except Exception:             # there is no request
                    continue
                self._settle(client, event, wanted, reason)
            except Exception as error:        # a process that does not answer: stop alone rather than never
                self.notice(f'the other processes do not answer ({str(error)[:200]}): stopping without them')
                self._agreed, self._target, self.reason = 'stop', 0, self.reason or 'a lost process'

    def _settle(self, client, event, wanted, reason):
        with self._lock:                      # `poll` waits until the step to stop at is known
            client.key_value_set(f'{event}/{processes.rank()}', str(self._step))
            if processes.rank() == 0:
                reached = [int(client.blocking_key_value_get(f'{event}/{i}', PATIENCE * 1000)) for i in range(processes.count())]
                client.key_value_set(f'{event}/target', str(max(reached) + 1))
            self._target = int(client.blocking_key_value_get(f'{event}/target', PATIENCE * 1000))
            self._agreed, self.reason, self._event = wanted, reason, self._event + 1
            self._wanted.discard(wanted)
