"""The screen of a run: a table of the parameters, then a progress bar on a terminal, or a plain line every few seconds elsewhere.

The same lines go to the workdir's `train.log`, as plain text. A screen that is gone (`| head`, a lost terminal) does not end the run.
"""
import collections
import contextlib
import datetime
import io
import math
import shlex
import sys
import time
from typing import Any, Callable

from etils import epath
import rich.console
import rich.progress
import rich.table
import rich.text

from data import errors
from train.monitoring import appended, loss_terms
from train.settings import command, streams

LOG = 'train.log'
PLAIN_SECONDS = 5.0                           # between two lines when the output is a file
NOTICE_SECONDS = 10.0                         # between two notices of one piece of work
FORMATS = {'train/loss': 'loss {:.4f}{}', 'eval/loss': 'eval loss {:.4f}{}', 'eval/bits_per_byte': 'eval {:.4f} bits/byte',
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


def describe(record: dict[str, float], terms: loss_terms.Terms) -> str:
    """'loss 2.3100 (perplexity 10.07) · lr 1.00e-03 · 61,200 tokens/s' from a metrics record, with the terms of the loss."""
    def more(name):
        split, perplexity = name.partition('/')[0], terms.perplexity(record, name.partition('/')[0])
        equation = terms.equation(record, split)
        return f' = {equation}' * bool(equation) + ('' if perplexity is None else f' (perplexity {perplexity:,.2f})')

    return ' · '.join(text.format(record[name], more(name)) for name, text in FORMATS.items() if record.get(name) is not None)


class Display(contextlib.AbstractContextManager):
    """Progress and notices on `console`. Use `with`; quiet: print nothing (all processes but the first)."""

    def __init__(self, quiet: bool = False, console: rich.console.Console | None = None):
        screen = streams.Lossy(sys.stdout, self._lost) if sys.stdout else None
        self.console = console or rich.console.Console(file=screen, quiet=quiet, highlight=False, soft_wrap=True)
        self.bar = self.task = self.log = None
        self.early = collections.deque(maxlen=1000)  # lines for the log, until there is one
        self.text, self.total, self.last, self.begun, self.terms = '', 0, -math.inf, None, loss_terms.Terms()

    def __exit__(self, kind, error, traceback):
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        if error:
            self._note(command.ending(error)[1])
        if self.log:
            log, self.log = self.log, None
            log.close()

    def keep(self, folder: epath.PathLike) -> None:
        """Appends what was shown, and what will be, to the log in the workdir `folder`, which is made."""
        folder = epath.Path(folder)
        self.log = appended.open_(folder / LOG, self.notice, lambda: folder.mkdir(parents=True, exist_ok=True))
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
        for text in [f'== {now} {shlex.join(sys.argv)}', *self.early]:
            self._note(text)
        self.early.clear()

    def flush(self) -> None:
        """Writes the log."""
        if self.log:
            self.log.flush()

    def notice(self, text: str) -> None:
        """Prints lines, control characters escaped: text may come from data."""
        text = '\n'.join(map(errors.printable, str(text).split('\n')))
        self._note(text)
        self.console.print(rich.text.Text(text))

    def show(self, table: Any) -> None:
        """Prints something that rich renders."""
        plain = rich.console.Console(file=io.StringIO(), width=self.console.width, soft_wrap=True)
        plain.print(table)
        self._note(plain.file.getvalue().rstrip('\n'))
        self.console.print(table)

    def _note(self, text):
        """Adds a line to the log."""
        if self.log:
            self.log.write(f'{text}\n'.encode(errors='backslashreplace'))
        else:
            self.early.append(text)

    def _lost(self, error):
        text = f'standard output is lost ({appended.reason(error)}): the run goes on, its lines are in {LOG}'
        self._note(text)
        streams.complain(text)

    def start(self, step: int, steps: int, terms: loss_terms.Terms) -> None:
        """Begins the bar at `step` of `steps`. terms: of the loss."""
        self.total, self.terms, self.started, self.begun = steps, terms, time.monotonic(), None
        if self.console.is_terminal:
            columns = (rich.progress.TextColumn('step {task.completed:,}/{task.total:,}'), rich.progress.BarColumn(bar_width=None),
                       rich.progress.TextColumn('{task.fields[text]}'), rich.progress.TimeRemainingColumn())
            self.bar = rich.progress.Progress(*columns, console=self.console)
            self.task = self.bar.add_task('train', total=steps, completed=step, text='compiling')
            self.bar.start()

    def update(self, step: int, record: dict[str, float]) -> None:
        """Shows the step and the numbers of a metrics record."""
        self.text = describe(record, self.terms) or self.text
        if self.begun is None:                # what is left is reckoned without the compilation
            self.begun = time.monotonic(), step
            self.notice(f'step {step} after {self.begun[0] - self.started:.1f} s, with compilation')
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=self.text)
        if time.monotonic() - self.last >= PLAIN_SECONDS or step == self.total:
            self.last = time.monotonic()
            show = self.notice if self.bar is None else self._note
            show(f'step {step}/{self.total} · {self.text}{self._left(step)}')

    def _left(self, step):
        begun, first = self.begun
        if step <= first or step >= self.total:
            return ''
        seconds = (time.monotonic() - begun) / (step - first) * (self.total - step)
        return f' · {int(seconds) // 60}:{int(seconds) % 60:02d} left'
