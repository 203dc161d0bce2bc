"""What a run writes beside its checkpoints: metrics.jsonl, samples.jsonl, TensorBoard events, report.html. Process 0 alone writes."""
import contextlib

import jax

from train.monitoring import display, metrics, page


class Record(contextlib.AbstractContextManager):
    """The lines of a run from `step` on; those beyond it (of a run that was killed) are dropped. tensorboard: events too (an extra)."""

    def __init__(self, folder: str, step: int, screen: display.Display, tensorboard: bool = False):
        self.folder, self.screen, self.writes, self.events = folder, screen, jax.process_index() == 0, None
        if self.writes:
            self.lines, self.texts = (metrics.Lines(f'{folder}/{name}.jsonl', step) for name in ('metrics', 'samples'))
        if self.writes and tensorboard:
            try:
                import tensorboardX
            except ImportError:
                raise ImportError('tensorboard=True needs the package tensorboardX: pip install tensorboardX') from None
            self.events = tensorboardX.SummaryWriter(f'{folder}/tensorboard', purge_step=step + 1)

    def metrics(self, step: int, line: dict[str, float]) -> None:
        """Adds the line of a step, with the seconds since the process started."""
        if self.writes:
            line = {**line, 'seconds': metrics.process_seconds()}
            self.lines.write({'step': step, **line})
            for name, value in line.items() if self.events else ():
                self.events.add_scalar(name, value, step)

    def samples(self, step: int, found: list[dict]) -> None:
        """Adds the samples of a step, [{'prompt', 'text'}], and shows the first."""
        if self.writes and found:
            for sample in found:
                self.texts.write({'step': step, **sample})
            self.screen.notice(f"— step {step} — {found[0]['prompt']}{found[0]['text']}")

    def flush(self) -> None:
        """Writes what is buffered; called before a checkpoint is saved."""
        if self.writes:
            self.lines.flush()
            self.texts.flush()

    def __exit__(self, *_):
        """Closes the files and writes the report, however the run ended."""
        if self.writes:
            for one in filter(None, (self.lines, self.texts, self.events)):
                one.close()
            self.screen.notice(f'report: {page.write([self.folder])}')
