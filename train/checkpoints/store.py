"""Reads and writes the folder of one step: Orbax's arrays, meta.json, and the manifest, with which it counts as a checkpoint."""
import importlib.metadata
import json
import logging
import re
from typing import Any

from etils import epath
import jax

from data import atomic
from model import paths
from train.checkpoints import arrays, folders, manifest
from train.parallel import processes

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def described(meta: dict, step: int, specs: dict[str, str], best: str | None = None) -> str:
    """The text of meta.json for arrays {path: spec}."""
    return json.dumps({**meta, 'step': step, 'best': best, 'versions': versions(),
                       'rng': {path: name for path, spec in specs.items() if (name := arrays.implementation(spec))}},
                      indent=1, default=lambda value: value.item() if hasattr(value, 'item') else str(value))


def finish(target: epath.Path, step: int, meta: str, specs: dict[str, str]) -> None:
    """Writes meta.json and then the manifest of a folder with arrays. OSError if it reads back differently."""
    atomic.write(target / 'meta.json', f'{meta}\n'.encode())
    manifest.write(target, {'step': step, 'arrays': specs})
    if problems := manifest.check(target):
        raise OSError(f'it reads back differently, {folders.summary(problems)}')


def orbax():
    """The package Orbax, silenced."""
    import orbax.checkpoint as ocp  # 0.2 s, only where something is saved or restored
    logging.getLogger('absl').addFilter(_no_orbax_traceback)
    return ocp


def _no_orbax_traceback(record):
    """Orbax logs a failed save three times, with tracebacks, before it raises it; the error alone is enough."""
    return not (record.exc_info and 'orbax' in record.pathname)


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def specs(source: epath.Path) -> dict[str, str]:
    """{path: 'float32[2, 64]'} of the arrays of a step."""
    return manifest.read(source)['extra']['arrays']


def read(source: epath.Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """{path: array} of a step for {path: (abstract) array}, with their shardings."""
    stored, ocp = specs(source), orbax()
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    plain = {path: arrays.plain(leaf) for path, leaf in wanted.items()}
    item = paths.unflatten({path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, 'sharding', None)
                                                       or first) for path, leaf in plain.items()})
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        found = paths.flatten(reader.restore(source / 'state', args=ocp.args.PyTreeRestore(
            item=item, restore_args=ocp.checkpoint_utils.construct_restore_args(item), partial_restore=True)))
    return {path: jax.random.wrap_key_data(found[path], impl=arrays.implementation(stored[path])) if arrays.is_key(leaf)
            else found[path] for path, leaf in wanted.items()}


def reason(error: Exception) -> str:
    """One line of an error whose message may have pages; the reason of the operating system is at its end."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), '')
    line = re.sub(r' *\[(tensorstore_spec|source locations)=.*', '', line)
    line = line if isinstance(error, processes.PeerError) else f'{type(error).__name__}: {line}'
    return line if len(line) <= 250 else f'{line[:100]} ... {line[-140:]}'
