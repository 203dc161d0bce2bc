"""Crash-safe writes: after a kill at any moment, a file or folder is complete, or as it was before.

Local paths: temporary name, fsync, rename. Elsewhere (`etils.epath`: gs://...) none of these is assumed; one object write is atomic.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import threading
import time
from typing import Iterator


def local(path: os.PathLike | str) -> bool:
    """Whether rename, fsync and append work there."""
    return '://' not in str(path)


def write(path: pathlib.Path, data: bytes) -> None:
    """Writes one file; of a write that fails nothing is left. path: pathlib.Path or epath.Path."""
    if not local(path):
        path.write_bytes(data)
        return
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:                           # a full disk needs the space
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: pathlib.Path) -> None:
    """Makes the entries of a local folder durable (fsync)."""
    if local(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def folder(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder, renamed to `target` (absent or empty) when the block ends without an error, and deleted otherwise.

    Without rename (gs://...) it is `target` itself: the block must write last the file that marks it as complete. Inside the block
    SIGINT, SIGTERM and SIGHUP raise SystemExit, where they are not ignored.
    """
    if not local(target):
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    shutil.rmtree(made, ignore_errors=True)   # of a killed process with the same number: in a container all have it
    made.mkdir()
    try:
        with _stoppable():
            yield made
        sync(made)
        os.rename(made, target)               # OSError where `target` is not empty
        sync(target.parent)
    except BaseException:
        for _ in range(20):                   # threads of a failed writer may still be running
            shutil.rmtree(made, ignore_errors=True)
            if not made.exists():
                break
            time.sleep(0.1)
        raise


@contextlib.contextmanager
def _stoppable():
    def stop(number, frame):
        raise SystemExit(128 + number)

    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ():
            if signal.getsignal(number) != signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, stop))
        yield
