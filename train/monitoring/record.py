"""What a run leaves to read: metrics.jsonl, samples.jsonl, report.html and the screen. Only the first process writes."""
import jax

from train.monitoring import metrics, page


class Record:
    """A run's lines from `step` on; what lies beyond it (written by a run that was killed) is dropped."""

    def __init__(self, folder, step, screen, tensorboard=False):
        self.folder, self.screen, self.writes = folder, screen, jax.process_index() == 0
        if self.writes:
            self.lines = metrics.Writer(folder, step, tensorboard)
            self.said = metrics.Lines(f'{folder}/samples.jsonl', step)

    def metrics(self, step, line):
        """Adds the line of a step, with the seconds since the process started."""
        if self.writes:
            self.lines.write({'step': step, **line, 'seconds': metrics.process_seconds()})

    def samples(self, step, said):
        """said: [{'prompt', 'text'}]; the first is shown."""
        if self.writes:
            for sample in said:
                self.said.write({'step': step, **sample})
            if said:
                self.screen.notice(f"— step {step} — {said[0]['prompt']}{said[0]['text']}")

    def flush(self):
        """Before a checkpoint counts, what led to it is on disk."""
        if self.writes:
            self.lines.flush()
            self.said.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends the files and writes the report, however the run ended."""
        if self.writes:
            self.lines.close()
            self.said.close()
            self.screen.notice(f'report: {page.write([self.folder])}')
