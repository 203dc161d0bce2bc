"""Writes a checkpoint whose arrays are made one at a time, so that memory holds one parameter, not the model.

Orbax takes a tree of arrays. Here its leaves are placeholders: a handler makes each array, writes it and frees it before the
next. The result is a checkpoint like those of checkpoint.py.
"""
import asyncio
import dataclasses
from typing import Any, Iterable

import jax
import numpy as np

from model import paths
from train.checkpoints import arrays, checkpoint, folders, manifest

ocp = arrays.orbax()
CHUNK = 1 << 26                               # bytes of a parameter that are compressed together


class NotFinite(Exception):
    """The imported tensors hold NaN or infinity."""

    exit_code, kind = 3, 'huggingface'


@dataclasses.dataclass(frozen=True)
class Placeholder:
    """The path, shape and type of an array that is made later."""
    path: str
    shape: tuple[int, ...]
    dtype: Any = np.dtype('float32')


class OneByOne(ocp.type_handlers.NumpyHandler):
    """Writes Placeholders from an iterator of (path, array) in the same order."""

    def __init__(self, parameters):
        super().__init__()
        self.parameters, self.digests = parameters, {}  # of what was written, by path

    async def serialize(self, values, infos, args=None):
        for value, info, arg in zip(values, infos, args):
            path, array = next(self.parameters)
            if (path, array.shape, array.dtype) != (value.path, value.shape, value.dtype):
                raise ValueError(f'expected {value}, got {path} {array.dtype}{list(array.shape)}')
            if not np.isfinite([array.min(), array.max()]).all():
                raise NotFinite(f'NaN or infinity in the tensors of {path}: '
                                'the files are damaged, or training diverged before they were saved')
            self.digests[f'params/{path}'] = [((), arrays.digest(array))]
            writer = ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)
            for future in await writer.serialize([array], [info], [arg]):
                await asyncio.to_thread(future.result)
            del array                         # before the next one is made
        return []


def save(folder: str, step: int, shapes: dict[str, tuple], parameters: Iterable, meta: dict) -> None:
    """Writes folder/STEP with parameters alone, the manifest last. shapes {path: shape}; parameters yields (path, float32 array) of
    each, in the order of a flattened tree. meta: as in checkpoint.Checkpoints.save."""
    target = folders.absolute(folder) / str(step)
    target.mkdir(parents=True)
    promised = paths.unflatten({f'params/{path}': Placeholder(path, tuple(shape)) for path, shape in shapes.items()})
    one_by_one = OneByOne(iter(parameters))
    handlers = (Placeholder, one_by_one), (jax.Array, ocp.type_handlers.ArrayHandler())  # Orbax warns without the second
    registry = ocp.type_handlers.create_type_handler_registry(*handlers)
    args = paths.apply(lambda path, leaf: ocp.SaveArgs(chunk_byte_size=CHUNK), promised)
    specs = {path: arrays.spec(leaf) for path, leaf in paths.flatten(promised).items()}
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(type_handler_registry=registry)) as writer:
            writer.save(folders.for_orbax(target) / 'state', args=ocp.args.PyTreeSave(promised, save_args=args))
        if different := arrays.unlike(target, one_by_one.digests):
            raise manifest.Different(f'{paths.listed(different)} read back differently')
        arrays.finish(target, step, meta, specs)
    except Exception as error:
        if hasattr(error, 'exit_code'):
            raise
        raise checkpoint.SaveError(f'cannot write {target}: {arrays.reason(error)}') from error
