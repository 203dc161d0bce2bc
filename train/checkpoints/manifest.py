"""A manifest: size and SHA-256 of every file below a folder, written last, so that only complete folders have one.

Array stores load damaged data silently (Orbax: 20 of 20 inverted bytes gave wrong numbers and no error), so nothing is
read before `check` found no problem. The manifest also holds its own SHA-256 and is compared with its canonical text: a
single changed byte in it, white space included, is a problem too. Folders may be local or any `etils.epath` location
(gs://...); there no rename, fsync or append is assumed, and one object write is atomic.
"""
import concurrent.futures
import hashlib
import json
import os
from typing import Any

from etils import epath

from data import atomic

NAME = 'manifest.json'
THREADS = 4


class Different(Exception):
    """What was written reads back differently."""


def write(folder: epath.PathLike, extra: Any) -> None:
    """Reads every file below `folder`, twice, and writes its manifest, durably and atomically. `extra`: any JSON.

    Different, and no manifest, if the second reading differs, for which the files are dropped from the page cache.
    """
    root = epath.Path(folder)
    body = {'files': dict(zip(names := listing(root), _each(lambda name: _digest(root / name, sync=True), names))), 'extra': extra}
    for directory in {root.parent, *((root / name).parent for name in names)}:
        atomic.sync(directory)
    if problems := differences(root, body['files']):
        raise Different(summary(problems))
    atomic.write(root / NAME, render(body).encode())
    if (root / NAME).read_bytes() != render(body).encode():
        (root / NAME).unlink()
        raise Different(f'{NAME}: content changed')


def check(folder: epath.PathLike) -> list[str]:
    """The problems of a folder, one line each, sorted; [] = every byte is as it was written."""
    root = epath.Path(folder)
    try:
        files = read(root)['files']
    except (OSError, ValueError) as error:
        return [f'{NAME}: {_reason(error)}']
    return differences(root, files)


def intact(folder: epath.PathLike, name: str) -> bool:
    """Whether one file of a folder is as it was written; ValueError or OSError if the manifest is damaged or missing."""
    files = read(folder)['files']
    return name in files and not _compare(epath.Path(folder) / name, files[name])


def differences(root: epath.Path, files: dict[str, str]) -> list[str]:
    """How the files below `root` differ from {name: '<bytes> <sha256>'}, one line each, sorted."""
    found = set(listing(root))
    lines = dict(zip(files, _each(lambda name: _compare(root / name, files[name]), files)))
    lines |= {name: 'not in the manifest' for name in found - files.keys()}
    return sorted(f'{name}: {line}' for name, line in lines.items() if line)


def read(folder: epath.PathLike) -> dict:
    """{'files': {name: '<bytes> <sha256>'}, 'extra': ...} of a folder. ValueError if the manifest was changed."""
    raw = (epath.Path(folder) / NAME).read_bytes()
    try:
        body = json.loads(raw)
        del body['sha256']
        same = render(body).encode() == raw
    except (ValueError, TypeError, KeyError, RecursionError):
        same = False
    if not same:
        raise ValueError('content changed')
    return body


def render(body: dict) -> str:
    """The canonical text of a manifest: sorted, indented JSON that holds the SHA-256 of itself without that line."""
    digest = hashlib.sha256(json.dumps(body, indent=1, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, 'sha256': digest}, indent=1, sort_keys=True) + '\n'


def summary(problems: list[str]) -> str:
    """The first problem, and how many more there are."""
    return problems[0] + (f' (and {len(problems) - 1} more)' if len(problems) > 1 else '')


def listing(root: epath.Path) -> list[str]:
    """Relative names, with '/', of every file below `root` but the manifest."""
    names, folders = [], ['']
    while folders:
        prefix = folders.pop()
        for entry in (root / prefix if prefix else root).iterdir():
            (folders if entry.is_dir() else names).append(f'{prefix}/{entry.name}' if prefix else entry.name)
    return sorted(name for name in names if name != NAME)


def _compare(file, expected):
    try:
        if not file.exists():
            return 'missing'
        size, (expected_size, expected_digest) = file.stat().length, expected.split()
        if size != int(expected_size):
            return f'{size:,} bytes instead of {int(expected_size):,}'
        digest = _digest(file).split()[1]
        return digest != expected_digest and f'content changed (sha256 {digest[:12]} instead of {expected_digest[:12]})'
    except OSError as error:
        return _reason(error)


def _digest(file, sync=False):
    """'<bytes> <sha256>' of a file; `sync`: make it durable, and drop it from the page cache, so that the next read is from disk."""
    with file.open('rb') as stream:
        if sync and atomic.local(file):
            os.fsync(stream.fileno())
            if hasattr(os, 'posix_fadvise'):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        digest, size = hashlib.file_digest(stream, 'sha256').hexdigest(), stream.tell()
        if sync and atomic.local(file) and hasattr(os, 'posix_fadvise'):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return f'{size} {digest}'


def _each(function, names):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, names))


def _reason(error):
    if isinstance(error, FileNotFoundError):
        return 'missing'
    return f'unreadable ({error.strerror or error})' if isinstance(error, OSError) else str(error)
