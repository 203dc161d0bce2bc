"""What a run writes beside its checkpoints: metrics.jsonl, samples.jsonl, TensorBoard events, report.html. Process 0 alone writes.

None of it is worth the end of a training: what cannot be written is a notice.
"""
import contextlib

import jax

from train.monitoring import appended, display, events, metrics, page

FILES = ('metrics.jsonl', 'samples.jsonl')


class Record(contextlib.AbstractContextManager):
    """The lines of a run from `step` on; those beyond it (of a run that was killed) are dropped. tensorboard: events too (an extra).

    written: what `written()` returned when the checkpoint of `step` was saved, None if nobody knows.
    """

    def __init__(self, folder: str, step: int, screen: display.Display, tensorboard: bool = False, written: dict | None = None):
        self.folder, self.screen, self.files, self.events = folder, screen, {}, None
        if jax.process_index() == 0:
            self.files = {name: metrics.Lines(f'{folder}/{name}', step, (written or {}).get(name), screen.notice) for name in FILES}
            self.events = events.Events(f'{folder}/tensorboard', screen.notice, step) if tensorboard else None

    def metrics(self, step: int, line: dict[str, float]) -> None:
        """Adds the line of a step, with the seconds since the process started."""
        if self.files:
            line = {**line, 'seconds': metrics.process_seconds()}
            self.files['metrics.jsonl'].write({'step': step, **line})
            if self.events:
                self.events.write(step, line)

    def samples(self, step: int, found: list[dict]) -> None:
        """Adds the samples of a step, [{'prompt', 'text'}], and shows the first."""
        if self.files and found:
            for sample in found:
                self.files['samples.jsonl'].write({'step': step, **sample})
            self.screen.notice(f"— step {step} — {found[0]['prompt']}{found[0]['text']}")

    def written(self) -> dict[str, dict]:
        """{name: {'lines': their number, 'sha256': of their bytes}}, for a checkpoint's meta."""
        return {name: file.written() for name, file in self.files.items()}

    def flush(self) -> None:
        """Writes what is buffered; called before a checkpoint is saved."""
        for file in self.files.values():
            file.flush()
        self.screen.flush()

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Closes the files and writes the report, however the run ended."""
        for one in (*self.files.values(), *[self.events] * bool(self.events)):
            one.close()
        if self.files:
            try:
                self.screen.notice(f'report: {page.write([self.folder])}')
            except Exception as error:        # a fault of the page, too, must not be the result of a run
                self.screen.notice(f'the report was not written ({appended.reason(error)}); python -m train.report {self.folder} writes it')
