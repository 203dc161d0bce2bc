"""The numbers of a run: `metrics.jsonl`, one JSON object a logged step in full precision; `samples.jsonl` likewise.

A line is written once: after a resume at step k, lines beyond k are dropped before new ones are added, so that a run that was
killed ends with the same file as one that was not, but for the TIMED fields. A damaged line is left out with a notice; a resume puts a
copy of the file with it into `bad/` and keeps the others. A checkpoint holds how many lines there were and their SHA-256, so that a
resume notices what was deleted or changed. How lines are written: appended.py.
"""
import collections
import fnmatch
import hashlib
import json
import math
import os
import time
from typing import Callable

from etils import epath

from data import atomic, json_text
from train.checkpoints import folders
from train.monitoring import appended
from train.settings import errors, streams

TIMED = ('seconds', 'tokens_per_second', 'mfu', 'memory*')  # fields that depend on time or on the machine
_IMPORTED = time.monotonic()

# What a file holds: raw: its bytes; kept: [(line, record)] that are good; damaged: a text for each other line; old: objects of a store.
Found = collections.namedtuple('Found', 'raw kept damaged old')


def timed(name: str) -> bool:
    """Whether a field may differ between two runs of the same command."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in TIMED)


def process_seconds() -> float:
    """Seconds since this process started (Linux: from /proc; elsewhere since this module was imported)."""
    try:
        ticks = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf('SC_CLK_TCK')
    except (OSError, AttributeError, ValueError):
        return time.monotonic() - _IMPORTED


class Lines:
    """A JSONL file whose records have a 'step'. Records beyond `step` are dropped, then the file grows.

    written: what `written()` returned when the checkpoint of `step` was saved, None if nobody knows.
    """

    def __init__(self, path: epath.PathLike, step: int = 0, written: dict | None = None, notice: Callable[[str], None] = streams.complain):
        self.path, self.notice = epath.Path(path), notice
        self._found = _find(self.path)
        kept = [(line, record) for line, record in self._found.kept if record['step'] <= step]
        self._dropped = self._found.kept[-1][1]['step'] if step == 0 and self._found.kept[len(kept):] else 0
        self._lines, self._content = len(kept), b''.join(line for line, _ in kept)
        self._digest = hashlib.sha256(self._content)
        if text := written and _difference(kept, step, written):
            notice(f'{self.path.name} {text}')
        if atomic.local(self.path):
            self.file = appended.File(self.path, notice, self._prepare)
        else:
            self.file = appended.Parts(self.path, notice, self._aside, [line for line, _ in kept], self._found.old)
        self.file.flush()

    def write(self, record: dict) -> None:
        """Adds a record."""
        line = _dump(record)
        self._lines += 1
        self._digest.update(line)
        self.file.write(line)

    def written(self) -> dict:
        """{'lines': their number, 'sha256': of their bytes}, those that still wait for room on the disk included."""
        return {'lines': self._lines, 'sha256': self._digest.hexdigest()}

    def flush(self) -> None:
        """Writes what waits; called before a checkpoint is saved."""
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def _prepare(self):
        """Leaves the lines that are kept in the file, and a copy of a damaged one in bad/."""
        self._aside()
        raw, content = self._found.raw, self._content
        if raw is None or not raw.startswith(content):
            atomic.write(self.path, content)
        elif len(raw) > len(content):
            os.truncate(self.path, len(content))
        self._found = self._content = None    # the memory is free

    def _aside(self):
        if self._dropped and self._found.raw is not None and not self._found.damaged:
            place = folders.set_aside(self.path, self._found.raw)
            self.notice(f'{self.path.name} holds lines up to step {self._dropped}, but there is no checkpoint: the run begins anew; a copy '
                        f'as it was is in {place}')
        if self._found.damaged and self._found.raw is None and not atomic.local(self.path):
            self.notice(f'{_summary(self.path, self._found)}; its objects are left as they are')
        elif self._found.damaged:
            place = folders.set_aside(self.path, self._found.raw)
            self.notice(f'{_summary(self.path, self._found)}; a copy as it was is in {place}')
        self._found, self._dropped = self._found._replace(damaged=[]), 0


def read(workdir: epath.PathLike, name: str = 'metrics.jsonl', notice: Callable[[str], None] = streams.complain) -> list[dict]:
    """The records written so far; a last line that was cut by a kill is left out, and damaged ones are, with a notice."""
    found = _find(epath.Path(workdir) / name)
    if found.damaged:
        notice(_summary(epath.Path(workdir) / name, found))
    return [record for _, record in found.kept]


def _find(path):
    """The Found of a file or of its objects. What is no readable file is damage too."""
    old = appended.listed(appended.folder(path))
    files = [part for part in old if part.name[:4] == old[-1].name[:4]] or ([path] if path.exists() else [])
    try:
        raw = b''.join(file.read_bytes() for file in files)
    except OSError as error:
        return Found(None, [], [appended.reason(error)], [])
    *lines, last = raw.split(b'\n')
    kept, damaged = [], []
    for number, line in enumerate([*lines, last], 1):
        try:
            kept += [(line + b'\n', _record(line))] if line else []
        except ValueError as error:
            if number <= len(lines):          # the last one, without an end, was cut by a kill
                damaged.append(f'line {number}: expected a JSON object with a step, got {error}')
    return Found(raw, kept, damaged, old)


def _record(line):
    """The record of a line, {'step': ..., name: number, text or None}. ValueError for anything else."""
    record = json_text.value(line.decode())
    if not isinstance(record, dict) or type(record.get('step')) is not int or not all(map(_plain, record.values())):
        raise ValueError(errors.shown(line.decode(errors='backslashreplace')))
    return record


def _plain(value):
    """Whether a value is one that a run writes."""
    return value is None or isinstance(value, (str, float)) or type(value) is int and abs(value) < 2**63


def _summary(path, found):
    """One sentence about the damage of a file."""
    if found.raw is None:
        return f'{path.name} cannot be read ({found.damaged[0]})'
    more = f' (and {len(found.damaged) - 1} more lines)' if len(found.damaged) > 1 else ''
    return f'{path.name} is damaged, {found.damaged[0]}{more}; the {len(found.kept)} good lines are kept'


def _difference(kept, step, written):
    """How the kept lines of a file differ from the `written` ones; '' if they do not. Lines of `step` may have been added since."""
    count, digest = written['lines'], hashlib.sha256()
    for line, _ in kept[:count]:
        digest.update(line)
    if len(kept) < count:
        return f'holds {len(kept):,} of the {count:,} lines that were written up to step {step}'
    if digest.hexdigest() != written['sha256'] or any(record['step'] != step for _, record in kept[count:]):
        return f'was changed: it does not hold the {count:,} lines that were written up to step {step}'
    return ''


def _dump(record):
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return (json.dumps(finite, ensure_ascii=False) + '\n').encode(errors='backslashreplace')
