"""A file to which a run appends lines, and which cannot always be written: disks fill up, quotas end, files become read-only.

Nothing here raises: what cannot be written waits in memory and goes first at the next line, in order and once each, while training goes
on; a notice says so when it begins and when it ends. Each attempt opens the file anew, so that one that was deleted comes back. Object
stores cannot append: there, lines go to objects START.NUMBER.ENDING in a folder beside the name (`metrics.jsonl.parts/`).
"""
import collections
import os
import threading
from typing import Callable

from etils import epath

from data import atomic

LIMIT = 32 * 2**20                            # bytes that may wait; lines beyond it are given up, and counted
PART_LINES = 100                              # lines of an object


def reason(error: Exception) -> str:
    """What the operating system says, or the error's class and message."""
    return getattr(error, 'strerror', None) or f'{type(error).__name__}: {error}'


class Appended:
    """Lines (bytes) for one file, from any thread.

    notice(text) gets what the user should know; it may write to this very file. prepare(): called until it succeeds, before anything is
    written.
    """

    def __init__(self, path: epath.PathLike, notice: Callable[[str], None], prepare: Callable[[], None] | None = None):
        self.path, self.notice, self._prepare = epath.Path(path), notice, prepare
        self._waiting, self._size, self._lost = collections.deque(), 0, 0
        self._failing, self._lock = '', threading.Lock()

    def write(self, line: bytes) -> None:
        """Adds a line; on a local disk that has room, it survives the death of the process at once."""
        with self._lock:
            if self._size + len(line) <= LIMIT:
                self._waiting.append(line)
                self._size += len(line)
            else:
                self._lost += 1
            message = self._attempt() if self._due() else ''
        if message:                           # without the lock: two files may report one another's trouble
            self.notice(message)

    def flush(self) -> None:
        """Tries to write all that waits."""
        with self._lock:
            message = self._attempt()
        if message:
            self.notice(message)

    def close(self) -> None:
        """The last attempt; a notice counts what is lost."""
        self.flush()
        if lost := len(self._waiting) + self._lost:
            self.notice(f'{self.path.name} lost lines: {lost:,} ({self._failing or "they did not fit into memory"})')

    def _attempt(self):
        """Sends what waits; the notice that this calls for, or ''."""
        before = self._failing
        try:
            if self._prepare:
                self._prepare()
                self._prepare = None
            self._send()
        except Exception as error:            # a store's errors have no class in common
            self._failing = reason(error)
            return '' if before else f'{self.path.name} cannot be written ({self._failing}): its lines wait in memory, the run goes on'
        self._failing, lost = '', f', without {self._lost:,} lines that did not fit into memory' * bool(self._lost)
        return before and f'{self.path.name} is written again{lost}'

    def _due(self):
        """Whether a line that was added should be written now."""
        raise NotImplementedError

    def _send(self):
        """Writes and forgets what waits, or a part of it before it raises."""
        raise NotImplementedError


class File(Appended):
    """A local file."""

    def _due(self):
        return True

    def _send(self):
        if not self._waiting:
            return
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            while self._waiting:              # a disk that fills up takes a part of a line; the rest follows when there is room
                sent = os.write(handle, self._waiting[0])
                self._size -= sent
                self._waiting[0] = self._waiting[0][sent:]
                if not self._waiting[0]:
                    self._waiting.popleft()
        finally:
            os.close(handle)


class Parts(Appended):
    """Objects of a store. first: lines that the first object begins with, in place of `old` objects, which go when it is written."""

    def __init__(self, path, notice, prepare=None, first: list[bytes] = (), old: list[epath.Path] = (),
                 ending: str | None = None):
        super().__init__(path, notice, prepare)
        self._waiting.extend(first)
        self._folder, self._old, self._ending = folder(self.path), list(old), ending or self.path.suffix
        self._start, self._count = None, 0

    def _due(self):
        return len(self._waiting) >= PART_LINES

    def _send(self):
        if self._waiting:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._start is None:
                self._start = max((int(part.name[:4]) for part in listed(self._folder) if part.name[:4].isdecimal()), default=-1) + 1
            (self._folder / f'{self._start:04d}.{self._count:08d}{self._ending}').write_bytes(b''.join(self._waiting))
            self._waiting.clear()
            self._size, self._count = 0, self._count + 1
        while self._old:
            self._old[-1].unlink(missing_ok=True)
            self._old.pop()


def open_(path: epath.PathLike, notice: Callable[[str], None], prepare: Callable[[], None] | None = None,
          ending: str | None = None) -> Appended:
    """The file at `path`, which grows by what is added; ending: of the objects' names in a store, None = that of the path."""
    return File(path, notice, prepare) if atomic.local(path) else Parts(path, notice, prepare, ending=ending)


def folder(path: epath.Path) -> epath.Path:
    """The folder of the objects that stand for the file `path`."""
    return path.parent / f'{path.name}.parts'


def listed(place: epath.Path) -> list[epath.Path]:
    """The objects in a folder, in their order."""
    return sorted(place.iterdir(), key=lambda part: part.name) if place.exists() else []
