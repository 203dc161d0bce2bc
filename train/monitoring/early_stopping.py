"""Stops a run whose evaluation metric no longer improves. Its state, two numbers, is saved in the checkpoint's meta."""
import dataclasses

from train.checkpoints import folders
from train.settings import schema


@dataclasses.dataclass
class EarlyStopping:
    """settings: the config's `early_stopping` group; best, waited: what a checkpoint's meta['early_stopping'] holds."""
    settings: schema.EarlyStopping
    best: float | None = None                 # lowest value so far (of -metric where higher is better)
    waited: int = 0                           # evaluations since then

    def update(self, line: dict[str, float]) -> None:
        """Compares the metric of a metrics line, if it is there, with the best so far."""
        value = line.get(self.settings.metric)
        if value is None:
            return
        value = -value if folders.higher_is_better(self.settings.metric) else value
        if self.best is None or value < self.best - self.settings.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1

    @property
    def over(self) -> bool:
        return self.settings.metric is not None and self.waited >= self.settings.patience
