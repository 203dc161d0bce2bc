"""Compares the tensors of a folder with those that its config.json describes; one error lists all differences, as + and -."""
import re

import numpy as np

from model.huggingface import errors, names

LINES = 60


def check(reader, family, kind, tensors, shapes, config, optional, notice):
    """Our paths that are missing in the files and may be initialised: those of the head, if `optional`. FolderError otherwise.

    tensors: the names.Tensor of the model whose parameters {path: shape} are `shapes`. Buffers, tied duplicates and tensors of
    another head are left aside; a notice names those of a head.
    """
    expected = {tensor.name: names.shape(tensor, shapes, config) for tensor in tensors}
    extra = {name for name in reader.shapes if name not in expected}
    extra -= buffers(reader, family, extra) | duplicates(reader, family, extra)
    others = {name for name in extra if other_head(family, kind, name)}
    missing = {tensor.name: tensor.paths for tensor in tensors if tensor.name not in reader.shapes
               or optional and tensor.paths[0].startswith('head/') and reader.shapes[tensor.name] != expected[tensor.name]}  # other labels
    lost = {path for paths in missing.values() for path in paths}
    if not (optional and all(path.startswith(('head/', 'backbone/head/', 'query/')) for path in lost)):
        lost = set()
    wrong = {name for name in expected.keys() - missing.keys() if reader.shapes[name] != expected[name]}
    wrong |= extra - others | {name for name, paths in missing.items() if not lost.issuperset(paths)}
    if wrong:
        lines = [f'  {sign} {name}  {list(side[name])}' for name in sorted(wrong)
                 for sign, side in (('-', reader.shapes), ('+', expected)) if name in side]
        raise errors.FolderError('\n'.join([
            f'{reader.folder} does not hold the tensors of its config.json (- in the files, + expected; '
            f'{len(set(expected) - wrong)} others agree)', *lines[:LINES],
            *([f'  ... and {len(lines) - LINES} more lines'] if len(lines) > LINES else [])]))
    if others:
        notice(f'left aside, of another head: {", ".join(sorted(others))}')
    if lost:
        notice(f'not in {reader.folder}, and so initialised: {", ".join(sorted(lost))}')
    return lost


def buffers(reader, family, found):
    """The names in `found` that are buffers. FolderError if one does not hold the value that the family states."""
    aside = set()
    for name in found:
        rows = [value for pattern, value in family.BUFFERS.items() if re.search(pattern, name)]
        if rows:
            aside.add(name)
        if rows and rows[0] is not None and np.any(reader.read(name) != rows[0]):
            raise errors.FolderError(f'{reader.folder}: {name} expected {rows[0]} everywhere, got other numbers; '
                                     'this model has no place for them')
    return aside


def duplicates(reader, family, found):
    """The names in `found` that repeat a tied tensor. FolderError if they hold other numbers."""
    aside, bare = set(), names.bare(family, reader.shapes)
    for name, original in family.DUPLICATES.items():
        name, original = (text.removeprefix(family.PREFIX) if bare else text for text in (name, original))
        if name in found and original in reader.shapes:
            aside.add(name)
            if not np.array_equal(reader.read(name), reader.read(original)):
                raise errors.FolderError(f'{reader.folder}: config.json ties {name} to {original}, the files hold different numbers'
                                         + ('; set "tie_word_embeddings": false' if 'tied' in family.SETTINGS else ''))
    return aside


def other_head(family, kind, name):
    """Whether a tensor belongs to a head of the family with another kind than `kind`."""
    rows = [theirs for other, table in family.HEADS.items() if other != kind for _, theirs, *_ in table]
    return any(name.removeprefix(family.PREFIX).startswith(theirs.removeprefix(family.PREFIX)) for theirs in rows)
