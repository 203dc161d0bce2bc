"""Documents from files: plain text, JSON lines, JSON arrays and parquet, plain or compressed (.gz, .xz).

Every reader yields (text, replaced), where `replaced` counts the bytes that were not UTF-8 and became U+FFFD. Files are streamed: one line
of JSON is the most in memory, and a text longer than LONGEST characters becomes several documents.
"""
import contextlib
import glob
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import re
from typing import Any, Iterator
import zlib

from data import errors

LONGEST = 1 << 22   # characters of a document; longer ones are cut after a line
TEXT, LINES, PARQUET = ('.txt', '.text', '.md'), ('.jsonl', '.json', '.ndjson'), ('.parquet',)
COMPRESSED = {'.gz': gzip.open, '.xz': lzma.open}
SURROGATE = re.compile('[\ud800-\udfff]')
KINDS = {list: 'a list', dict: 'an object', bool: 'true or false', int: 'a number', float: 'a number', str: 'a string', type(None): 'null'}


def path(location: str | os.PathLike) -> Any:
    """pathlib.Path, or etils.epath.Path for gs:// and the like (importing it costs 0.1 s: only when needed)."""
    if '://' in str(location):
        from etils import epath
        return epath.Path(location)
    return pathlib.Path(location).expanduser()


def find(pattern: str) -> list:
    """The paths of the files that a location or glob names, sorted. DataError when there are none."""
    is_glob, location = any(sign in pattern for sign in '*?['), path(pattern)
    if location.exists() and (is_glob or not location.is_dir()):
        return [location]
    if not is_glob:
        got = f'a folder; name its files, {pattern.rstrip("/")}/*.txt' if location.exists() else 'none; check data.train, data.eval'
        raise errors.DataError(f'{pattern}: expected a file, got {got}')
    if '://' in pattern:
        head = re.split(r'[*?\[]', pattern)[0].rpartition('/')[0]
        found = path(head).glob(pattern[len(head) + 1:])
    else:
        found = map(pathlib.Path, glob.glob(str(location), recursive=True))
    if files := sorted(file for file in found if not file.is_dir()):
        return files
    raise errors.DataError(f'{pattern}: expected files that match, got none; quote the pattern, ** crosses folders')


def kind(file: Any) -> tuple[str, str]:
    """(.txt or .jsonl or .parquet ..., compression or ''); DataError for any other ending."""
    suffixes = [suffix.lower() for suffix in pathlib.PurePosixPath(file.name).suffixes] or ['']
    compression = suffixes.pop() if suffixes[-1] in COMPRESSED else ''
    suffix = suffixes[-1] if suffixes else ''
    if suffix not in TEXT + LINES + PARQUET or compression and suffix in PARQUET:
        raise errors.DataError(f'{file}: expected one of {" ".join(TEXT + LINES + PARQUET)} (text and JSON also with '
                               f'{" ".join(COMPRESSED)}), got {"".join(file.suffixes) or "no ending"}; rename or convert it')
    return suffix, compression


def digest(file: Any) -> str:
    """sha256 of the bytes."""
    with _errors(file), file.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def read(file: Any, field: str) -> Iterator[tuple[str, int]]:
    """(text, replaced) of every document of one file."""
    suffix, compression = kind(file)
    with _errors(file), file.open('rb') as raw:
        stream = COMPRESSED[compression](raw) if compression else raw
        if suffix in PARQUET:
            yield from _parquet(file, raw, field)
        elif suffix in TEXT:
            yield from _text(stream)
        elif suffix == '.json' and _is_array(stream):
            for number, row in enumerate(_json(stream.read().decode('utf-8-sig', 'surrogateescape'), file), 1):
                yield value(row, field, f'{file}, row {number}')
        else:
            yield from _lines(file, stream, field)


def cut(text: str) -> Iterator[str]:
    """`text` in parts of at most LONGEST characters, cut after a line where there is one."""
    start = 0
    while len(text) - start > LONGEST:
        end = text.rfind('\n', start, start + LONGEST) + 1 or start + LONGEST
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def value(row: Any, field: str, where: str) -> tuple[str, int]:
    """(text, replaced) of a column of a row. DataError lists the columns there are."""
    if not isinstance(row, dict):
        raise errors.DataError(f'{where}: expected an object with a field {field!r}, got {_a(row)}')
    if field not in row:
        names = ', '.join(map(repr, sorted(row))) or 'none'
        raise errors.DataError(f'{where}: expected a field {field!r}, got {names}; set data.field')
    text = row[field]
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'surrogateescape')
    if not isinstance(text, (str, type(None))):
        raise errors.DataError(f'{where}: expected text in field {field!r}, got {_a(text)}; set data.field')
    return _clean(text or '')


def _a(thing):
    return KINDS.get(type(thing), type(thing).__name__)


def _clean(text):
    """(text, replaced) of text that was decoded with `surrogateescape`."""
    return (text, 0) if text.isascii() else SURROGATE.subn('\ufffd', text)


def _text(stream):
    """One document a file, without a byte order mark at its start."""
    text, rest = io.TextIOWrapper(stream, 'utf-8-sig', 'surrogateescape', newline=''), ''
    while block := text.read(LONGEST):
        *ready, rest = cut(rest + block)
        yield from map(_clean, ready)
    yield _clean(rest)


def _lines(file, stream, field):
    number = 0
    while line := stream.readline():
        number += 1
        # Python needs up to four bytes a character: a huge line is parsed as Latin-1, ambiguous only with escapes.
        narrow = len(line) > LONGEST and field.isascii() and b'\\u' not in line
        text = line.decode('latin-1' if narrow else 'utf-8-sig' if number == 1 else 'utf-8', 'surrogateescape')
        del line  # a line may be 100 MB: never hold it twice
        if text.isspace() or not text:
            continue
        row = _json(text, file, number)
        del text
        document = value(row, field, f'{file}:{number}')
        del row
        if narrow:
            document = io.BytesIO(document[0].encode('latin-1'))
            yield from _text(document)
        else:
            yield document
        del document


def _json(text, file, number=None):
    """The value of a line (its number), or of a file with an array."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, got = error.lineno, f'{error.msg} at column {error.colno}, near {text[max(0, error.pos - 20):error.pos + 20]!r}'
    except (ValueError, RecursionError) as error:
        line, got = 1, 'nesting too deep' if isinstance(error, RecursionError) else str(error)
    if number:
        raise errors.DataError(f'{file}:{number}: expected a JSON object on one line, got {got}; mend or delete it')
    raise errors.DataError(f'{file}:{line}: expected a JSON array, got {got}')


def _is_array(stream):
    first = stream.read(1024).lstrip(b'\xef\xbb\xbf \t\r\n')[:1]
    stream.seek(0)
    return first == b'['


def _parquet(file, raw, field):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise errors.DataError(f"{file}: expected pyarrow, which reads parquet, got none; pip install 'pretext[parquet]'") from error
    try:
        table = parquet.ParquetFile(raw)
        value(dict.fromkeys(table.schema_arrow.names), field, str(file))
        rows = (row for batch in table.iter_batches(batch_size=256, columns=[field]) for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            yield value(row, field, f'{file}, row {number}')
    except pyarrow.ArrowException as error:
        raise errors.DataError(f'{file}: expected a parquet file, got {error}; write it again') from error


@contextlib.contextmanager
def _errors(file):
    """Errors of reading a damaged or forbidden file, as DataError."""
    try:
        yield
    except EOFError as error:
        raise errors.DataError(f'{file}: expected a whole compressed file, got one that is cut short; copy it again') from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise errors.DataError(f'{file}: expected a sound compressed file, got {error}; copy it again') from error
    except OSError as error:
        raise errors.DataError(f'{file}: expected a readable file, got {error.strerror or error}') from error
