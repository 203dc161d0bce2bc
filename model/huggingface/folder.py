"""A Hugging Face folder: its config.json and the headers of its tensors, compared before anything of their size is built.

Some things config.json leaves to the files: whether a T5's output is tied to its table, and whether a bare backbone has a pooler.
"""
import dataclasses
import math
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from model import config as model_config, families, positions, task_model
from model.huggingface import errors, files, keys, settings

FLOATS = ('F16', 'BF16', 'F32', 'F64')
LAYERS = 10_000                               # more of them, sharing their weights, than any model has
TABLES = ('vocab_size', 'dim', 'embed_dim', 'heads', 'kv_heads', 'head_dim', 'mlp_dim', 'types')  # settings that are sizes of tensors


class Folder(NamedTuple):
    """What a folder holds. raw: config.json as a dict; config and head: of the model that it describes."""
    reader: files.Reader
    config: model_config.Config
    head: task_model.Head
    family: families.Family
    raw: dict[str, Any]


def read(path: str | os.PathLike) -> Folder:
    """The Folder at a path. ConfigError, FolderError."""
    config, head, family, raw = settings.read(path)
    plain(raw, pathlib.Path(path) / settings.CONFIG, config.vocab_size)
    reader = files.Reader(path)
    types(reader, family)
    sizes(reader, config, head, family, settings.renamed(family, raw))
    if head.kind == 'pooler' and not held(reader, family, head):
        head = task_model.Head(families.BARE.kind)
    if family.output and head.kind == 'language' and not config.tied and not own_output(reader, family):
        config = dataclasses.replace(config, tied=True)
    return Folder(reader, config, head, family, raw)


def plain(raw: dict[str, Any], path: pathlib.Path, size: int) -> None:
    """FolderError if the JSON `raw` of a file has numbers that are not finite, or ids that a vocabulary of `size` tokens does not have."""
    files.finite(raw, path)
    if wrong := keys.odd(raw, size):
        raise errors.FolderError(f'{path}: values that no model of {size:,} tokens has', wrong)


def types(reader: files.Reader, family: families.Family) -> None:
    """FolderError if a tensor, but for buffers that are not read, holds other numbers than floats."""
    unread = [pattern for pattern, value in family.buffers.items() if value is None]
    odd = sorted(name for name, kind in reader.types.items()
                 if kind not in FLOATS and not any(re.search(pattern, name) for pattern in unread))
    if odd:
        raise errors.FolderError(f'{reader.folder}: expected tensors of {", ".join(FLOATS)}, got {reader.types[odd[0]]} for {odd[0]}'
                                 f'{f" and {len(odd) - 1} others" * (len(odd) > 1)}; quantised models are not supported')


def sizes(reader: files.Reader, config: model_config.Config, head: task_model.Head, family: families.Family,
          raw: dict[str, Any]) -> None:
    """FolderError if config.json, `raw`, has sizes that no tensor of the files has: such a model would fill memory, or never end."""
    most = max((extent for shape in reader.shapes.values() if math.prod(shape) for extent in shape), default=0)
    reads = positions.of(config).reads
    limits = dict.fromkeys((*TABLES, *(name for name in ('max_length', 'position_offset', 'relative_buckets') if name in reads)), most)
    limits.update(dict.fromkeys(('layers', 'decoder_layers'), LAYERS if config.share_layers else len(reader.shapes)))
    theirs = {setting: key for setting, key, _ in settings.rules(family)}
    given = {theirs[name]: (getattr(config, name), limit) for name, limit in limits.items() if name in theirs}
    if head.kind in ('classes', 'token_classes'):
        given['num_labels'] = head.labels, most
    wrong = [f'{key} = {raw.get(key, value)}   expected at most {limit}' for key, (value, limit) in given.items()
             if value is not None and value > limit]
    if wrong:
        text = f'config.json has sizes that its files do not have: {len(reader.shapes)} tensors, the longest {most} long'
        raise errors.FolderError(f'{reader.folder}: {text}', wrong)


def held(reader: files.Reader, family: families.Family, head: task_model.Head) -> bool:
    """Whether the files hold a tensor of the head."""
    names = [theirs.format(prefix=prefix) for _, theirs, *_ in family.head(head.kind).rows for prefix in ('', family.prefix)]
    return any(name.startswith(tuple(names)) for name in reader.shapes)


def own_output(reader: files.Reader, family: families.Family) -> bool:
    """Whether the files hold an output matrix that is not the table of tokens."""
    table = family.duplicates[family.output].format(prefix=family.prefix)
    if family.output not in reader.shapes or table not in reader.shapes:
        return family.output in reader.shapes
    return not np.array_equal(reader.read(family.output), reader.read(table))
