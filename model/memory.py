"""Segment memory: the inputs of each layer for the M tokens before those of the batch (Transformer-XL; Dai et al. 2019).

The memory is a value, as the cache is: a batch is passed its states and returns the next ones, with stop-gradient. Every step
projects the states to keys and values again. A row attends to the last |p| states, where p is the position of its first token:
to none at the start of a text, where p is 0.
"""
import dataclasses
from typing import Any, Optional

import jax
import jax.numpy as jnp

from model import config as model_config, encodings


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """M states for each of B rows, and how many of a batch's first tokens go into the next memory (None = all)."""
    states: Any                               # float[B, L, M, D]
    reuse: Optional[int] = dataclasses.field(default=None, metadata={'static': True})


def empty(config: model_config.Config, batch_size: int, length: int, dtype: Any, role: str = 'encoder') -> jax.Array:
    """The states before the first batch, zeros: float[B, L, M, D] for the layers of a stack."""
    return jnp.zeros((batch_size, config.depth(role), length, config.dim), dtype)


def keys(memory: Memory, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(segments, positions), int32[B, M] each, of the memory's keys before tokens with `positions` int32[B, T].

    The segment is -1 for keys that every token attends to, 0 for keys that none attends to.
    """
    before, first = jnp.arange(memory.states.shape[2], 0, -1), positions[:, :1]
    return jnp.where(before <= jnp.abs(first), -1, 0), first - encodings.direction(positions)[:, None] * before


def extend(states: jax.Array, x: jax.Array, reuse: int) -> jax.Array:
    """One layer's next states float[B, M, D]: the last M of the old ones and of the first `reuse` of the tokens float[B, T, D]."""
    new = x[:, :reuse].astype(states.dtype)
    return jax.lax.stop_gradient(jnp.concatenate([states, new], axis=1)[:, new.shape[1]:])
