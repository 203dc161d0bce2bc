"""Where text comes from: bundled corpora, files, TensorFlow Datasets.

`open(spec)` reads only the files' names. The result, a Source, streams documents any number of times, has a fingerprint of its
content (not of its location), counts what it replaced or skipped, and can be split by characters as nanoGPT does.
"""
import difflib
import functools
import hashlib
import itertools
import json
import pathlib
import re
from typing import Any, Callable, Iterator

from data import errors, places
from data.text import files, locations, readers, tfds

TOLD = 5            # lines on single files, at most
CORPORA = pathlib.Path(__file__).parent.parent / 'corpora'


def open(spec: str, field: str = 'text', format: str | None = None, documents: str = 'file') -> 'Source':
    """Source of the documents that `spec` names; `field` is the column of JSON, CSV, parquet and TFDS rows.

    `bundled:NAME[,NAME]` | `tfds:NAME[/CONFIG]:SPLIT[@FOLDER]` | files, folders and globs (data/text/locations.py). format, documents: of
    files (data/text/formats.py); format None = by their endings. DataError when there is no such thing.
    """
    scheme, colon, rest = spec.partition(':')
    notices = []
    if scheme == 'bundled' and colon:
        found = [bundled(name) for name in dict.fromkeys(rest.split(','))]
    elif scheme == 'tfds' and colon:
        return tfds.open(rest, field, Source)
    elif re.fullmatch(r'[A-Za-z][\w+.-]+', scheme) and colon and not rest.startswith('//') and not places.path(spec).exists():
        raise errors.DataError(f"{spec}: expected bundled:NAME, tfds:NAME:SPLIT or a file, got '{scheme}:'"
                               f'{_suggest(scheme, ("bundled", "tfds"), ":")}')
    else:
        found, notices = locations.find(spec, format)
    opened = [files.File(path, field, format, documents) for path in found]

    def listing():
        suggestions = filter(None, (file.suggestion for file in opened[:10]))
        return [*notices, *itertools.islice(suggestions, 1)]

    def told():
        lines = [line for file in opened for line in file.notices]
        return lines[:TOLD] + [f'{spec}: {len(lines) - TOLD:,} more of such lines'] * (len(lines) > TOLD)

    return Source(spec, lambda: itertools.chain.from_iterable(opened), lambda: [field, [file.identity for file in opened]], listing, told)


def bundled(name: str) -> pathlib.Path:
    """The file of a bundled corpus."""
    names = sorted(file.name.partition('.')[0] for file in CORPORA.glob('*.xz'))
    if name not in names:
        raise errors.DataError(f'bundled:{name}: expected one of {", ".join(names)}, got {name!r}{_suggest(name, names)}')
    return CORPORA / f'{name}.jsonl.xz'


def _suggest(word, words, end=''):
    near = difflib.get_close_matches(word, words, 1)
    return f'. Did you mean {near[0]}{end}?' if near else ''


class Source:
    """Documents (str, never empty) that can be read any number of times. read: () -> iterator of (text, number of bad bytes replaced).
    identity: () -> JSON values that determine the content. listing: () -> lines for the user on what `name` means; told: () -> lines on
    what the last pass read. `replaced`, `empty` and `cut` count the last complete pass."""

    def __init__(self, name: str, read: Callable[[], Iterator[tuple[str, int]]], identity: Callable[[], Any],
                 listing: Callable[[], list[str]] = list, told: Callable[[], list[str]] = list):
        self.name, self.read, self.identity, self.listing, self.told = name, read, identity, listing, told
        self.replaced = self.empty = self.cut = 0

    def __iter__(self) -> Iterator[str]:
        replaced = empty = cut = documents = 0
        for text, bad in self.read():
            replaced += bad
            if not text or text.isspace():
                empty += 1
                continue
            cut += len(text) > readers.LONGEST
            for part in readers.cut(text):
                documents += 1
                yield part
        self.replaced, self.empty, self.cut = replaced, empty, cut
        if not documents:
            raise errors.DataError(f'{self.name}: expected text, got no document' + (f' but {empty:,} empty' if empty else ''))

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 of what the documents depend on: contents, order and column; the same after the files were moved."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def characters(self) -> int:
        """Characters of all documents (reads them once)."""
        return sum(map(len, self))

    @property
    def notices(self) -> list[str]:
        """Lines for the user after a pass."""
        lines = [(self.replaced, 'damaged character', ', bytes or escapes that are no UTF-8, now U+FFFD'),
                 (self.empty, 'empty document', ', skipped'),
                 (self.cut, 'text', f' of more than {readers.LONGEST:,} characters, cut into documents; {readers.PAIRED}')]
        return [*(f'{self.name}: {errors.counted(count, noun)}{what}' for count, noun, what in lines if count), *self.told()]


class Part(Source):
    """The first 1 - fraction of the characters (part='train') or the rest (part='eval'), as nanoGPT splits a file. The document on the
    border is cut in two. Counting the characters takes one more pass; both read the source to its end, which checks its content."""

    def __init__(self, source: Source, fraction: float, part: str):
        share = f'{"all but " * (part == "train")}the last {100 * fraction:g}%'
        super().__init__(f'{source.name} ({share})', self._read, lambda: [source.fingerprint, 'split', fraction, part])
        self.source, self.fraction, self.train = source, fraction, part == 'train'

    def _read(self):
        limit, seen = int(self.source.characters * (1 - self.fraction)), 0
        for text in self.source:
            here = min(max(limit - seen, 0), len(text))
            seen += len(text)
            side = text[:here] if self.train else text[here:]
            if side:
                yield side, 0

    @property
    def notices(self) -> list[str]:
        return self.source.notices if self.train else []  # once for the two
