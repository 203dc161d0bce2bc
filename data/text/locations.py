"""Which files a name means: a file, a folder, a glob, several of them with commas between, on this machine or on gs:// and the like."""
import fnmatch
import os
import pathlib
import re
from typing import Any, Iterator

from data import errors, places
from data.text import files, formats

MAGIC = re.compile(r'[*?[]')


def find(spec: str, format: str | None = None) -> tuple[list, list[str]]:
    """(the paths of the files that `spec` names, each real file once; lines for the user).

    A path that exists is taken as it is written, whatever signs are in it; else it is a glob, in which ** crosses folders and the name of a
    folder that exists stands for itself; else names with commas between. A folder means all its files of known endings, or all of them when
    `format` is set. Names keep their order; the files of one are sorted. DataError when a name means nothing.
    """
    names, found, left = [spec.strip() if '://' in spec else spec], {}, []
    with files.reading(spec):
        if ',' in spec and not _matches(spec):
            names = [name.strip() for name in spec.split(',') if name.strip()] or [spec]
        for name in names:
            inside, other = _files(name, format)
            left += other
            for file in inside:
                found.setdefault(str(file) if '://' in name else os.stat(file)[1:3], file)  # the inode and its device
    found, notices = list(found.values()), []
    if len(found) > 1 or [str(file) for file in found] != [str(places.path(spec))]:
        notices = [f'{spec}: {len(found):,} files, {found[0]} to {found[-1]}' if len(found) > 1 else f'{spec}: 1 file, {found[0]}']
    if left:
        notices.append(f'{spec}: left out {len(left):,} of other endings, such as {left[0]}; data.format takes them all')
    return found, notices


def _matches(name):
    """The paths of a name that is a path or a glob, sorted."""
    location = places.path(name)
    if '://' not in name:
        return sorted(_expanded(pathlib.Path(location.anchor), location.relative_to(location.anchor).parts))
    try:
        if location.exists():
            return [location]
        head = MAGIC.split(name)[0].rpartition('/')[0]
        return sorted(places.path(head).glob(name[len(head) + 1:])) if MAGIC.search(name) else []
    except Exception as error:  # its type depends on the package
        raise errors.DataError(f'{name}: expected a location that can be read, got {error}') from error


def _files(name, format):
    """(the files that one name means, sorted; those of a folder that are left out)."""
    found, left = _matches(name) if name.strip(', ') else [], []
    if found == [places.path(name)] and found[0].is_dir():
        inside = [file for folder in _folders(found[0]) for file in map(folder.joinpath, _names(folder)) if not file.is_dir()]
        found = sorted(file for file in inside if format or formats.of(file.name)[0])
        left = sorted(set(inside) - set(found))
        if not found:
            got = f'others, such as {left[0]}' if left else 'none'
            raise errors.DataError(f'{name}: expected a folder of text files, got {got}; set data.format where they have no ending')
    elif not found and not MAGIC.search(name):
        raise errors.DataError(f'{name}: expected a file, got none; check data.train, data.eval')
    found = [file for file in found if not file.is_dir()]
    if not found:
        brackets = '; [abc] stands for one of the letters in it: a bracket is written [[]' * ('[' in name)
        raise errors.DataError(f'{name}: expected files that match, got none; quote the pattern, ** crosses folders{brackets}')
    for file in found:
        if '://' not in str(file) and os.path.islink(file) and not file.exists():
            raise errors.DataError(f'{file}: expected a file, got a dangling link, to {os.readlink(file)}; mend or delete it')
        if file.exists() and not file.is_file():
            raise errors.DataError(f'{file}: expected a file, got a pipe or a device, which is read only once; write it to a file first')
    return found, left


def _expanded(folder, parts) -> Iterator[Any]:
    """The paths below `folder` that the parts of a glob mean."""
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if os.path.lexists(folder / part):
        yield from _expanded(folder / part, rest)
    elif part == '**':
        for inner in _folders(folder):
            yield from _expanded(inner, rest or ('*',))
    elif MAGIC.search(part):
        for name in fnmatch.filter(_names(folder, part.startswith('.')), part):
            yield from _expanded(folder / name, rest)


def _folders(folder) -> Iterator[Any]:
    """A folder and those inside it, sorted, links too, but no real folder twice: a link to a folder above it has no end."""
    waiting, seen = [folder], set()
    while waiting:
        folder = waiting.pop()
        real = str(folder) if '://' in str(folder) else os.path.realpath(folder)
        if real not in seen:
            seen.add(real)
            yield folder
            waiting += [inner for inner in map(folder.joinpath, reversed(_names(folder))) if inner.is_dir()]


def _names(folder, hidden=False):
    """The sorted names in a folder; [] of what is none."""
    try:
        return sorted(inside.name for inside in folder.iterdir() if hidden or not inside.name.startswith('.'))
    except (NotADirectoryError, FileNotFoundError):
        return []
