"""Everything that a run carries from step to step, as one pytree."""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """step int32[]; params {'backbone': ...}; opt_state; carry (leaves lead with the batch axis) or None;
    rng a typed key that never changes (steps fold their number into it); ema like params, or None."""
    step: jax.Array
    params: Any
    opt_state: Any
    carry: Any
    rng: jax.Array
    ema: Any


def create(module, optimizer, batch, carry, seed, ema):
    """A fresh State; jit this with sharded outputs to initialise in place. `batch`: arrays of any (small) batch size."""
    rng = jax.random.key(seed)
    init, rest = jax.random.split(rng)
    params = module.init({'params': init}, batch, carry, None)['params']
    return State(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), carry=carry, rng=rest,
                 ema=params if ema is not None else None)
