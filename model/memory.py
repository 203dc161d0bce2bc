"""Segment memory: the states that entered each layer when the tokens before these were read (Dai et al. 2019).

A value, as the cache is: the states come in with a batch and the next ones go out with it, with stop-gradient, and every
step projects them anew to keys and values. How many tokens a row remembers is |position of its first token|, at most all M:
at the start of a text, where positions begin at 0, nothing is seen of what the memory holds.
"""
import dataclasses
from typing import Any, Optional

import jax
import jax.numpy as jnp

from model import encodings


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """M positions for B rows, and how many of a batch's first tokens are remembered in turn (None = all)."""
    states: Any                               # float[B, L, M, D]
    reuse: Optional[int] = dataclasses.field(default=None, metadata={'static': True})


def empty(config, batch_size, length, dtype, role='encoder'):
    """States of nothing: float[B, L, M, D] for the layers of a stack."""
    return jnp.zeros((batch_size, config.depth(role), length, config.dim), dtype)


def places(memory, first):
    """(segments, positions) int32[B, M] of the memory before tokens with the positions `first` int32[B, T].

    The segment is -1, which all see, or 0 where there is nothing.
    """
    before = jnp.arange(memory.states.shape[2], 0, -1)
    return (jnp.where(before <= jnp.abs(first[:, :1]), -1, 0),
            first[:, :1] - encodings.direction(first)[:, None] * before)


def extend(states, x, reuse):
    """One layer's states float[B, M, D] after the tokens float[B, T, D]: the last M of both, only `reuse` of the new."""
    new = x[:, :reuse].astype(states.dtype)
    return jax.lax.stop_gradient(jnp.concatenate([states, new], axis=1)[:, new.shape[1]:])
