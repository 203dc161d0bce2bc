"""Maps tensors of Hugging Face files to our parameters and back, by the rows of a family.

Invertible dictionaries of names follow torchtitan's state_dict_adapter. One check for all families: every parameter has a tensor,
and every tensor a parameter (compare.py).
"""
from typing import Iterable, NamedTuple, Optional, Tuple

import numpy as np

from model import config as model_config, families, resize
from model.huggingface import layouts

LEAVES = {'kernel': 'weight', 'embedding': 'weight', 'scale': 'weight', 'bias': 'bias'}


class Tensor(NamedTuple):
    """A tensor of a file. paths: our parameters in it; layer: the number of the stacked layer, None = all of the parameter."""
    name: str
    paths: Tuple[str, ...]
    layer: Optional[int]
    layout: str


def tensors(family: families.Family, kind: str, shapes: dict[str, tuple], prefix: str | None = None) -> list[Tensor]:
    """[Tensor] of our parameters {path: shape} with the head `kind`. ValueError lists parameters that no row names.

    prefix: of the backbone's names, None = as the class with this head has it.
    """
    head, found, named = family.head(kind), [], set()
    if prefix is None:
        prefix = family.prefix if head.prefix is None else head.prefix
    for row in (*head.rows, *((ours, f'{{prefix}}{theirs}', *more) for ours, theirs, *more in family.names)):
        for paths, name, layout in parameters(row, shapes):
            if named.intersection(paths):
                continue
            for layer in range(shapes[paths[0]][0]) if '{layer}' in name else (None,):
                found.append(Tensor(name.format(layer=layer, prefix=prefix), paths, layer, layout))
            named.update(paths)
    lost = sorted(set(shapes) - named)
    if lost:
        raise ValueError(f'no row of the family {family.model_type} in model/families names {", ".join(lost)}; add one to names or heads')
    return found


def parameters(row, shapes):
    """(our paths, the name there, layout) of each parameter of a row: the leaves of a module, or one parameter, for each role."""
    ours, theirs, layout, condition = (*row, None, None)[:4]
    if condition and condition not in shapes:
        return
    ours = (ours,) if isinstance(ours, str) else ours
    for role in ('encoder', 'decoder') if '{role}' in ours[0] else ('',):
        paths, name = tuple(path.replace('{role}', role) for path in ours), theirs.replace('{role}', role)
        for leaf, suffix in (('', ''), *((f'/{leaf}', f'.{name}') for leaf, name in LEAVES.items())):
            own = tuple(path + leaf for path in paths)
            if own[0] in shapes:
                yield own, name + suffix, layout or ('linear' if own[0].endswith('/kernel') else 'same')


def prefix(family: families.Family, kind: str, found: Iterable[str]) -> str:
    """The prefix of the backbone among the names of tensors `found`; none in the files of a bare backbone."""
    known = filter(None, (family.head(kind).prefix, family.prefix))
    return next((prefix for prefix in known if any(name.startswith(prefix) for name in found)), '')


def part(tensor: Tensor, array: np.ndarray, path: str, shape: tuple, config: model_config.Config) -> np.ndarray:
    """Our parameter at `path`, or one layer of it, with our `shape`, from the numpy `array` of its Tensor.

    The shape of `array` was checked (compare.py). Padding rows of the vocabulary are 0.
    """
    found = layouts.LAYOUTS[tensor.layout][0](array, tensor.paths.index(path), resize.unpadded(path, shape, config)[-1], config)
    return found if found.shape == shape else np.pad(found, [(0, size - have) for size, have in zip(shape, found.shape)])


def join(tensor: Tensor, arrays: list[np.ndarray], config: model_config.Config) -> np.ndarray:
    """The numpy array of a Tensor, from our parameters in it (one layer of them, if they are stacked)."""
    stripped = [array[tuple(map(slice, resize.unpadded(path, array.shape, config)))] for path, array in zip(tensor.paths, arrays)]
    return layouts.LAYOUTS[tensor.layout][1](stripped, config)


def shape(tensor: Tensor, shapes: dict[str, tuple], config: model_config.Config) -> tuple:
    """The shape of a Tensor in a file, for our parameters {path: shape}."""
    ours = [shapes[path] if tensor.layer is None else shapes[path][1:] for path in tensor.paths]
    return join(tensor, [np.broadcast_to(np.zeros((), bool), size) for size in ours], config).shape
