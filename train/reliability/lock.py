"""One run at a time in a workdir: an advisory lock (flock) on its file `.lock`, which the system drops with the process, kill -9 included.

Process 0 takes it for all processes of a run. On object stores (gs://...) and file systems without locks nothing is held: two runs in
one workdir are not noticed there.
"""
import contextlib
import datetime
import fcntl
import json
import os
import socket
from typing import Iterator

from train.parallel import processes
from train.settings import errors

NAME, TRIES = '.lock', 1000


@contextlib.contextmanager
def held(workdir: str) -> Iterator[None]:
    """Holds the lock of a workdir, which is made, during the block. errors.Error where another process trains there."""
    with contextlib.ExitStack() as stack:
        if '://' not in workdir:
            processes.lead('lock', lambda: stack.enter_context(_locked(os.path.expanduser(workdir))))
        yield


@contextlib.contextmanager
def _locked(folder):
    path, made = os.path.join(folder, NAME), not os.path.exists(folder)
    try:
        file = _take(path)
    except BlockingIOError:
        raise errors.Error([errors.Problem(f'--workdir = {folder}', _busy(path))]) from None
    with file:
        try:
            with contextlib.suppress(OSError):  # a full disk: the lock holds, only its note is missing
                now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
                os.write(file.fileno(), json.dumps({'host': socket.gethostname(), 'process': os.getpid(), 'since': now}).encode())
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
                if made:
                    os.rmdir(folder)          # if nothing was written there


def _take(path):
    """The open, locked, empty file at `path`. BlockingIOError if another process has it."""
    for left in reversed(range(TRIES)):
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = open(path, 'a')
        except (FileExistsError, FileNotFoundError):  # whoever made the folder may have deleted it in between
            if not left:
                raise
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError:                       # a file system without locks
            return file
        with contextlib.suppress(FileNotFoundError):  # whoever had it has deleted it in between
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                return file
        file.close()
    raise BlockingIOError


def _busy(path):
    try:
        holder = json.loads(open(path).read())
        who = f'process {holder["process"]} on {holder["host"]}, since {holder["since"]}'
    except (OSError, ValueError, TypeError, KeyError):  # it has not yet written its name
        who = 'since a moment ago'
    return f'another process trains in this workdir ({who}). Wait for its end, stop it, or choose another --workdir.'
