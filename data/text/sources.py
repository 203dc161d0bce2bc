"""Where text comes from: bundled corpora, files and globs, TensorFlow Datasets; every one a re-iterable of documents.

`open(spec, field)` reads nothing but the files' names; iterating streams. A source has a `fingerprint` of its content
(not of where it lies), counts what it had to mend or skip, and can be split by characters as nanoGPT does.
"""
import difflib
import hashlib
import json
import pathlib
import re

from data import errors
from data.text import files, tfds

DataError = errors.DataError
CORPORA = pathlib.Path(__file__).parent.parent / 'corpora'


def open(spec, field='text'):
    """Source of the documents that `spec` names; `field` is the column of JSON, parquet and TFDS rows.

    `bundled:NAME[,NAME]` | `tfds:NAME[/CONFIG]:SPLIT[@FOLDER]` | a file or glob, also gs:// and the like
    (.txt .jsonl .json .parquet, .gz .xz). DataError when there is no such thing.
    """
    scheme, colon, rest = spec.partition(':')
    address = rest.startswith('//')
    if scheme == 'bundled' and colon:
        found = [bundled(name) for name in rest.split(',')]
    elif scheme == 'tfds' and colon:
        return tfds.open(rest, field, Source)
    elif re.fullmatch(r'[A-Za-z][\w+.-]+', scheme) and colon and not address and not files.path(spec).exists():
        raise DataError(f"{spec}: expected bundled:NAME, tfds:NAME:SPLIT or a file, got '{scheme}:'"
                        f'{_suggest(scheme, ("bundled", "tfds"), ":")}')
    else:
        found = files.find(spec)
    for file in found:
        files.kind(file)
    return Source(spec, lambda: (document for file in found for document in files.read(file, field)),
                  lambda: [field, [[files.kind(file), files.digest(file)] for file in found]])


def bundled(name):
    """The file of a bundled corpus."""
    names = sorted(file.name.partition('.')[0] for file in CORPORA.glob('*.xz'))
    if name not in names:
        raise DataError(f'bundled:{name}: expected one of {", ".join(names)}, got {name!r}{_suggest(name, names)}')
    return CORPORA / f'{name}.jsonl.xz'


def _suggest(word, words, end=''):
    near = difflib.get_close_matches(word, words, 1)
    return f'. Did you mean {near[0]}{end}?' if near else ''


class Source:
    """Documents (str, never empty) that can be read any number of times.

    read: () -> iterator of (text, number of bad bytes replaced).
    identity: () -> JSON values that determine the content.
    `replaced`, `empty` and `documents` count the last complete pass.
    """

    def __init__(self, name, read, identity):
        self.name, self.read, self.identity = name, read, identity
        self.replaced = self.empty = self.documents = 0

    def __iter__(self):
        replaced = empty = documents = 0
        for text, bad in self.read():
            replaced += bad
            if not text or text.isspace():
                empty += 1
                continue
            for part in files.cut(text):
                documents += 1
                yield part
        self.replaced, self.empty, self.documents = replaced, empty, documents
        if not documents:
            raise DataError(f'{self.name}: expected text, got no document' + (f' but {empty:,} empty' if empty else ''))

    @property
    def fingerprint(self):
        """sha256 of what the documents depend on: contents, order and column; the same after the files were moved."""
        if not hasattr(self, '_fingerprint'):
            self._fingerprint = hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()
        return self._fingerprint

    @property
    def characters(self):
        """Characters of all documents (reads them once)."""
        if not hasattr(self, '_characters'):
            self._characters = sum(map(len, self))
        return self._characters

    @property
    def notices(self):
        """What the user should know after a pass: list of lines."""
        lines = []
        if self.replaced:
            lines.append(f'{self.name}: {self.replaced:,} bytes were no UTF-8 and became U+FFFD')
        if self.empty:
            lines.append(f'{self.name}: skipped {self.empty:,} empty documents')
        return lines


class Part(Source):
    """One side of `split`."""

    def __init__(self, source, fraction, part):
        share = f'{"all but " * (part == "train")}the last {100 * fraction:g}%'
        super().__init__(f'{source.name} ({share})', self._read, lambda: [source.fingerprint, 'split', fraction, part])
        self.source, self.fraction, self.part = source, fraction, part

    def _read(self):
        limit, seen = int(self.source.characters * (1 - self.fraction)), 0
        for text in self.source:
            here = min(max(limit - seen, 0), len(text))
            seen += len(text)
            side = text[:here] if self.part == 'train' else text[here:]
            if side:
                yield side, 0
            elif self.part == 'train':
                break

    @property
    def notices(self):
        return self.source.notices if self.part == 'train' else []  # once for the two


def split(source, fraction, part):
    """The first 1 - fraction of the characters (part='train') or the rest (part='eval'), as nanoGPT splits a file.

    The document on the border is cut in two; both sides are documents. Needs the number of characters: one more pass.
    """
    if not 0 < fraction < 1 or part not in ('train', 'eval'):
        raise DataError(f'data.eval_fraction: expected a number between 0 and 1, got {fraction}')
    return Part(source, fraction, part)
