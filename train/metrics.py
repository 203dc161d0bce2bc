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

TIMED = ('seconds', 'tokens_per_second', 'mfu', 'memory*')  # fields that depend on time or on the machine
PART_LINES = 100


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
        self.parts = None if _appendable(self.path) else self.path.parent / (self.path.name + '.parts')
        if self.parts is None:
            fresh = epath.Path(f'{self.path}.new')
            fresh.write_text(''.join(_dump(line) for line in kept))
            fresh.replace(self.path)
            self.file = open(self.path, 'a', encoding='utf-8')
        else:
            if self.parts.exists():
                self.parts.rmtree()
            self.buffer, self.count = kept, 0
            self.flush()

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
            (self.parts / f'{self.count:08d}.jsonl').write_text(''.join(map(_dump, self.buffer)))
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


def _appendable(path):
    return '://' not in os.fspath(path)


def _lines(path):
    parts = path.parent / (path.name + '.parts')
    files = sorted(parts.iterdir()) if parts.exists() else [path] if path.exists() else []
    for file in files:
        for line in filter(None, file.read_text().split('\n')):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def _dump(record):
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(finite, ensure_ascii=False) + '\n'
