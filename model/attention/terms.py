"""What position schemes add to the scores of attention, as functions of a block of queries and keys: nothing here is [T, S] big.

`block(first_query, queries, first_key, keys)` is float32[B or 1, N, queries, keys]; `padded(queries, keys)` are the same terms of longer
rows. The first index may be traced. Transformer-XL's terms (transformer_xl.py) have the same two methods.
"""
import dataclasses
from typing import Any, Callable

import jax
import jax.numpy as jnp

from model import ops
from model.attention import rule as rules


def of(bias: Callable | None, rule: rules.Rule, hint: rules.Hint) -> tuple:
    """The terms of a bias, a function of positions int32[B, t], int32[B, s] -> float32[B, N, t, s]; () for None.

    Where the hint promises the order of the row, the bias of a pair is that of its distance in the row.
    """
    if bias is None:
        return ()
    if hint.order == 'ordered' or hint.offset:
        return (ByPositions(bias, rule.query_positions, rule.key_positions),)
    T, S = rule.sees.shape[1], rule.seen.shape[1]
    distances = jnp.arange(-T, S, dtype=jnp.int32)[None]
    return (ByDistance(bias(jnp.zeros((1, 1), jnp.int32), distances)[0, :, 0], T),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ByPositions:
    """A bias of any positions."""
    bias: Any
    query_positions: Any                      # int32[B, T]
    key_positions: Any                        # int32[B, S]

    def block(self, first_query: Any, queries: int, first_key: Any, keys: int) -> jax.Array:
        return self.bias(jax.lax.dynamic_slice_in_dim(self.query_positions, first_query, queries, 1),
                         jax.lax.dynamic_slice_in_dim(self.key_positions, first_key, keys, 1))

    def padded(self, queries: int, keys: int) -> 'ByPositions':
        return ByPositions(self.bias, ops.lengthen(self.query_positions, 1, queries), ops.lengthen(self.key_positions, 1, keys))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ByDistance:
    """A bias of key s and query t of a row that depends on s - t alone."""
    table: Any                                # float32[N, T + S], of the distances -T, ..., S - 1
    length: int = dataclasses.field(metadata={'static': True})  # T

    def block(self, first_query: Any, queries: int, first_key: Any, keys: int) -> jax.Array:
        part = jax.lax.dynamic_slice_in_dim(self.table, self.length - first_query - queries + first_key, queries + keys, 1)
        return shift(jnp.broadcast_to(part[:, None], (len(part), queries, queries + keys)), keys)[None]

    def padded(self, queries: int, keys: int) -> 'ByDistance':
        before = queries - self.length
        after = queries + keys - before - self.table.shape[1]
        return ByDistance(jnp.pad(self.table, ((0, 0), (before, after))), queries)


def total(terms: tuple, first_query: Any, queries: int, first_key: Any, keys: int) -> jax.Array:
    """The sum of the terms of a block: float32[B or 1, N, queries, keys]."""
    return sum(each.block(first_query, queries, first_key, keys) for each in terms)


def matrix(terms: tuple, rule: rules.Rule) -> jax.Array | None:
    """The sum of the terms of all pairs, float32[B or 1, N, T, S]; None without terms."""
    return total(terms, 0, rule.sees.shape[1], 0, rule.seen.shape[1]) if terms else None


def shift(x: jax.Array, keys: int) -> jax.Array:
    """out[t, s] = x[t, T - t + s]: float[..., T, R] -> float[..., T, keys], without a gather."""
    T, R = x.shape[-2:]
    x = x.reshape(*x.shape[:-2], R * T)[..., T:]
    return x.reshape(*x.shape[:-1], T, R - 1)[..., :keys]
