"""Converts a state (any pytree) to the arrays of a checkpoint, by path, `params/backbone/embed/...`, and back.

None and empty containers have no arrays and are left out; typed random keys are stored as their key data and the name of their
implementation. A checkpoint is a nested dict of arrays, readable without the classes of the state.
"""
import hashlib
import re
from typing import Any

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from model import paths

# (pattern of a path, the difference: an axis | 'missing' | None = any, the settings that decide it); first match
CAUSES = (
    (r'^(params|frozen)/.*embed/embedding$', 0, 'model.vocab_size or the tokenizer'),
    (r'^(params|frozen)/.*embed/embedding$', 1, 'model.dim or model.embed_dim'),
    (r'^(params|frozen)/.*/block/', 'missing', 'model.share_layers'),
    (r'^(params|frozen)/.*/query_block/', 'missing', 'model.query_layer'),
    (r'^(params|frozen)/.*encoder/', 'missing', 'model.architecture'),
    (r'^(params|frozen)/.*positions', None, 'model.positions, model.max_length or sequence_length'),
    (r'^(params|frozen)/.*types', None, 'model.types'),
    (r'^(params|frozen)/.*decoder/blocks/', 0, 'model.decoder_layers'),
    (r'^(params|frozen)/.*blocks/', 0, 'model.layers'),
    (r'^(params|frozen)/.*bias$', 'missing', 'model.bias or model.norm'),
    (r'^(params|frozen)/.*mlp/gate/', 'missing', 'model.gated'),
    (r'^(params|frozen)/.*mlp/', None, 'model.mlp_dim'),
    (r'^(params|frozen)/.*attention/(key|value)/', None, 'model.kv_heads or model.head_dim'),
    (r'^(params|frozen)/.*attention/', None, 'model.heads or model.head_dim'),
    (r'^(params|frozen)/.*head/', None, 'model.head or model.tied'),
    (r'^(params|frozen)/', None, 'model.* or objective.name'),
    (r'^opt_state/', None, 'optimizer.name, optimizer.momentum, optimizer.clip or optimizer.schedule'),
    (r'^ema', None, 'ema'),
    (r'^carry', None, 'batch_size or objective.* (its memory)'),
    (r'^rng', None, 'the random number implementation (JAX_DEFAULT_PRNG_IMPL)'),
)


class Mismatch(Exception):
    """An undamaged checkpoint that does not fit this config. The message lists the differences of the two trees."""

    exit_code, kind = 2, 'checkpoint'


def rebuild(like: Any, names: dict[str, Any]) -> Any:
    """The tree of `like` with the leaves of {path: leaf}."""
    structure = jax.tree.structure(like)
    return jax.tree.unflatten(structure, [names[path] for path in paths.flatten(like)])


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed random keys."""
    return hasattr(leaf, 'dtype') and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def plain(leaf: Any) -> Any:
    """The leaf as an ordinary array, or ShapeDtypeStruct: keys become their key data."""
    if not is_key(leaf):
        return leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
    if isinstance(leaf, jax.ShapeDtypeStruct):
        data = jax.eval_shape(jax.random.key_data, leaf)
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)
    return jax.random.key_data(leaf)


def spec(leaf: Any) -> str:
    """'float32[2, 64]' of a leaf; random keys have the dtype key<implementation>."""
    if not is_key(leaf):
        leaf = plain(leaf)
        return f'{leaf.dtype}{list(leaf.shape)}'
    names = []
    jax.eval_shape(lambda key: names.append(jax.random.key_impl(key)), jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
    return f'key<{names[0]}>{list(leaf.shape)}'


def parse(spec: str) -> tuple[str, tuple[int, ...]]:
    """(dtype, shape) of 'float32[2, 64]'."""
    dtype, shape = spec[:-1].split('[')
    return dtype, tuple(int(size) for size in shape.split(',') if size)


def implementation(spec: str) -> str | None:
    """'threefry2x32' of 'key<threefry2x32>[]', None for other arrays."""
    dtype = parse(spec)[0]
    return dtype[4:-1] if dtype.startswith('key<') else None


def compare(saved: dict[str, str], wanted: dict[str, str], source: Any) -> None:
    """Raises Mismatch if two {path: spec} differ: '-' lines are in the checkpoint, '+' lines are wanted."""
    if saved == wanted:
        return
    lines, agree = [], 0
    for path in sorted(saved.keys() | wanted.keys()):
        agree += saved.get(path) == wanted.get(path)
        lines += [f'  {sign} {path}  {side[path]}' for sign, side in (('-', saved), ('+', wanted))
                  if path in side and saved.get(path) != wanted.get(path)]
    raise Mismatch('\n'.join([
        f'{source} does not fit this config (- in the checkpoint, + wanted; {agree} other arrays agree)',
        *lines[:60], *([f'  ... and {len(lines) - 60} more lines'] if len(lines) > 60 else []),
        f'likely cause: {cause(saved, wanted)}']))


def cause(saved: dict[str, str], wanted: dict[str, str]) -> str:
    """The settings that most likely explain the difference of two {path: spec}."""
    different = {path: kind(saved.get(path), wanted.get(path)) for path in sorted(saved.keys() | wanted.keys())
                 if saved.get(path) != wanted.get(path)}
    for pattern, what, settings in CAUSES:
        if any(re.search(pattern, path) and (what is None or what in kinds) for path, kinds in different.items()):
            return settings
    return 'code that changed since it was saved'


def kind(a: str | None, b: str | None) -> set:
    """The difference of two specs: {'missing'}, {'dtype'}, {'rank'}, or the set of axes."""
    if a is None or b is None:
        return {'missing'}
    (a_type, a_shape), (b_type, b_shape) = parse(a), parse(b)
    if a_type != b_type or len(a_shape) != len(b_shape):
        return {'dtype' if a_type != b_type else 'rank'}
    return {axis for axis, (m, n) in enumerate(zip(a_shape, b_shape)) if m != n}


def not_finite(names: dict[str, Any]) -> list[str]:
    """The paths below params/, frozen/ and ema/ that hold NaN or infinity (one small device computation)."""
    checked = [path for path, leaf in names.items()
               if path.startswith(('params/', 'frozen/', 'ema/')) and jnp.issubdtype(leaf.dtype, jnp.inexact)]
    flags = np.asarray(_gathered(_finite([names[path] for path in checked]))) if checked else []
    return [path for path, finite in zip(checked, flags) if not finite]


@jax.jit
def _finite(leaves):
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])


def fingerprint(state: Any) -> str:
    """SHA-256 (hex) over every array of a state by path, dtype, shape and bytes: parameters, optimizer, rng and step, and
    memory, moving average and frozen parameters, if any. The same on every mesh; all processes must call it."""
    total = hashlib.sha256()
    for path, leaf in sorted(paths.flatten(state).items()):
        array = np.asarray(_gathered(plain(leaf)))
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1) if array.size else b''
        digest = hashlib.sha256(data).hexdigest()
        total.update(f'{path}\t{spec(leaf)}\t{digest}\n'.encode())
    return total.hexdigest()


def _gathered(array):
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return array
    return multihost_utils.process_allgather(array, tiled=True)
