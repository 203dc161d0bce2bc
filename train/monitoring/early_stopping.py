"""Stops a run whose evaluation metric no longer improves. Its state is two numbers that travel with the checkpoint."""
import dataclasses
from typing import Optional

from train.checkpoints import folders


@dataclasses.dataclass
class EarlyStopping:
    """settings: the config's `early_stopping` group; best, waited: what a checkpoint's meta['early_stopping'] holds."""
    settings: object
    best: Optional[float] = None              # lowest value so far (of -metric where higher is better)
    waited: int = 0                           # evaluations since then

    def update(self, line):
        """Takes note of a metrics line; lines without the metric say nothing."""
        value = line.get(self.settings.metric)
        if value is None:
            return
        value = -value if folders.higher_is_better(self.settings.metric) else value
        if self.best is None or value < self.best - self.settings.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    @property
    def over(self):
        return self.settings.metric is not None and self.waited >= self.settings.patience

    def meta(self):
        return {'best': self.best, 'waited': self.waited}
