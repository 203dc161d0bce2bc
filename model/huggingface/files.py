"""The safetensors of a Hugging Face folder: one file, or several with an index. Tensors are read one by one, from mapped files.

Pickles (`pytorch_model.bin`) are refused, because opening one runs its author's code. So are paths in an index that leave the folder.
"""
import json
import os
import pathlib
from typing import Any, Callable

import ml_dtypes  # noqa: F401  numpy learns bfloat16
import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from model.huggingface import errors

WEIGHTS, INDEX = 'model.safetensors', 'model.safetensors.index.json'
DTYPES = ('float32', 'float16', 'bfloat16')
LARGEST = 64 * 2 ** 20                       # bytes of a JSON file
SHARD = 5_000_000_000                         # bytes of a file, as `transformers` cuts them
SAFE = ('python -c "import sys, transformers as t; c = t.AutoConfig.from_pretrained(sys.argv[1]); '
        'getattr(t, c.architectures[0]).from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])" {folder} {folder}-safetensors')


def read_json(path: pathlib.Path, what: str) -> Any:
    """The value of a JSON file of at most LARGEST bytes. FolderError if it is missing or damaged; what: what it belongs to."""
    if not os.path.isfile(path):
        raise errors.FolderError(f'{path.parent}: expected {what}, got no {path.name}')
    try:
        with open(path, 'rb') as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise errors.FolderError(f'{path}: expected at most {LARGEST:,} bytes')
        return json.loads(text.decode('utf-8'))
    except (ValueError, OSError) as error:
        raise errors.FolderError(f'{path}: expected JSON, got {error}') from None
    except RecursionError:
        raise errors.FolderError(f'{path}: expected JSON, got brackets nested too deep') from None


def finite(value: Any, path: pathlib.Path) -> None:
    """FolderError if the value of a JSON file has NaN or infinity, which Python reads and JSON does not have."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise errors.FolderError(f'{path}: expected JSON with finite numbers, got {error}') from None


class Reader:
    """The tensors of a folder: `shapes` and `types` by name, `read(name)`. FolderError if files are missing or damaged."""

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.where, self.shapes, self.types = pathlib.Path(folder), {}, {}, {}
        names, index = weight_files(self.folder)
        for name in names:
            file = safe_open(self.folder / name)
            for own in file.keys():
                tensor, stored = present(own), file.get_slice(own)
                if tensor in self.where:
                    raise errors.FolderError(f'{folder}: expected one tensor {tensor}, got two, in {self.where[tensor][0]} and {name}')
                self.where[tensor], self.shapes[tensor], self.types[tensor] = (name, own), tuple(stored.get_shape()), stored.get_dtype()
        indexed(self.folder, index, {tensor: name for tensor, (name, _) in self.where.items()})

    def read(self, name: str) -> np.ndarray:
        """The tensor as a numpy array in the file's dtype. The file is mapped anew each time, so that pages read before are freed."""
        file, own = self.where[name]
        return safe_open(self.folder / file).get_tensor(own)


def weight_files(folder):
    """(names of the safetensors files of a folder, {tensor: file} of its index or None)."""
    if os.path.isfile(folder / WEIGHTS):
        return [WEIGHTS], None
    if not os.path.isfile(folder / INDEX):
        pickles = sorted(path.name for path in folder.glob('*.bin')) + sorted(path.name for path in folder.glob('*.pt*'))
        if pickles:
            raise errors.FolderError(f'{folder}: expected {WEIGHTS}, got {", ".join(pickles)}: a pickle runs its writer\'s code when '
                                     f'it is opened. Convert it where you trust it:\n  {SAFE.format(folder=folder)}')
        raise errors.FolderError(f'{folder}: expected {WEIGHTS} or {INDEX}, got neither')
    found = read_json(folder / INDEX, INDEX)
    found = found.get('weight_map') if isinstance(found, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise errors.FolderError(f'{folder / INDEX}: expected JSON with a weight_map of tensors to files')
    names = sorted(set(found.values()))
    for name in names:
        if name != pathlib.PurePath(name).name or name in ('', '.', '..'):
            raise errors.FolderError(f'{folder / INDEX}: expected names of files in this folder, got {name!r}')
        if not os.path.isfile(folder / name):
            raise errors.FolderError(f'{folder}: {INDEX} names {name}, which is not there; copy all {len(names)} files')
    return names, {present(tensor): name for tensor, name in found.items()}


def indexed(folder, index, found):
    """FolderError if an index, {tensor: file} or None, is not that of the tensors found."""
    if index not in (None, found):
        lines = [f'{tensor}   expected in {index.get(tensor, "no file")}, found in {found.get(tensor, "no file")}'
                 for tensor in sorted({*index, *found}) if index.get(tensor) != found.get(tensor)]
        raise errors.FolderError(f'{folder}: {INDEX} is not that of these files; copy all of them again', lines)


def present(name):
    """The present name of a tensor: BERT's first files have TensorFlow's names for the scales and biases of norms."""
    return name.replace('LayerNorm.gamma', 'LayerNorm.weight').replace('LayerNorm.beta', 'LayerNorm.bias')


def safe_open(path):
    try:
        return safetensors.safe_open(path, framework='numpy')
    except (safetensors.SafetensorError, OSError) as error:
        raise errors.FolderError(f'{path}: expected a whole safetensors file, got {path.stat().st_size:,} bytes ({error}); '
                                 'copy it again') from None


def write(folder: str | os.PathLike, read: Callable[[str], np.ndarray], sizes: dict[str, int], dtype: str = 'float32',
          shard: int = SHARD) -> list[str]:
    """Writes tensors in the order of `sizes`, {name: number of entries}; read(name) gives the array. Returns the names of the files.

    Memory holds the tensors of one file at a time.
    """
    folder, width, groups, room = pathlib.Path(folder), np.dtype(dtype).itemsize, [[]], shard
    for name, size in sizes.items():
        if groups[-1] and size * width > room:
            groups.append([])
            room = shard
        groups[-1].append(name)
        room -= size * width
    files = [WEIGHTS] if len(groups) == 1 else [f'model-{i + 1:05d}-of-{len(groups):05d}.safetensors' for i in range(len(groups))]
    for group, file in zip(groups, files):
        tensors = {name: np.ascontiguousarray(read(name).astype(dtype)) for name in group}
        try:
            safetensors_numpy.save_file(tensors, folder / file, metadata={'format': 'pt'})
        except safetensors.SafetensorError as error:  # its I/O errors are no OSError
            raise OSError(f'cannot write {folder / file}: {error}') from None
    if len(groups) > 1:
        index = {'metadata': {'total_size': sum(sizes.values()) * width},
                 'weight_map': {name: file for group, file in zip(groups, files) for name in group}}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + '\n', encoding='utf-8')
    return files
