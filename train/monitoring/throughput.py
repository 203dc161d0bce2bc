"""How fast a run goes: tokens a second (padding counted, encoder and decoder added) and the share of the chips' peak."""
import contextlib
import time

import jax

from train import objectives

# Dense bfloat16 operations a second of one device (vendors' data sheets), by what its name contains; CPUs have no figure.
PEAK = {'v6': 918e12, 'v5p': 459e12, 'v5 lite': 197e12, 'v5e': 197e12, 'v4': 275e12, 'H200': 989e12, 'H100': 989e12, 'A100': 312e12}


class Pace:
    """Counts from one lap to the next; `pause` leaves out what was not training (evaluation, samples)."""

    def __init__(self, config, mesh, step):
        lengths = config.objective.lengths()
        self.tokens = config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
        self.flops = objectives.train_flops(config)
        kind = mesh.devices.flat[0].device_kind
        self.peak = next((peak * mesh.size for name, peak in PEAK.items() if name in kind), None)
        self.step, self.since, self.paused = step, time.monotonic(), 0.0

    def lap(self, step):
        """The timed fields of a metrics line: means over the steps since the last lap."""
        now = time.monotonic()
        a_step = max(now - self.since - self.paused, 1e-9) / max(step - self.step, 1)
        self.step, self.since, self.paused = step, now, 0.0
        timed = {'tokens_per_second': self.tokens / a_step}
        if self.peak:
            timed['mfu'] = self.flops / a_step / self.peak
        return timed

    @contextlib.contextmanager
    def pause(self, measured):
        """What happens inside is not counted; the step that gives `measured`, which is, is waited for first."""
        jax.block_until_ready(measured)
        begun = time.monotonic()
        yield
        self.paused += time.monotonic() - begun
