"""The numbers of a run: `metrics.jsonl` (one JSON object a logged step, full precision), samples likewise, TensorBoard as an extra.

A line is written once: after a resume at step k, lines beyond k are dropped before new ones are added, so that a run that was
killed ends with the same file as one that was not, but for the TIMED fields. Object stores cannot append: there, lines go to
part objects beside the name (`metrics.jsonl.parts/`), and `read` joins them.
"""
import fnmatch
import json
import math
import os
import time

from etils import epath

from data import atomic

TIMED = ('seconds', 'tokens_per_second', 'mfu', 'memory*')  # fields that depend on time or on the machine
PART_LINES = 100


class Damaged(Exception):
    """Somebody changed the file; nothing of it is dropped silently."""

    exit_code, kind = 3, 'metrics'


def timed(name):
    """Whether a field may differ between two runs of the same command."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in TIMED)


def process_seconds():
    """Seconds since this process started (Linux: from /proc; elsewhere since this module was imported)."""
    try:
        ticks = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf('SC_CLK_TCK')
    except (OSError, AttributeError, ValueError):
        return time.monotonic() - _IMPORTED


_IMPORTED = time.monotonic()


class Lines:
    """A JSONL file that forgets what lies beyond `step` and then grows. Each record has a 'step'."""

    def __init__(self, path, step=0):
        self.path = epath.Path(path)
        kept = [line for line in _lines(self.path) if line['step'] <= step]
        self.parts = None if atomic.local(self.path) else self.path.parent / (self.path.name + '.parts')
        if self.parts is None:
            atomic.write(self.path, ''.join(map(_dump, kept)).encode())
            self.file = open(self.path, 'a', encoding='utf-8')
        else:
            old = _parts(self.parts)
            self.start, self.buffer, self.count = int(old[-1].name[:4]) + 1 if old else 0, kept, 0
            if kept:
                self.flush()                  # one object: what is kept is there before what it replaces goes
            for part in old:
                part.unlink()

    def write(self, record):
        """Adds a record; on disk it survives the death of the process at once."""
        if self.parts is None:
            self.file.write(_dump(record))
            self.file.flush()
        else:
            self.buffer.append(record)
            if len(self.buffer) >= PART_LINES:
                self.flush()

    def flush(self):
        """Writes a part object where appending is impossible; called before a checkpoint counts."""
        if self.parts is not None and self.buffer:
            self.parts.mkdir(parents=True, exist_ok=True)
            (self.parts / f'{self.start:04d}.{self.count:08d}.jsonl').write_text(''.join(map(_dump, self.buffer)))
            self.buffer, self.count = [], self.count + 1

    def close(self):
        self.flush()
        if self.parts is None:
            self.file.close()


class Writer:
    """metrics.jsonl and, if asked for, TensorBoard events below `workdir`/tensorboard."""

    def __init__(self, workdir, step=0, tensorboard=False):
        self.lines = Lines(epath.Path(workdir) / 'metrics.jsonl', step)
        self.events = None
        if tensorboard:
            try:
                import tensorboardX
            except ImportError:
                raise ImportError('tensorboard=True needs the package tensorboardX: pip install tensorboardX') from None
            self.events = tensorboardX.SummaryWriter(os.fspath(epath.Path(workdir) / 'tensorboard'), purge_step=step + 1)

    def write(self, record):
        self.lines.write(record)
        if self.events is not None:
            for name, value in record.items():
                if name != 'step' and value is not None:
                    self.events.add_scalar(name, value, record['step'])

    def flush(self):
        self.lines.flush()

    def close(self):
        self.lines.close()
        if self.events is not None:
            self.events.close()


def read(workdir, name='metrics.jsonl'):
    """The records written so far; a last line that was cut by a kill is left out."""
    return list(_lines(epath.Path(workdir) / name))


def _parts(folder):
    """Part objects START.NUMBER.jsonl in order."""
    return sorted(folder.iterdir(), key=lambda part: part.name) if folder.exists() else []


def _lines(path):
    """Records in the order of their steps. A last line that a kill has cut is no line; a damaged one elsewhere is an error."""
    files = _parts(path.parent / (path.name + '.parts')) or ([path] if path.exists() else [])
    files = [file for file in files if file == path or file.name[:4] == files[-1].name[:4]]  # of the newest start
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
