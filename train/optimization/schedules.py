"""Learning rates as functions of the step: linear warm-up times constant, linear (three ways), cosine, rsqrt, WSD or cyclic.

`step` counts the updates already made, as in optax: the first update of a run with warm-up has learning rate 0. At
`steps`, where the run ends, the linear schedules, cosine and WSD have reached `final` times the peak. Decay begins where warm-up
ends, as in optax, fairseq and XLNet. The code of BERT and ALBERT (linear_bert) and of ELECTRA (linear_electra) decays from step 0
instead, so that the rate is warmup / steps of the peak lower where warm-up ends: 1 % in BERT, 2.5 % in ALBERT.
"""
import jax.numpy as jnp
import optax

from train.settings import schema


def build(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """schedule(step int) -> float32[] learning rate, from the config's `optimizer` group and the number of steps."""
    shape = SHAPES[settings.schedule](settings, steps)

    def schedule(step):
        step = jnp.asarray(step, jnp.float32)
        ramp = jnp.minimum(1.0, step / settings.warmup) if settings.warmup else 1.0
        return jnp.asarray(settings.learning_rate * ramp * shape(step), jnp.float32)

    return schedule


def constant(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    return lambda step: jnp.ones(())


def linear(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """From 1 at `warmup` to `final` at `steps`."""
    return optax.linear_schedule(1.0, settings.final, max(1, steps - settings.warmup), settings.warmup)


def linear_bert(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """From `warmup` on, the line from 1 at step 0 to `final` at `steps`; warm-up rises to 1 (Devlin et al. 2019)."""
    line = linear_electra(settings, steps)
    return lambda step: jnp.where(step < settings.warmup, 1.0, line(step))


def linear_electra(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """From 1 at step 0 to `final` at `steps`; warm-up multiplies it, so that the peak is never reached (Clark et al. 2020)."""
    return optax.linear_schedule(1.0, settings.final, steps)


def cosine(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """Half a cosine from 1 at `warmup` to `final` at step `decay` (None: at `steps`) (Loshchilov and Hutter 2017)."""
    decay = optax.cosine_decay_schedule(1.0, max(1, (settings.decay or steps) - settings.warmup), settings.final)
    return lambda step: decay(jnp.maximum(0, step - settings.warmup))


def rsqrt(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """sqrt(start / max(step, start)), not below `final`; start = `decay` (None: `warmup`).

    With warmup=4000 it is the Transformer's (Vaswani et al. 2017); with warmup=0, decay=10000, learning_rate=0.01 it is
    T5's 1 / sqrt(max(step, 10000)).
    """
    start = settings.decay or settings.warmup or 1
    return lambda step: jnp.maximum(settings.final, jnp.sqrt(start / jnp.maximum(step, start)))


def wsd(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """Warm-up, stable, decay (Hu et al. 2024): 1, then a line to `final` over the last `decay` steps."""
    decay = settings.decay if settings.decay is not None else steps // 10
    decay = max(1, min(decay, steps - settings.warmup))
    return optax.linear_schedule(1.0, settings.final, decay, max(0, steps - decay))


def cyclic(settings: schema.Optimizer, steps: int) -> optax.Schedule:
    """Smith 2017's `triangular`: from `final` up to 1 in half a `cycle` and down again, counted from step 0."""
    cycle = settings.cycle or max(2, steps / 4)

    def shape(step):
        height = 1 - jnp.abs(2 * jnp.mod(step / cycle, 1.0) - 1)
        return settings.final + (1 - settings.final) * height

    return shape


SHAPES = {'constant': constant, 'linear': linear, 'linear_bert': linear_bert, 'linear_electra': linear_electra, 'cosine': cosine,
          'rsqrt': rsqrt, 'wsd': wsd, 'cyclic': cyclic}
