"""The arrays of a state (any pytree) by path, `params/backbone/embed/...`, and the folder of a step: Orbax's files, meta.json, manifest.

None and empty containers have no arrays. Typed random keys are stored as their key data, with the name of their implementation in
meta.json. A checkpoint is a nested dict of arrays, readable without the classes of the state.
"""
import concurrent.futures
import contextlib
import hashlib
import importlib.metadata
import json
import logging
import re
import sys
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np
import tensorstore

from data import atomic
from model import paths
from train.checkpoints import folders, manifest
from train.parallel import processes

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'sentencepiece', 'tokenizers', 'regex', 'jieba')
# (does it hold for any or for all paths that differ, pattern of a path, axis that differs | 'missing' | None, settings that decide it).
# The first row counts; where parameters differ, the rest of the state, which follows them, is not looked at.
CAUSES = (
    (any, r'embed/embedding$', 0, 'model.vocab_size or the tokenizer'),
    (any, r'embed/embedding$', 1, 'model.dim or model.embed_dim'),
    (any, r'/block/', 'missing', 'model.share_layers'),
    (any, r'/query_block/', 'missing', 'model.query_layer'),
    (any, r'coder/blocks/attention/query/kernel$', 'missing', 'model.architecture'),
    (any, r'encoder/blocks/', 0, 'model.layers'),                # the leading axis is the layer
    (any, r'decoder/blocks/cross_attention/', 0, 'model.decoder_layers'),
    (any, r'/blocks/', 0, 'model.layers'),
    (all, r'/relative/segment', 'missing', 'model.relative_segments'),
    (all, r'coder/positions/|/relative/', 'missing', 'model.positions'),
    (all, r'coder/positions/', 0, 'model.max_length, sequence_length, model.positions, model.position_offset or model.relative_buckets'),
    (all, r'coder/positions/', None, 'model.heads or model.positions'),
    (all, r'types', None, 'model.types'),
    (all, r'(^|/)head/', 'missing', 'model.head or model.tied'),
    (all, r'attention/out/bias$', 'missing', 'model.out_bias'),
    (all, r'attention/.*bias$', 'missing', 'model.attention_bias'),
    (all, r'mlp/.*bias$', 'missing', 'model.mlp_bias'),
    (all, r'norm/bias$', 'missing', 'model.norm'),
    (all, r'bias$', 'missing', 'model.bias'),
    (all, r'embed_norm/', 'missing', 'model.embed_norm'),
    (all, r'(embed_norm|coder/norm)/', 'missing', 'model.norm_position'),
    (all, r'(query|key)_norm/', 'missing', 'model.qk_norm'),
    (all, r'mlp/gate/', 'missing', 'model.gated'),
    (all, r'mlp/', None, 'model.mlp_dim'),
    (all, r'attention/(key|value)/', None, 'model.kv_heads'),
    (all, r'attention/', None, 'model.heads or model.head_dim'),
    (all, r'^(params|frozen)/', None, 'several settings of model.*, or objective.name'),
    (any, r'^opt_state/', None, 'optimizer.name, optimizer.momentum, optimizer.clip or optimizer.schedule'),
    (any, r'^ema', None, 'ema'),
    (any, r'^carry', None, 'batch_size or objective.* (its memory)'),
    (any, r'^rng', None, 'the random number implementation (JAX_DEFAULT_PRNG_IMPL)'),
)


class Mismatch(Exception):
    """An undamaged checkpoint that does not fit this config. The message lists the differences of the two trees."""

    exit_code, kind = 2, 'checkpoint'


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
    both = sorted(saved.keys() | wanted.keys())
    different = {path: axes(saved.get(path), wanted.get(path)) for path in both if saved.get(path) != wanted.get(path)}
    if not different:
        return
    lines = [f'  {sign} {path}  {side[path]}' for path in different for sign, side in (('-', saved), ('+', wanted)) if path in side]
    decisive = {path: found for path, found in different.items() if path.startswith(('params/', 'frozen/'))} or different
    cause = next((settings for which, pattern, what, settings in CAUSES if which(
        re.search(pattern, path) and what in (None, *found) for path, found in decisive.items())), 'code that changed since it was saved')
    raise Mismatch('\n'.join([
        f'{source} does not fit this config (- in the checkpoint, + wanted; {len(both) - len(different)} other arrays agree)',
        *lines[:60], *([f'  ... and {len(lines) - 60} more lines'] if len(lines) > 60 else []),
        f'likely cause: {cause}']))


def axes(a: str | None, b: str | None) -> set:
    """The axes in which two specs differ; {'missing'} if there is only one."""
    if a is None or b is None:
        return {'missing'}
    return {axis for axis, (m, n) in enumerate(zip(parse(a)[1], parse(b)[1])) if m != n}


def versions() -> dict[str, str]:
    """{package: version} of what a run depends on and has."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def changed(before: dict[str, str]) -> str:
    """A notice of the packages that have another version than `before`, the versions of a checkpoint; '' without one."""
    now = versions()
    found = [f'{name} {version}, now {now[name]}' for name, version in before.items() if version != now.get(name, version)]
    return f'the checkpoint was saved with {"; ".join(found)}: results from here on may differ' if found else ''


def finish(target: epath.Path, step: int, meta: dict, specs: dict[str, str], best: str | None = None) -> None:
    """Writes meta.json and then the manifest beside the stored arrays {path: spec}. manifest.Different if a file does not read back."""
    rng = {path: name for path, spec in specs.items() if (name := implementation(spec))}
    text = json.dumps({**meta, 'step': step, 'best': best, 'versions': versions(), 'rng': rng}, indent=1,
                      default=lambda value: value.item() if hasattr(value, 'item') else str(value))
    atomic.write(target / 'meta.json', f'{text}\n'.encode())
    manifest.write(target, {'step': step, 'arrays': specs})


def digests(leaves: dict[str, Any]) -> tuple[dict[str, list[tuple]], list[str]]:
    """({path: [(its part as slices, SHA-256)]}, paths that hold NaN or infinity) of what this process saves of {path: array}.

    Over all processes, each part once. The arrays are read here, in the caller's thread, because its next step may change them.
    """
    parts = [(path, index, part) for path, leaf in leaves.items() for index, part in _parts(plain(leaf))]
    with concurrent.futures.ThreadPoolExecutor(manifest.THREADS) as pool:
        found = list(pool.map(lambda part: (digest(part[2]), finite(part[2])), parts))
    made = {path: [] for path in leaves}
    for (path, index, _), (value, _) in zip(parts, found):
        made[path].append((index, value))
    return made, list(dict.fromkeys(path for (path, *_), (_, good) in zip(parts, found) if not good))


def _parts(leaf):
    if isinstance(leaf, jax.Array):
        return [(shard.index, shard.data) for shard in leaf.addressable_shards if shard.replica_id == 0]
    return [((), leaf)] * (processes.rank() == 0)


def unlike(target: epath.Path, expected: dict[str, list[tuple]]) -> list[str]:
    """The paths of stored arrays that do not have these `digests`; memory holds one part at a time."""
    state = folders.for_orbax(target) / 'state'
    base = f'{state}/' if '://' in str(state) else {'driver': 'file', 'path': f'{state}/'}

    def differs(path, parts):
        at = {'driver': 'ocdbt', 'base': base, 'path': path.replace('/', '.') + '/'}
        try:
            stored = tensorstore.open({'driver': 'zarr', 'kvstore': at}, read=True).result()
            return any(digest(stored[index].read().result()) != value for index, value in parts)
        except ValueError:                    # missing, or damaged so that it cannot be decoded
            return True

    return [path for path, parts in expected.items() if parts and differs(path, parts)]


def digest(array: Any) -> str:
    """SHA-256 (hex) of the bytes of an array."""
    array = np.asarray(array)
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).reshape(-1) if array.size else b'').hexdigest()


def read(source: epath.Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """{path: array} of a step for {path: (abstract) array}, with the sharding of each; without one, on the first device."""
    stored, ocp, first = specs(source), orbax(), jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    item = paths.unflatten({path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, 'sharding', None) or first)
                            for path, leaf in ((path, plain(leaf)) for path, leaf in wanted.items())})
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        found = paths.flatten(reader.restore(folders.for_orbax(source) / 'state', args=ocp.args.PyTreeRestore(
            item=item, restore_args=ocp.checkpoint_utils.construct_restore_args(item), partial_restore=True)))
    return {path: jax.random.wrap_key_data(found[path], impl=implementation(stored[path])) if is_key(leaf) else found[path]
            for path, leaf in wanted.items()}


def specs(source: epath.Path) -> dict[str, str]:
    """{path: 'float32[2, 64]'} of the arrays of a step."""
    return manifest.read(source)['extra']['arrays']


def orbax():
    """The package Orbax, without the tracebacks that it logs, three times, before it raises the error of a failed save, and those of the
    writes that end after its event loop ended with the first error."""
    import orbax.checkpoint as ocp  # 0.2 s, only where something is saved or restored
    logging.getLogger('absl').addFilter(_no_orbax_traceback)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _no_late_write
    return ocp


def _no_orbax_traceback(record):
    return not (record.exc_info and 'orbax' in record.pathname)


def _no_late_write(unraisable):
    if str(unraisable.exc_value) != 'Event loop is closed':
        sys.__unraisablehook__(unraisable)


def reason(error: Exception) -> str:
    """One line of an error whose message may have pages; the operating system's reason is at the end of that line."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), '')
    line = re.sub(r' *\[(tensorstore_spec|source locations)=.*', '', line)
    line = line if isinstance(error, processes.PeerError) else f'{type(error).__name__}: {line}'
    return line if len(line) <= 250 else f'{line[:100]} ... {line[-140:]}'


def finite(array: Any) -> bool:
    """Whether an array holds neither NaN nor infinity."""
    return not jnp.issubdtype(array.dtype, jnp.inexact) or bool(np.isfinite(np.asarray(array)).all())


def fingerprint(state: Any) -> str:
    """SHA-256 (hex) over every array of a state by path, dtype, shape and bytes: parameters, optimizer, rng and step, and
    memory, moving average and frozen parameters, if any. The same on every mesh; all processes must call it."""
    total = hashlib.sha256()
    for path, leaf in sorted(paths.flatten(state).items()):
        total.update(f'{path}\t{spec(leaf)}\t{digest(gathered(plain(leaf)))}\n'.encode())
    return total.hexdigest()


def gathered(array: Any) -> np.ndarray:
    """The values of an array that may be spread over processes; all of them must call it."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)
