"""When to save and when to leave: SIGTERM, SIGINT, SIGUSR1, the files STOP and SAVE in the workdir, a time limit.

All save first. The signals, STOP and the limit also end the run (exit 75: the same command continues it), SIGUSR1
because Slurm sends it ahead of its time limit (--signal=USR1@120); SAVE goes on. A second signal leaves at once with
128 + its number. The loop asks `poll(step)` between steps: one lock, no device, no file, no network.

Several processes must stop at the *same* step although only one was told, and hosts run ahead of each other. So (the
idea of JAX's preemption sync point, which only knows SIGTERM) who was told writes it to the coordination service; in
every process a thread reads that, holds `poll` back, and publishes the step its process has reached. Process 0 answers
with the largest plus one, which none can have passed, and all go on to it. It costs the steps nothing until it happens.
"""
import os
import select
import signal
import sys
import threading
import time

from etils import epath

from train.parallel import processes

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
FILES = {'STOP': 'stop', 'SAVE': 'save'}      # removed when seen, so that the next run does not stop again
LOOK = 2.0                                    # seconds between looks at the files
ASK = 0.5                                     # seconds between questions to the other processes
AGAIN = 0.3                                   # a second signal this soon is the same one: `timeout` and `srun` send two
PATIENCE = 300                                # seconds for all to say where they are; a first step may compile


class Signals:
    """Listens from construction to `close()` (or use `with`). Make it in the main thread, after jax.distributed is up.

    workdir: where STOP and SAVE are looked for (by process 0). time_limit: seconds since `start` (default: now), which
    should leave room for a step and a save. notice(line) tells the user at once, also while the main thread compiles.
    """

    def __init__(self, workdir, time_limit=None, start=None, notice=print):
        self.workdir, self.notice = epath.Path(workdir), notice
        self.deadline = None if time_limit is None else (start or time.monotonic()) + time_limit
        self.reason = ''                      # what asked: 'SIGTERM', 'SIGTERM at process 3', 'the file STOP', ...
        self._wanted, self._first = None, None  # what this process was asked for; when the first signal came
        self._agreed, self._target = None, 0  # what all processes do, and from which step on
        self._step, self._event = 0, 0
        self._lock, self._changed, self._asking = threading.Lock(), threading.Event(), None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._terminal, self._closed, self._old = _terminal(), False, {}
        self.install()
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._listen, name='signals', daemon=True).start()

    def install(self):
        """Takes the signals. jax.distributed.initialize takes SIGTERM for itself: after it (`poll` repeats this once).

        The handlers do nothing. The bytes that Python writes into the pipe reach the listening thread even while the
        main thread is in a compilation, where a handler in Python would have to wait.
        """
        if threading.current_thread() is not threading.main_thread():
            return                            # Python allows handlers only there: files and the limit still work
        for number in SIGNALS:
            self._old.setdefault(number, signal.signal(number, lambda *_: None))
        self._old.setdefault('wakeup', signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False))

    def poll(self, step):
        """None, 'save' (save and go on) or 'stop' (save and leave), to be obeyed now, after `step` steps.

        With several processes every one must ask at the same steps, and all get the same answer at the same step.
        """
        if processes.count() == 1:
            wanted = self._wanted
            if wanted == 'save':
                self._wanted = None
            return wanted
        if self._asking is None:
            self.install()
            self._asking = threading.Thread(target=self._agree, name='signals between processes', daemon=True)
            self._step = step
            self._asking.start()
        with self._lock:
            self._step = step
            if self._agreed is None or step < self._target:
                return None
            wanted = self._agreed
            if wanted == 'save':
                self._agreed = None
            return wanted

    def close(self):
        """Gives the signals back. From the main thread."""
        if self._closed:
            return
        self._closed = True
        if threading.current_thread() is threading.main_thread() and self._old:
            signal.set_wakeup_fd(self._old.pop('wakeup'))
            for number, handler in self._old.items():
                signal.signal(number, handler)
        os.write(self._writer, b'\0')         # wakes the listener, which then ends

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _forget(self):
        """In a forked child: its signals are not ours."""
        if not self._closed:
            signal.set_wakeup_fd(-1)

    def _listen(self):
        """The listening thread: bytes of signals, files, the clock."""
        look = time.monotonic()
        while not self._closed:
            now = time.monotonic()
            wait = min(LOOK, max(0, look - now), max(0, self.deadline - now) if self.deadline else LOOK)
            ready = select.select([self._reader], [], [], wait)[0]
            if ready:
                for number in os.read(self._reader, 64):
                    self._signal(number)
            now = time.monotonic()
            if self.deadline and now >= self.deadline:
                self.deadline = None
                self._want('stop', 'the time limit')
            if now >= look:
                look = now + LOOK
                self._look()
        os.close(self._reader)
        os.close(self._writer)

    def _signal(self, number):
        if number not in SIGNALS:
            return
        name, now = signal.Signals(number).name, time.monotonic()
        if self._first is None:
            self._first = now
            self._want('stop', name)
        elif now - self._first > AGAIN:
            _leave(number, f'{name}: leaving at once, the last steps are not saved', self._terminal)

    def _look(self):
        if processes.rank() > 0:
            return
        for name, wanted in FILES.items():
            try:
                if (self.workdir / name).exists():
                    (self.workdir / name).unlink()
                    self._want(wanted, f'the file {name}')
            except OSError:                   # a store that cannot be reached now is asked again
                pass

    def _want(self, wanted, reason):
        if self._wanted == 'stop':
            return
        if processes.rank() > 0:
            reason = f'{reason} at process {processes.rank()}'
        self._wanted, self.reason = wanted, reason
        self.notice(f'{reason}: saving after this step' + (
            ', then stopping (a second signal leaves at once)' if wanted == 'stop' else ''))
        self._changed.set()

    def _agree(self):
        """The thread between processes: tells the others, hears from them, and settles on a step.

        It answers beyond `close()`: a process that is a step behind may be told now, and waits for everyone's word.
        """
        client, told = processes.client(), None
        while self._agreed != 'stop' and processes.client() is client:
            self._changed.wait(ASK)
            self._changed.clear()
            if self._agreed is not None:      # a SAVE that was settled and is not yet reached
                time.sleep(ASK)
                continue
            event = f'pretext/signal/{self._event}'
            try:
                if self._wanted and told != self._event and not self._closed:
                    told = self._event
                    try:
                        client.key_value_set(event, f'{self._wanted} {self.reason}')
                    except Exception:         # another process was first: its event comes now, ours is told in the next
                        pass
                try:
                    wanted, reason = client.key_value_try_get(event).split(' ', 1)
                except Exception:             # nothing has happened
                    continue
                self._settle(client, event, wanted, reason)
            except Exception as error:        # a process that does not answer: stop alone rather than never
                self.notice(f'the other processes do not answer ({str(error)[:200]}): stopping without them')
                self._agreed, self._target, self.reason = 'stop', 0, self.reason or 'a lost process'

    def _settle(self, client, event, wanted, reason):
        with self._lock:                      # nobody takes another step until the step to stop at is known
            client.key_value_set(f'{event}/{processes.rank()}', str(self._step))
            if processes.rank() == 0:
                reached = [int(client.blocking_key_value_get(f'{event}/{i}', PATIENCE * 1000))
                           for i in range(processes.count())]
                client.key_value_set(f'{event}/target', str(max(reached) + 1))
            self._target = int(client.blocking_key_value_get(f'{event}/target', PATIENCE * 1000))
            self._agreed, self.reason, self._event = wanted, reason, self._event + 1
            if self._wanted == wanted:
                self._wanted = None


def _terminal():
    """The terminal's settings, to be put back when leaving at once; None without one."""
    try:
        import termios  # not on Windows
        return termios.tcgetattr(sys.__stdin__.fileno())
    except Exception:
        return None


def _leave(number, text, terminal):
    try:
        if terminal is not None:
            import termios
            termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, terminal)
        show = '\x1b[?25h\x1b[0m' if sys.__stderr__.isatty() else ''  # the cursor, and no colour
        os.write(2, f'{show}{text}\n'.encode())
    finally:
        os._exit(128 + number)
