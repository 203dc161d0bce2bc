"""Maps tensors of Hugging Face files to our parameters and back, by the rows of a family.

Invertible dictionaries of names follow torchtitan's state_dict_adapter; that every parameter has a tensor and every tensor a
parameter is checked here once, for all families.
"""
import types
from typing import NamedTuple, Optional, Tuple

import numpy as np

from model import config as model_config, resize
from model.huggingface import layouts

LEAVES = {'kernel': 'weight', 'embedding': 'weight', 'scale': 'weight', 'bias': 'bias'}
ROLES = ('encoder', 'decoder')


class Tensor(NamedTuple):
    """One tensor there. paths: our parameters in it; layer: the number of the stacked layer, None = the whole parameter."""
    name: str
    paths: Tuple[str, ...]
    layer: Optional[int]
    layout: str


def tensors(family: types.ModuleType, kind: str, shapes: dict[str, tuple]) -> list[Tensor]:
    """[Tensor] of our parameters {path: shape} with the head `kind`. ValueError lists parameters that no row names."""
    found, named = [], set()
    for *row, only in expanded((*family.HEADS[kind], *family.NAMES)):
        for paths, name, layout in parameters(row, shapes):
            if named.intersection(paths) or only and only not in shapes:
                continue
            stacked = '{layer}' in name
            for layer in range(shapes[paths[0]][0]) if stacked else (None,):
                found.append(Tensor(name.format(layer=layer), paths, layer, layout))
            named.update(paths)
    lost = sorted(set(shapes) - named)
    if lost:
        file = f'model/families/{family.__name__.rpartition(".")[2]}.py'
        raise ValueError(f'no row of {file} names {", ".join(lost)}; add one to NAMES or HEADS')
    return found


def bare(family, found):
    """Whether tensors of these names lack the family's prefix, as those of a backbone without a head."""
    return not any(name.startswith(family.PREFIX) for name in found)


def expanded(rows):
    """(our paths, their name, layout or None, a path that must exist or None) of the rows, with {role} replaced by each role."""
    for ours, theirs, *more in rows:
        ours = (ours,) if isinstance(ours, str) else ours
        layout, only = (*more, None, None)[:2]
        for role in ROLES if '{role}' in ours[0] else (None,):
            yield tuple(path.replace('{role}', str(role)) for path in ours), theirs.replace('{role}', str(role)), layout, only


def parameters(row, shapes):
    """(our paths, their name, layout) of each parameter of a row: the leaves of a module, or one parameter."""
    ours, theirs, layout = row
    if ours[0] in shapes:
        yield ours, theirs, layout or ('linear' if ours[0].endswith('/kernel') else 'same')
    for leaf, name in LEAVES.items():
        paths = tuple(f'{path}/{leaf}' for path in ours)
        if paths[0] in shapes:
            yield paths, f'{theirs}.{name}', layout or ('linear' if leaf == 'kernel' else 'same')


def part(tensor: Tensor, array: np.ndarray, path: str, shape: tuple, config: model_config.Config) -> np.ndarray:
    """Our parameter at `path`, or one layer of it, with our `shape`, from the numpy `array` of its Tensor.

    The shape of `array` was checked (compare.py). Padding rows of the vocabulary are 0.
    """
    found = layouts.LAYOUTS[tensor.layout][0](array, tensor.paths.index(path), unpadded(path, shape, config)[-1], config)
    return found if found.shape == shape else np.pad(found, [(0, size - have) for size, have in zip(shape, found.shape)])


def join(tensor: Tensor, arrays: list[np.ndarray], config: model_config.Config) -> np.ndarray:
    """The numpy array of a Tensor, from our parameters in it (one layer of them, if they are stacked)."""
    stripped = [array[tuple(slice(size) for size in unpadded(path, array.shape, config))] for path, array in zip(tensor.paths, arrays)]
    return layouts.LAYOUTS[tensor.layout][1](stripped, config)


def shape(tensor: Tensor, shapes: dict[str, tuple], config: model_config.Config) -> tuple:
    """The shape of a Tensor there, for our parameters {path: shape}."""
    ours = [shapes[path] if tensor.layer is None else shapes[path][1:] for path in tensor.paths]
    return join(tensor, [np.broadcast_to(np.zeros((), bool), size) for size in ours], config).shape


def unpadded(path, shape, config):
    """One of our shapes without the padding rows of the vocabulary."""
    axis = resize.axis(path)
    return tuple(config.vocab_size if i == axis else size for i, size in enumerate(shape))
