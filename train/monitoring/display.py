"""The screen of a run: a table of the parameters, then a progress bar on a terminal, or a plain line every few seconds elsewhere."""
import contextlib
import math
import time
from typing import Callable

import rich.console
import rich.progress
import rich.table
import rich.text

PLAIN_SECONDS = 5.0                           # between two lines when the output is a file
NOTICE_SECONDS = 10.0                         # between two notices of one piece of work
FORMATS = {'train/loss': 'loss {:.4f}', 'eval/loss': 'eval loss {:.4f}', 'eval/bits_per_byte': 'eval {:.4f} bits/byte',
           'learning_rate': 'lr {:.2e}', 'tokens_per_second': '{:,.0f} tokens/s', 'mfu': 'MFU {:.1%}'}


def parameter_table(shapes: dict[str, tuple[int, ...]]) -> rich.table.Table:
    """A table of {path: shape}, one line a leaf, with the total below."""
    columns = [rich.table.Column('path', no_wrap=True), *(rich.table.Column(name, justify='right') for name in ('shape', 'count'))]
    table = rich.table.Table(*columns, title='parameters', title_justify='left', box=None, pad_edge=False, header_style='bold')
    for path, shape in shapes.items():
        table.add_row(rich.text.Text(path), ' × '.join(map(str, shape)), f'{math.prod(shape):,}')
    table.add_section()
    table.add_row('total', '', f'{sum(map(math.prod, shapes.values())):,}')
    return table


def progress(what: str, notice: Callable[[str], None]) -> Callable[[int, int], None]:
    """A function of (done, of) that gives a notice every NOTICE_SECONDS: 'evaluating: 120 of 4,000 batches'."""
    last = time.monotonic()

    def update(done, of):
        nonlocal last
        if time.monotonic() - last >= NOTICE_SECONDS:
            last = time.monotonic()
            notice(f'{what}: {done:,} of {of:,} batches')
    return update


def describe(record: dict[str, float]) -> str:
    """'loss 2.3100 · lr 1.00e-03 · 61,200 tokens/s' from a metrics record."""
    return ' · '.join(text.format(record[name]) for name, text in FORMATS.items() if record.get(name) is not None)


class Display(contextlib.AbstractContextManager):
    """Progress and notices on `console`. Use `with`; quiet: print nothing (all processes but the first)."""

    def __init__(self, quiet: bool = False, console: rich.console.Console | None = None):
        self.console = console or rich.console.Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.bar = self.task = None
        self.text, self.total, self.last, self.begun = '', 0, -math.inf, None

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def notice(self, text: str) -> None:
        """Prints a line. Control characters are stripped: text may come from data."""
        self.console.print(rich.text.Text(''.join(c for c in str(text) if c.isprintable() or c == '\n')))

    def start(self, step: int, steps: int) -> None:
        """Begins the bar at `step` of `steps`."""
        self.total, self.begun = steps, (time.monotonic(), step)
        if self.console.is_terminal:
            columns = (rich.progress.TextColumn('step {task.completed:,}/{task.total:,}'), rich.progress.BarColumn(bar_width=None),
                       rich.progress.TextColumn('{task.fields[text]}'), rich.progress.TimeRemainingColumn())
            self.bar = rich.progress.Progress(*columns, console=self.console)
            self.task = self.bar.add_task('train', total=steps, completed=step, text='compiling')
            self.bar.start()

    def update(self, step: int, record: dict[str, float]) -> None:
        """Shows the step and the numbers of a metrics record."""
        self.text = describe(record) or self.text
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=self.text)
        elif time.monotonic() - self.last >= PLAIN_SECONDS or step == self.total:
            self.last = time.monotonic()
            self.notice(f'step {step}/{self.total} · {self.text}{self._left(step)}')

    def _left(self, step):
        begun, first = self.begun
        if step <= first or step >= self.total:
            return ''
        seconds = (time.monotonic() - begun) / (step - first) * (self.total - step)
        return f' · {int(seconds) // 60}:{int(seconds) % 60:02d} left'
