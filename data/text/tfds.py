"""Text of TensorFlow Datasets without TensorFlow: datasets prepared as ArrayRecord, read by random access.

`NAME[/CONFIG][:VERSION]:SPLIT[@FOLDER]`, where FOLDER (or TFDS_DATA_DIR, or ~/tensorflow_datasets) contains the prepared dataset,
NAME[/CONFIG]/VERSION. `tfds build NAME --file_format=array_record` prepares one. Only the prepared files are read: no builder's code runs
and nothing is downloaded.
"""
import os
import re
from typing import Any, Callable

from data import errors, places
from data.text import encodings, files, readers

SPEC = re.compile(r'(?P<name>[\w./+-]+)(:(?P<version>\d+\.\d+\.\d+))?:(?P<split>[^@]+)(@(?P<folder>.+))?')
VERSION = re.compile(r'(\d+)\.(\d+)\.(\d+)')


def open(spec: str, field: str, source: Callable) -> Any:
    """source(name, read, identity) of a TFDS split; DataError when it does not exist or has no such column."""
    where = f'tfds:{spec}'
    match = SPEC.fullmatch(spec)
    if not match:
        raise errors.DataError(f'{where}: expected tfds:NAME[/CONFIG]:SPLIT[@FOLDER], got no split; for example '
                               f'tfds:{spec.strip(":") or "wikipedia/20230601.en"}:train')
    builder = _builder(folder(where, match), where)
    split, info = match['split'], builder.info
    base = re.split(r'[\[+]', split)[0]
    if base not in (*info.splits, 'all'):
        raise errors.DataError(f'{where}: expected one of the splits {", ".join(sorted(info.splits))}, got {base!r}')
    readers.value(dict.fromkeys(info.features), field, where)
    try:
        rows = builder.as_data_source(split=split)
    except ValueError as error:
        raise errors.DataError(f'{where}: expected a split or a slice of one, got {_brief(error)}') from error
    except Exception as error:  # its type depends on how the dataset was prepared
        raise errors.DataError(f'{where}: expected a dataset prepared as ArrayRecord, got {_brief(error)}; tfds build {match["name"]} '
                               '--file_format=array_record --overwrite') from error

    parts = [files.Content(places.path(name)) for part in sorted(info.splits) for name in info.splits[part].filepaths]

    def texts():
        for i in range(len(rows)):
            try:
                row = rows[i]
            except Exception as error:  # its type depends on the damage
                raise errors.DataError(f'{where}, row {i}: expected a sound ArrayRecord file, got {_brief(error)}; prepare the dataset '
                                       'again') from error
            yield readers.value(row, field, f'{where}, row {i}')

    def read():
        yield from encodings.documents(texts(), where)
        for file in parts:
            file.check()

    def identity():
        return [field, info.full_name, split, [[file.path.name, file.digest] for file in parts]]

    return source(where, read, identity)


def folder(where: str, match: re.Match) -> Any:
    """The folder of the version in `match`, else of the newest. DataError lists what there is instead."""
    home = match['folder'] or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    place = places.path(home) / match['name']
    inside = sorted(child.name for child in place.iterdir() if child.name[:1] != '.') if place.is_dir() else []
    versions = [name for name in inside if VERSION.fullmatch(name) and match['version'] in (None, name)]
    if versions:
        return place / max(versions, key=lambda name: tuple(map(int, VERSION.fullmatch(name).groups())))
    if inside:
        sign = ':' if VERSION.fullmatch(inside[0]) else '/'
        got = f'{", ".join(inside)}; for example tfds:{match["name"]}{sign}{inside[0]}:{match["split"]}'
    else:
        got = f'none; set TFDS_DATA_DIR, or tfds build {match["name"]} --file_format=array_record'
    raise errors.DataError(f'{where}: expected the prepared dataset in {place}, got {got}')


def _builder(place, where):
    try:
        import tensorflow_datasets
    except ImportError as error:
        text = f'{where}: expected tensorflow-datasets, got {error}; pip install tensorflow-datasets importlib_resources'
        raise errors.DataError(text) from error
    try:
        return tensorflow_datasets.builder_from_directory(place)
    except Exception as error:  # a damaged folder raises many types
        raise errors.DataError(f'{where}: expected a prepared dataset in {place}, got {_brief(error)}') from error


def _brief(error):
    return f'{type(error).__name__}: {(str(error).strip().splitlines() or [""])[0].partition(". ")[0]}'
