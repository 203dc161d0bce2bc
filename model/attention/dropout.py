"""Dropout of attention weights by a hash of where a weight stands: the same bits in every implementation, block size and mesh.

A weight is kept or not by (the layer's key, the row's number in the global batch, the query head, the query's and the key's place in the
row). Two 32-bit hashes, one a query and one a key, are added and mixed once more, so that a pair costs two multiplications. The mixing
function is Wellons's `lowbias32` (2018; constants of the improved search, 2022).
"""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from model import ops


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mask:
    """Which weights of N heads, T queries and S keys are kept."""
    queries: Any                              # uint32[B, N, T]
    keys: Any                                 # uint32[B, N, S]
    rate: float = dataclasses.field(metadata={'static': True})

    def block(self, first_query: Any, queries: int, first_key: Any, keys: int) -> jax.Array:
        """The factors of the weights, 0 or 1 / (1 - rate), of a block: float32[B, N, queries, keys]."""
        query = jax.lax.dynamic_slice_in_dim(self.queries, first_query, queries, 2)
        key = jax.lax.dynamic_slice_in_dim(self.keys, first_key, keys, 2)
        drawn = mix(query[:, :, :, None] + key[:, :, None])
        return jnp.where(drawn >= jnp.uint32(self.rate * 2 ** 32), jnp.float32(1 / (1 - self.rate)), 0)

    def padded(self, queries: int, keys: int) -> 'Mask':
        """The mask with more queries and keys, which are not used."""
        return dataclasses.replace(self, queries=ops.lengthen(self.queries, 2, queries), keys=ops.lengthen(self.keys, 2, keys))


def mask(rate: float, key: jax.Array, rows: jax.Array, heads: int, places: jax.Array, keys: int) -> Mask:
    """The Mask of a layer with the key `key`: rows int32[B] of the global batch, queries at places int[T] or [B, T] of the row."""
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    number = mix(rows.astype(jnp.uint32) + first)[:, None]
    number = mix(number + jnp.arange(heads, dtype=jnp.uint32))[:, :, None]         # [B, N, 1]
    places = jnp.broadcast_to(places.astype(jnp.uint32), (len(rows), places.shape[-1]))[:, None]
    queries = mix(places + number)
    keys = mix(jnp.arange(keys, dtype=jnp.uint32) + mix(number ^ second))
    return Mask(queries, keys, rate)


def mix(x: jax.Array) -> jax.Array:
    """A hash of uint32[...]: uint32[...], every bit of it a function of all bits of x."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0x735A2D97)
    return x ^ (x >> 15)
