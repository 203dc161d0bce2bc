"""Small operations that all of the model uses, and the letters of einsums and docstrings.

B batch, T query length, S key length, N heads, K key-value heads, G = N / K queries a key-value head, H head size, D model width, E
width of the embedding tables, F feed-forward width, V vocabulary (padded), L layers, P slots. Docstrings write `float[B, T, D]`.
"""
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

# The names of an activation's axes, and the mesh axes that may shard them; `parameter`: what else splits parameters.
AXES = {
    'batch': ('data', 'fsdp'),
    'length': ('context',),
    'heads': ('tensor',),
    'kv': ('tensor',),
    'mlp': ('tensor',),
    'vocab': ('tensor',),
    'parameter': ('fsdp',),
    'model': (),
    'head': (),
    None: (),
}


def mesh_axes(name: str | None, mesh: Any = None) -> tuple[str, ...]:
    """The mesh axes that shard the activation axis `name`: a tuple, empty without a mesh."""
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    if mesh.empty:
        return ()
    automatic = {axis for axis, kind in zip(mesh.axis_names, mesh.axis_types) if kind == jax.sharding.AxisType.Auto}
    return tuple(axis for axis in AXES[name] if axis in automatic and mesh.shape[axis] > 1)


def platform() -> str:
    """cpu, gpu or tpu: of the mesh in use, if there is one, else of JAX's default devices."""
    device = getattr(jax.sharding.get_abstract_mesh(), 'abstract_device', None)
    kind = device.device_kind.lower() if device else ''
    return next((each for each in ('cpu', 'tpu') if kind.startswith(each)), 'gpu' if kind else jax.default_backend())


def one_cpu() -> bool:
    """Whether what is traced here runs on one CPU device: no mesh over several."""
    mesh = jax.sharding.get_abstract_mesh()
    return platform() == 'cpu' and (mesh.empty or mesh.size == 1)


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Shards an activation by the names of its axes (keys of `AXES`) under `jax.set_mesh`; without a mesh, `x` itself.

    An axis that the mesh does not divide is not sharded: a last small batch, or fewer key-value heads than devices, still runs.
    """
    if len(names) != x.ndim:
        raise ValueError(f'constrain: {len(names)} names {names} for an array of shape {x.shape}')
    spec = partition(x.shape, names)
    return jax.lax.with_sharding_constraint(x, P(*spec)) if any(spec) else x


def partition(shape: tuple[int, ...], names: tuple[str | None, ...]) -> list[tuple[str, ...] | None]:
    """The mesh axes that split each axis of an activation, None where none does."""
    mesh, spec = jax.sharding.get_abstract_mesh(), []
    for size, name in zip(shape, names):
        axes = mesh_axes(name, mesh)
        while axes and size % math.prod(mesh.shape[axis] for axis in axes):
            axes = axes[:-1]
        spec.append(axes or None)
    return spec


def look_up(table: jax.Array, ids: jax.Array) -> jax.Array:
    """The rows of float[V, E] at int32[B, T], or ids of any other shape: float[B, T, E].

    On a mesh that splits tables each device gets the table and looks up its own tokens; the gradient is the sum of the devices' tables.
    Left alone, XLA's partitioner looks all tokens up in every part of the table, and sends float32 activations to and fro.
    """
    take = functools.partial(jnp.take, axis=0)
    if not (mesh_axes('parameter') or mesh_axes('vocab')):
        return take(table, ids)
    spec = partition(ids.shape, ('batch', 'length')[:ids.ndim] + (None,) * (ids.ndim - 2))
    local = lambda table, ids: take(jax.lax.with_sharding_constraint(table, P(None, None)) if mesh_axes('vocab') else table, ids)
    if not any(spec):
        return local(table, ids)
    axes = {axis for axes in spec for axis in axes or ()}
    return jax.shard_map(local, in_specs=(P(), P(*spec)), out_specs=P(*spec), axis_names=axes, check_vma=False)(table, ids)


def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """float[..., D] x float[D, F] -> float[..., F].

    Tokens are flattened to two dimensions first: XLA's CPU backend is several times slower when the gradient of the
    kernel contracts two axes. A mesh that shards the sequence keeps its axes, because merging batch and a sharded
    length would move data between devices.
    """
    if mesh_axes('length'):
        return jnp.einsum('...d,df->...f', x, kernel)
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum_float32(letters: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """A product of operands of one type, accumulated and returned in float32.

    Its gradient is cast to the operands' type before the two products of the backward pass; in float32 these products,
    two thirds of the work, would not run on the fast bfloat16 units.
    """
    return jnp.einsum(letters, x, y, preferred_element_type=jnp.float32)


def _einsum_forward(letters, x, y):
    return einsum_float32(letters, x, y), (x, y)


def _einsum_backward(letters, operands, gradient):
    _, pull = jax.vjp(functools.partial(jnp.einsum, letters), *operands)
    return pull(gradient.astype(operands[0].dtype))


einsum_float32.defvjp(_einsum_forward, _einsum_backward)


def logits(x: jax.Array, table: jax.Array) -> jax.Array:
    """float[..., D] x float[V, D] -> float32[..., V]."""
    if mesh_axes('length'):
        return einsum_float32('btd,vd->btv', x, table)
    return einsum_float32('td,vd->tv', x.reshape(-1, x.shape[-1]), table).reshape(*x.shape[:-1], table.shape[0])


def lengthen(x: jax.Array, axis: int, length: int) -> jax.Array:
    """x with zeros behind, up to a length of an axis; x itself if it has that length."""
    more = length - x.shape[axis]
    return jnp.pad(x, [(0, more if i == axis else 0) for i in range(x.ndim)]) if more else x


def gather(x: jax.Array, slots: jax.Array) -> jax.Array:
    """The rows of float[B, T, D] at slots int32[B, P]: float[B, P, D]."""
    return jnp.take_along_axis(x, slots[:, :, None], axis=1)


def soft_cap(x: jax.Array, cap: float | None) -> jax.Array:
    """cap * tanh(x / cap), which keeps scores within +-cap (Gemma 2); x if cap is None."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def row_keys(key: jax.Array, rows: jax.Array) -> jax.Array:
    """One random key a row, from the step's key and the row's global number int32[B]: key[B].

    Masks drawn with these do not depend on microbatches or devices.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows)


def dropout(x: jax.Array, rate: float, key: jax.Array, rows: jax.Array) -> jax.Array:
    """Zeroes a share `rate` of float[B, ...] and scales the rest by 1 / (1 - rate); each row draws by its number in int32[B]."""
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(row_keys(key, rows))
    return jnp.where(keep, x / (1 - rate), 0)


ACTIVATIONS = {
    'gelu': lambda x: jax.nn.gelu(x, approximate=False),
    'gelu_tanh': lambda x: jax.nn.gelu(x, approximate=True),
    'relu': jax.nn.relu,
    'silu': jax.nn.silu,
    'tanh': jnp.tanh,                         # of heads alone
}
