"""Compares the tensors of a folder with those that its config.json describes; one error lists all differences, as + and -."""
import re
from typing import Callable

import numpy as np

from model import config as model_config, families
from model.huggingface import errors, files, names


def check(reader: files.Reader, family: families.Family, kind: str, prefix: str, tensors: list[names.Tensor], shapes: dict[str, tuple],
          config: model_config.Config, optional: bool, notice: Callable) -> set[str]:
    """Our paths that are missing in the files and are to be initialised: those of the head, if `optional`. FolderError otherwise.

    tensors: those of the model whose parameters {path: shape} are `shapes`; prefix: of the backbone's names in the files. Buffers, tied
    duplicates and tensors of another head are ignored; a notice names those of a head.
    """
    expected = {tensor.name: names.shape(tensor, shapes, config) for tensor in tensors}
    extra = {name for name in reader.shapes if name not in expected}
    extra -= buffers(reader, family, extra) | duplicates(reader, family, prefix, extra)
    others = {name for name in extra if other_head(family, kind, name.removeprefix(prefix))}
    missing = {tensor.name: tensor.paths for tensor in tensors if tensor.name not in reader.shapes
               or optional and tensor.paths[0].startswith('head/') and reader.shapes[tensor.name] != expected[tensor.name]}  # other labels
    lost = {path for paths in missing.values() for path in paths}
    if not (optional and all(path.startswith(('head/', 'backbone/head/', 'query/')) for path in lost)):
        lost = set()
    wrong = {name for name in expected.keys() - missing.keys() if reader.shapes[name] != expected[name]}
    wrong |= extra - others | {name for name, paths in missing.items() if not lost.issuperset(paths)}
    if wrong:
        lines = [f'{sign} {name}  {list(side[name])}' for name in sorted(wrong)
                 for sign, side in (('-', reader.shapes), ('+', expected)) if name in side]
        text = f'does not hold the tensors of its config.json (- in the files, + expected; {len(set(expected) - wrong)} others agree)'
        raise errors.FolderError(f'{reader.folder} {text}', lines)
    if others:
        notice(f'not loaded, as they belong to another head: {", ".join(sorted(others))}')
    if lost:
        notice(f'not in {reader.folder}, and so initialised: {", ".join(sorted(lost))}')
    return lost


def buffers(reader, family, found):
    """The names in `found` that are buffers. FolderError if one does not hold the value that the family states."""
    values = {name: value for name in found for pattern, value in family.buffers.items() if re.search(pattern, name)}
    for name, value in values.items():
        if value is not None and np.any(reader.read(name) != value):
            raise errors.FolderError(f'{reader.folder}: {name} expected {value} everywhere, got other numbers; '
                                     'this model cannot use them')
    return set(values)


def duplicates(reader, family, prefix, found):
    """The names in `found` that repeat a tied tensor. FolderError if they hold other numbers."""
    pairs = {name.format(prefix=prefix): original.format(prefix=prefix) for name, original in family.duplicates.items()}
    pairs = {name: original for name, original in pairs.items() if name in found and original in reader.shapes}
    for name, original in pairs.items():
        if not np.array_equal(reader.read(name), reader.read(original)):
            raise errors.FolderError(f'{reader.folder}: config.json ties {name} to {original}, the files hold different numbers'
                                     + ('; set "tie_word_embeddings": false' if 'tied' in family.settings and not family.output else ''))
    return set(pairs)


def other_head(family, kind, name):
    """Whether a tensor, without its prefix, belongs to a head of the family with another kind than `kind`."""
    rows = [theirs for head in family.heads.values() if head.kind != kind for _, theirs, *_ in head.rows]
    return any(name.startswith(theirs.format(prefix='')) for theirs in rows)
