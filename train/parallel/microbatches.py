"""Gradients of a batch that is computed in microbatches, reduced over the mesh axis `data` once a step.

Left to itself, XLA's partitioner reduces the gradients of each microbatch inside the loop: eight microbatches send eight times the bytes.
So `data` is manual (`jax.shard_map` over that axis alone): each of its shards adds up the gradients of its own rows, and one sum over the
shards follows. The other axes stay the partitioner's; over `fsdp` it reduces each microbatch, because the sum of whole gradients would not
fit a device that holds a part of the parameters.
"""
from typing import Any, Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P


def split(tree: Any, count: int) -> Any:
    """Leaves [B, ...] -> [count, B / count, ...]; strided, so that each device splits the rows it already holds."""
    return jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0), tree)


def merge(tree: Any) -> Any:
    """Inverse of `split`."""
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:]), tree)


def gradients(function: Callable, params: Any, given: Any, rows: Any, count: int) -> tuple[Any, Any, Any]:
    """(gradients, sums, by row) of function(params, given, rows), called on `count` parts of the rows, one after the other.

    Leaves of `rows` and of what is by row lead with the batch axis; gradients, shaped as params, and sums are added up.
    """
    def loop(params, given, rows):
        def add(total, rows):
            found, sums, by_row = function(params, given, rows)
            with jax.named_scope('accumulate'):
                return jax.tree.map(jnp.add, total, found), (sums, by_row)

        total, (sums, by_row) = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), split(rows, count))
        return total, jax.tree.map(lambda x: jnp.sum(x, axis=0), sums), merge(by_row)

    def reduced(params, given, rows):
        total, sums, by_row = loop(params, given, rows)
        with jax.named_scope('reduce'):
            return *jax.lax.psum((total, sums), 'data'), by_row

    if count == 1 or jax.sharding.get_abstract_mesh().shape.get('data', 1) == 1:
        return loop(params, given, rows)
    every, cut = P(), P('data')
    return jax.shard_map(reduced, in_specs=(every, every, cut), out_specs=(every, every, cut), axis_names={'data'}, check_vma=False)(
        params, given, rows)
