"""Standard output and error, which may be closed (`| head`, `>&-`), hang up (a lost terminal) or run full: that never ends a run."""
import errno
import io
import os
import select
import sys
from typing import Callable, TextIO

from data import errors

GONE = (errno.EPIPE, errno.EIO)               # nobody will ever read there again: a closed pipe, a terminal that hung up


def prepare() -> None:
    """Before anything else: what was closed at the start leads nowhere, or the next file to be opened would be standard output; and
    text that the terminal's encoding lacks is shown escaped."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)    # takes the lowest free number, which is this one
        if number and hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def finish() -> None:
    """Writes out both streams at the end: an error there would be the exit code of the whole command."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere(stream)


def complain(text: str) -> None:
    """Prints lines on standard error, control characters escaped, if that still works."""
    try:
        print('\n'.join(map(errors.printable, text.split('\n'))), file=sys.stderr, flush=True)
    except OSError:
        nowhere(sys.stderr)


def unread() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    watched = select.poll()
    watched.register(1, 0)
    return any(event & select.POLLERR for _, event in watched.poll(0))


def nowhere(stream: TextIO) -> None:
    """Lets a stream lead nowhere from now on, with what it has not yet written."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    except io.UnsupportedOperation:           # a test's stream
        pass
    finally:
        os.close(null)


class Lossy(io.TextIOBase):
    """Writes to `stream` as long as that works; never raises. lost(error) is called at the first error."""

    def __init__(self, stream: TextIO, lost: Callable[[OSError], None]):
        self._stream, self._lost, self._failed = stream, lost, False

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    def _try(self, function):
        try:
            function()
        except OSError as error:
            if error.errno in GONE:
                nowhere(self._stream)
            if not self._failed:
                self._failed = True
                self._lost(error)
