"""The throughput of a run: tokens a second (padding counted, encoder and decoder added) and the share of the devices' peak."""
import contextlib
import time
from typing import Any, Iterator

import jax

from train import objectives
from train.settings import schema

# Dense bfloat16 operations a second of one device (vendors' data sheets), by what its name contains; CPUs have no figure.
PEAK = {'v6': 918e12, 'v5p': 459e12, 'v5 lite': 197e12, 'v5e': 197e12, 'v4': 275e12, 'H200': 989e12, 'H100': 989e12, 'A100': 312e12}


class Pace:
    """Measures from one `lap` to the next, without the time inside `pause` (evaluation, samples)."""

    def __init__(self, config: schema.Config, mesh: jax.sharding.Mesh, step: int):
        lengths = config.objective.lengths()
        self.tokens = config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
        self.flops = objectives.train_flops(config)
        kind = mesh.devices.flat[0].device_kind
        self.peak = next((peak * mesh.size for name, peak in PEAK.items() if name in kind), None)
        self.step, self.since, self.paused = step, None, 0.0

    def lap(self, step: int) -> dict[str, float]:
        """The timed fields of a metrics line: means over the steps since the last lap; none at the first, which has the compilation."""
        now, first = time.monotonic(), self.since is None
        seconds = 0.0 if first else max(now - self.since - self.paused, 1e-9) / max(step - self.step, 1)
        self.step, self.since, self.paused = step, now, 0.0
        if first:
            return {}
        return {'tokens_per_second': self.tokens / seconds} | ({'mfu': self.flops / seconds / self.peak} if self.peak else {})

    @contextlib.contextmanager
    def pause(self, measured: Any) -> Iterator[None]:
        """Leaves out what happens inside. Waits first for `measured`, the arrays of the last step, whose time counts."""
        jax.block_until_ready(measured)
        begun = time.monotonic()
        yield
        self.paused += time.monotonic() - begun
