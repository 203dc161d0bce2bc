"""Hugging Face folders whose numbers are not stored: each tensor follows from its name, here and in the peers' environment.

A case of tests/fixtures/huggingface is CASE.json (config.json, the tensors of the file and their shapes) and CASE.npz (what the
model reads and what PyTorch says). Imports neither JAX nor torch.
"""
import json
import pathlib
import zlib

import numpy as np
from safetensors import numpy as safetensors

STORED = pathlib.Path(__file__).parents[2] / 'tests/fixtures/huggingface'
SCALES = (('bias', 0.1), ('', 0.2))           # of biases, of matrices


def weight(name, shape):
    """The float32 numbers of a tensor: normal, 0.2 wide (biases 0.1); around 1 where they are the scale of a norm."""
    draws = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) == 1 and name.endswith('weight'):
        return (1 + 0.1 * draws).astype(np.float32)
    return (draws * next(scale for end, scale in SCALES if name.endswith(end))).astype(np.float32)


def tensors(case):
    """{name: float32 array} of a case, as its safetensors file holds them. Buffers are 0."""
    return {name: np.zeros(shape, np.float32) if name in case['buffers'] else weight(name, tuple(shape))
            for name, shape in case['tensors'].items()}


def checksum(found):
    """A number that changes with any of the numbers: numpy may one day draw others."""
    return zlib.crc32(b''.join(found[name].tobytes() for name in sorted(found)))


def names(stored=STORED):
    """Cases that are stored in a folder."""
    return sorted(path.stem for path in pathlib.Path(stored).glob('*.json'))


def read(name, stored=STORED):
    """(case, {input or output: array}) as stored; outputs are called 'expected/...'."""
    case = json.loads((pathlib.Path(stored) / f'{name}.json').read_text())
    with np.load(pathlib.Path(stored) / f'{name}.npz') as arrays:
        return case, dict(arrays)


def write(case, folder, found=None):
    """config.json and model.safetensors of a case in a new folder; `found`: other tensors than the case's own."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(case['config'], indent=2) + '\n')
    found = tensors(case) if found is None else found
    safetensors.save_file(found, folder / 'model.safetensors', metadata={'format': 'pt'})
    return folder
