"""The numbers of a run: `metrics.jsonl`, one JSON object a logged step in full precision; `samples.jsonl` likewise.

A line is written once: after a resume at step k, lines beyond k are dropped before new ones are added, so that a run that was
killed ends with the same file as one that was not, but for the TIMED fields. Object stores cannot append: there, lines go to
objects START.NUMBER.jsonl in a folder beside the name (`metrics.jsonl.parts/`), and `read` joins those of the newest start.
"""
import fnmatch
import json
import math
import os
import time
from typing import Iterator

from etils import epath

from data import atomic

TIMED = ('seconds', 'tokens_per_second', 'mfu', 'memory*')  # fields that depend on time or on the machine
PART_LINES = 100
_IMPORTED = time.monotonic()


class Damaged(Exception):
    """A line in the middle of the file is no JSON; nothing of the file is dropped silently."""

    exit_code, kind = 3, 'metrics'


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
    """A JSONL file whose records have a 'step'. Records beyond `step` are dropped, then the file grows."""

    def __init__(self, path: epath.PathLike, step: int = 0):
        self.path = epath.Path(path)
        kept = [line for line in _lines(self.path) if line['step'] <= step]
        self.parts = None if atomic.local(self.path) else _parts_of(self.path)
        if self.parts is None:
            atomic.write(self.path, ''.join(map(_dump, kept)).encode())
            self.file = open(self.path, 'a', encoding='utf-8')
        else:
            old = _listed(self.parts)
            self.start, self.buffer, self.count = int(old[-1].name[:4]) + 1 if old else 0, kept, 0
            self.flush()                      # what is kept is one new object before the old ones go
            for part in old:
                part.unlink()

    def write(self, record: dict) -> None:
        """Adds a record; on a local disk it survives the death of the process at once."""
        if self.parts is None:
            self.file.write(_dump(record))
            self.file.flush()
        else:
            self.buffer.append(record)
            if len(self.buffer) >= PART_LINES:
                self.flush()

    def flush(self) -> None:
        """Writes the buffered records as an object, where appending is impossible; called before a checkpoint is saved."""
        if self.parts is not None and self.buffer:
            self.parts.mkdir(parents=True, exist_ok=True)
            (self.parts / f'{self.start:04d}.{self.count:08d}.jsonl').write_text(''.join(map(_dump, self.buffer)))
            self.buffer, self.count = [], self.count + 1

    def close(self) -> None:
        self.flush()
        if self.parts is None:
            self.file.close()


def read(workdir: epath.PathLike, name: str = 'metrics.jsonl') -> list[dict]:
    """The records written so far; a last line that was cut by a kill is left out. Damaged if another one is no JSON."""
    return list(_lines(epath.Path(workdir) / name))


def _parts_of(path):
    return path.parent / f'{path.name}.parts'


def _listed(folder):
    return sorted(folder.iterdir(), key=lambda part: part.name) if folder.exists() else []


def _lines(path) -> Iterator[dict]:
    files = _listed(_parts_of(path)) or ([path] if path.exists() else [])
    files = [file for file in files if file == path or file.name[:4] == files[-1].name[:4]]
    texts = [(file, number, text) for file in files for number, text in enumerate(file.read_text().split('\n'), 1) if text]
    for i, (file, number, text) in enumerate(texts):
        try:
            yield json.loads(text)
        except json.JSONDecodeError as error:
            if i + 1 < len(texts):
                raise Damaged(f'{file}:{number}: expected a JSON object, got {error}; mend or delete the line') from None


def _dump(record):
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(finite, ensure_ascii=False) + '\n'
