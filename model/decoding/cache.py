"""The key-value cache of decoding, as a value: keys and values of every layer, and the integers of the attention rule.

Free slots have seen = NEVER, so no mask of the length is needed. Rows of a batch share the write position; after a shorter
prompt, a row has padding slots (segment 0), to which nothing attends.
"""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from model import config as model_config
from model.attention import rule as rules


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """S slots for B rows. The part of cross attention is None until the first step has read the encoder's output."""
    k: Any                                    # float[L, B, K, S, H], rotated
    v: Any                                    # float[L, B, K, S, H]
    seen: Any                                 # int32[B, S]
    key_segments: Any                         # int32[B, S]
    key_positions: Any                        # int32[B, S]
    length: Any                               # int32[], slots in use
    cross: Any = None                         # k, v of the encoder's S' positions, float[L, B, K, S', H] each
    cross_segments: Any = None                # int32[B, S']


def empty(config: model_config.Config, batch_size: int, length: int, dtype: Any) -> Cache:
    """A cache with `length` free slots a row."""
    shape = (config.depth('decoder'), batch_size, config.kv, length, config.size)
    zeros = jnp.zeros((batch_size, length), jnp.int32)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), zeros + rules.NEVER, zeros, zeros, jnp.int32(0))


def extend(cache: Cache, seen: jax.Array, segments: jax.Array, positions: jax.Array) -> Cache:
    """The cache with T more slots in use, int32[B, T] each; each layer writes its keys and values itself (`write`)."""
    def put(slots, new):
        return jax.lax.dynamic_update_slice(slots, new.astype(jnp.int32), (0, cache.length))

    return dataclasses.replace(
        cache, seen=put(cache.seen, seen), key_segments=put(cache.key_segments, segments),
        key_positions=put(cache.key_positions, positions), length=cache.length + seen.shape[1])


def write(stacked: tuple, kv: tuple, layer: jax.Array, start: jax.Array) -> tuple[tuple, tuple]:
    """Puts one layer's new keys and values into the stacked ones, from slot `start`.

    stacked: two float[L, B, K, S, H]; kv: two float[B, K, T, H]. Returns (stacked, that layer's two float[B, K, S, H]).
    """
    def put(stack, new):
        return jax.lax.dynamic_update_slice(stack, new[None].astype(stack.dtype), (layer, 0, 0, start, 0))

    stacked = tuple(put(stack, new) for stack, new in zip(stacked, kv))
    return stacked, tuple(jax.lax.dynamic_index_in_dim(stack, layer, keepdims=False) for stack in stacked)
