"""`scoring.Scores` from hidden states and the table of a head, some columns of the vocabulary at a time, without keeping logits.

For logits of more than LIMIT = 2 GiB a device. Forward an online log-sum-exp (Milakov and Gimelshein 2018), backward the logits of each
chunk once more. Only log Z is kept: memory is O(tokens x CHUNK), not O(tokens x V), for four products where there were three. Over a
table that the mesh axis `tensor` splits each device reads its own part, and what it finds is combined as chunks are: the table never
moves along that axis (Shoeybi et al. 2019, section 3).
"""
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np

from model import ops, scoring

CHUNK = 2048                                  # columns of the table at a time
LIMIT = 2 ** 31                               # bytes of float32 logits on one device, above which they are not made whole
NO_ID = np.int32(2 ** 31 - 1)


class Table(NamedTuple):
    """How logits are read from a head's table; static."""
    vocab_size: int                           # columns from here on are padding
    letters: str = 'vd'                       # 'vd': the embedding [V, D]; 'dv': a kernel [D, V]
    soft_cap: float | None = None


def fits(x: jax.Array, columns: int) -> bool:
    """Whether the logits float32[..., columns] of x float[..., D] take at most LIMIT bytes of each device."""
    mesh = jax.sharding.get_abstract_mesh()
    parts = math.prod(mesh.shape[axis] for name in ('batch', 'length', 'vocab') for axis in ops.mesh_axes(name, mesh))
    return 4 * x.size // x.shape[-1] * columns <= LIMIT * parts


def in_chunks(x: jax.Array, table: jax.Array, bias: jax.Array | None, targets: jax.Array, how: Table,
              draw: scoring.Draw | None = None) -> scoring.Scores:
    """The scoring.Scores of float[B, P, D] x float32[V, D] (or as `how` says) + float32[V] or None, for targets int32[B, P].

    Products are those of ops.einsum_float32: operands in x's type, sums in float32, gradients cast to x's type.
    """
    noise = draw and scoring.counted(draw.keys, targets.shape[1], table.shape[how.letters.index('v')])
    if not ops.mesh_axes('length'):           # as in ops.dense: merging batch and a sharded length would move data
        x, noise = jax.tree.map(lambda a: a.reshape(-1, a.shape[-1]), (x, noise))
    x = ops.constrain(x, *('batch', 'length')[:x.ndim - 1], 'model')
    static = _Static(*how, CHUNK, *(draw[1:] if draw else ()))
    found = _score(static, x, table, bias, targets.reshape(x.shape[:-1]), noise)
    return jax.tree.map(lambda a: a.reshape(targets.shape), found)


class _Static(NamedTuple):
    """A Table, the columns of a chunk, and what is static of a Draw."""
    vocab_size: int
    letters: str
    soft_cap: float | None
    chunk: int
    temperature: float = 1.0
    avoid_target: bool = False

    def axes(self, table):
        """The mesh axes that split the columns of a table."""
        axes = ops.mesh_axes('vocab')
        whole = table.shape[self.letters.index('v')] % math.prod(jax.sharding.get_abstract_mesh().shape[axis] for axis in axes) == 0
        return axes if whole else ()


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _score(static, x, table, bias, targets, noise):
    return _on_shards(_forward, static, (x, targets, noise), (table, bias), ())


def _score_forward(static, x, table, bias, targets, noise):
    found = _score(static, x, table, bias, targets, noise)
    return found, (x, table, bias, targets, found.log_z)


def _score_backward(static, kept, gradients):
    x, table, bias, targets, log_z = kept
    (of_x,), (of_table, of_bias) = _on_shards(_backward, static, (x, targets, log_z, gradients[:3]), (table, bias), (table, bias))
    return of_x, of_table, of_bias, None, None


_score.defvjp(_score_forward, _score_backward)


def _on_shards(function, static, tokens, columns, out):
    """function(static, axes, first, tokens, columns) on each part that the mesh makes of `columns`, a table and its bias."""
    axes = static.axes(columns[0])
    if not axes:
        return function(static, (), jnp.zeros(1, jnp.int32), tokens, columns)
    split = P(axes) if static.letters == 'vd' else P(None, axes), P(axes)
    size = columns[0].shape[static.letters.index('v')]
    parts = math.prod(jax.sharding.get_abstract_mesh().shape[axis] for axis in axes)
    return jax.shard_map(functools.partial(function, static, axes), axis_names=set(axes), in_specs=(P(axes), P(), split),
                         out_specs=(P(), split) if out else P())(jnp.arange(0, size, size // parts), tokens, columns)


def _forward(static, axes, first, tokens, columns):
    """Scores, online over the chunks and then over the devices of `axes`."""
    x, targets, noise = tokens

    def one(carry, number):
        highest, summed, target, total, drawn = carry
        part = _part(static, first, x, columns, number)
        after = highest.update(_Best.of(part.logits, part.ids))
        summed *= jnp.exp(highest.value - after.value)
        summed += jnp.sum(jnp.exp(part.logits - after.value[..., None]), axis=-1)
        chosen = part.ids == targets[..., None]
        target += jnp.sum(jnp.where(chosen & part.fresh, part.logits, 0), axis=-1)
        total += jnp.sum(jnp.where(part.real, part.logits, 0), axis=-1)
        if noise is not None:
            noisy = part.logits + static.temperature * scoring.gumbel(*noise, part.ids)
            drawn = drawn.update(_Best.of(jnp.where(chosen, -jnp.inf, noisy) if static.avoid_target else noisy, part.ids))
        return (after, summed, target, total, drawn), None

    zero = _zeros(targets, first)
    nothing = _Best(zero - jnp.inf, zero.astype(jnp.int32) + NO_ID)
    start = nothing, zero, zero, zero, noise and nothing
    (highest, summed, target, total, drawn), _ = jax.lax.scan(one, start, jnp.arange(_chunks(static, columns)))
    if axes:
        whole = highest.over(axes)
        summed, target, total = jax.lax.psum((summed * jnp.exp(highest.value - whole.value), target, total), axes)
        highest, drawn = whole, drawn and drawn.over(axes)
    correct = (target >= highest.value).astype(jnp.float32)
    return scoring.Scores(highest.value + jnp.log(summed), target, total, highest.id, correct, drawn and drawn.id)


def _backward(static, axes, first, tokens, columns):
    """((gradient of x,), (gradients of table and bias)); each chunk of the table is read once more and written once."""
    x, targets, log_z, gradients = tokens
    of_z, of_target, of_total = (gradient[..., None] for gradient in gradients)
    letters, table_letters = 'bt'[-targets.ndim:], static.letters

    def one(carry, number):
        of_x, of_table, of_bias = carry
        part = _part(static, first, x, columns, number)
        of_logits = of_z * jnp.exp(part.logits - log_z[..., None]) + jnp.where(part.ids == targets[..., None], of_target, 0) + of_total
        if static.soft_cap is not None:
            of_logits *= 1 - jnp.square(part.logits / static.soft_cap)
        of_logits = jnp.where(part.real, of_logits, 0)
        if of_bias is not None:
            of_bias = _put(of_bias, jnp.sum(of_logits, axis=range(targets.ndim)), part.start, 0)
        of_logits = of_logits.astype(x.dtype)
        of_x += ops.einsum_float32(f'{letters}v,{table_letters}->{letters}d', of_logits, part.table)
        found = ops.einsum_float32(f'{letters}v,{letters}d->{table_letters}', of_logits, x)
        return (of_x, _put(of_table, found, part.start, table_letters.index('v')), of_bias), None

    start = jax.tree.map(lambda a: _zeros(a, first), (x, *columns))
    # backwards, so that the columns that the last two chunks share are written last by the one in which they are fresh
    (of_x, *of_columns), _ = jax.lax.scan(one, start, jnp.arange(_chunks(static, columns)), reverse=True)
    of_x = jax.lax.psum(of_x, axes) if axes else of_x
    return (of_x.astype(x.dtype),), jax.tree.map(lambda gradient, a: gradient.astype(a.dtype), tuple(of_columns), columns)


class _Best(NamedTuple):
    """The highest values seen so far, and the first ids that have them."""
    value: jax.Array
    id: jax.Array

    @classmethod
    def of(cls, values, ids):
        """Over the last axis."""
        top = jnp.max(values, axis=-1)
        return cls(top, jnp.min(jnp.where(values == top[..., None], ids, NO_ID), axis=-1))

    def update(self, later):
        """later: a _Best of higher ids."""
        return _Best(jnp.maximum(self.value, later.value), jnp.where(later.value > self.value, later.id, self.id))

    def over(self, axes):
        """Of all devices of mesh axes."""
        top = jax.lax.pmax(self.value, axes)
        return _Best(top, jax.lax.pmin(jnp.where(self.value == top, self.id, NO_ID), axes))


class _Part(NamedTuple):
    """A chunk of C columns. The last chunk begins earlier where C does not divide their number; what it repeats is not fresh."""
    start: jax.Array                          # int32: its place in this device's columns
    table: jax.Array                          # in the type of x
    ids: jax.Array                            # int32[C]
    fresh: jax.Array                          # bool[C]: in no chunk before
    real: jax.Array                           # bool[C]: fresh and no padding
    logits: jax.Array                         # float32[..., C], ABSENT where not real


def _chunks(static, columns):
    return -(-columns[0].shape[static.letters.index('v')] // static.chunk)


def _part(static, first, x, columns, number):
    """The _Part of that number; first: int32[1], the id of this device's first column."""
    table, bias = columns
    axis = static.letters.index('v')
    width = min(static.chunk, table.shape[axis])
    wanted = number * width
    start = jnp.minimum(wanted, table.shape[axis] - width)
    ids = first + start + jnp.arange(width, dtype=jnp.int32)
    fresh = ids >= first + wanted
    real = fresh & (ids < static.vocab_size)
    table = jax.lax.dynamic_slice_in_dim(table, start, width, axis).astype(x.dtype)
    letters = 'bt'[1 - x.ndim:]
    logits = ops.einsum_float32(f'{letters}d,{static.letters}->{letters}v', x, table)
    if bias is not None:
        logits += jax.lax.dynamic_slice_in_dim(bias, start, width)
    logits = jnp.where(real, ops.soft_cap(logits, static.soft_cap), scoring.ABSENT)
    return _Part(start, table, ids, fresh, real, logits)


def _put(whole, part, start, axis):
    return jax.lax.dynamic_update_slice_in_dim(whole, part, start, axis)


def _zeros(like, first):
    """float32 zeros in the shape of `like`, for a scan to start from. They are made of both arrays, because jax.shard_map wants what
    is carried to differ, by its type, between the devices of the same manual axes from the start."""
    return jnp.where((like == like) & (first == first), jnp.float32(0), jnp.float32(0))
