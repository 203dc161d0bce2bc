"""Documents in an open file, one reader a format. Each yields (text, replaced): `replaced` counts bytes that were no UTF-8, now U+FFFD.

Files are streamed: one line of JSON or one row of a table is the most in memory, and a text longer than LONGEST characters becomes several
documents.
"""
import csv
import io
import json
from typing import Any, BinaryIO, Iterator

from data import errors
from data.text import encodings

LONGEST = 1 << 22   # characters of a document; longer ones are cut after a line
CELL = 1 << 27      # characters of a cell of a table: a quotation mark that nothing closes ends there
MARK = b'\xef\xbb\xbf'
DELIMITERS = {'csv': ',', 'tsv': '\t'}
KINDS = {list: 'a list', dict: 'an object', bool: 'true or false', int: 'a number', float: 'a number', str: 'a string', type(None): 'null'}


def cut(text: str) -> Iterator[str]:
    """`text` in parts of at most LONGEST characters, cut after a line where there is one."""
    start = 0
    while len(text) - start > LONGEST:
        end = text.rfind('\n', start, start + LONGEST) + 1 or start + LONGEST
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def text(stream: BinaryIO, documents: str = 'file') -> Iterator[tuple[str, int]]:
    """A text file, without a byte order mark at its start. documents: 'file', one document; 'line', one a line; 'blank_line', blank lines
    between them. In the last two, empty ones are none and the line break at the end of one is not part of it."""
    lines = io.TextIOWrapper(stream, 'utf-8-sig', 'surrogateescape', newline='')
    if documents == 'file':
        yield from _parts(lines)
        return
    found, size = [], 0
    for line in iter(lambda: lines.readline(LONGEST), ''):
        if not line.isspace():
            found.append(line)
            size += len(line)
        if found and (line.isspace() or documents == 'line'):
            yield _clean(''.join(found).rstrip('\r\n'))
            found, size = [], 0
        elif size >= LONGEST:
            yield _clean(''.join(found))
            found, size = [], 0
    if found:
        yield _clean(''.join(found).rstrip('\r\n'))


def _parts(lines):
    """A document as it is read, `cut`."""
    rest = ''
    while block := lines.read(LONGEST):
        *ready, rest = cut(rest + block)
        yield from map(_clean, ready)
    yield _clean(rest)


def lines(stream: BinaryIO, where: str, field: str) -> Iterator[tuple[str, int]]:
    """JSON objects, one a line; a byte order mark may be before each."""
    number = 0
    while line := stream.readline():
        number += 1
        if line.startswith(MARK):
            line = line[len(MARK):]
        # Python needs up to four bytes a character: a huge line is parsed as Latin-1, ambiguous only with escapes.
        narrow = len(line) > LONGEST and field.isascii() and b'\\u' not in line
        row = line.decode('latin-1' if narrow else 'utf-8', 'surrogateescape')
        del line  # a line may be 100 MB: never hold it twice
        if row.isspace() or not row:
            continue
        row = _json(row, where, number, narrow)
        document = value(row, field, f'{where}:{number}')
        del row
        if narrow:
            document = io.BytesIO(document[0].encode('latin-1'))
            yield from _parts(io.TextIOWrapper(document, 'utf-8', 'surrogateescape', newline=''))
        else:
            yield document
        del document


def array(stream: BinaryIO, where: str, field: str) -> Iterator[tuple[str, int]]:
    """A JSON array of objects, or else JSON lines."""
    if stream.peek(1024).lstrip(MARK + b' \t\r\n')[:1] != b'[':
        yield from lines(stream, where, field)
        return
    for number, row in enumerate(_json(stream.read().decode('utf-8-sig', 'surrogateescape'), where), 1):
        yield value(row, field, f'{where}, row {number}')


def table(stream: BinaryIO, where: str, field: str, delimiter: str) -> Iterator[tuple[str, int]]:
    """Comma- or tab-separated values with a header, quoted as RFC 4180 says."""
    csv.field_size_limit(CELL)
    rows = csv.reader(io.TextIOWrapper(stream, 'utf-8-sig', 'surrogateescape', newline=''), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        if header.count(field) > 1:
            raise errors.DataError(f'{where}: expected one column {field!r}, got {header.count(field)}; rename the others')
        for row in rows:
            if len(row) != len(header) and row:
                raise errors.DataError(f'{where}:{rows.line_num}: expected {len(header)} cells as in the header, got {len(row)}; '
                                       f'quote cells that contain {delimiter!r}, mend or delete the row')
            if row:
                yield value(dict(zip(header, row)), field, f'{where}:{rows.line_num}')
    except csv.Error as error:
        raise errors.DataError(f'{where}:{rows.line_num}: expected cells separated by {delimiter!r}, a cell with quotation marks in '
                               f'quotation marks, got {error}; mend or delete the row') from error


def parquet(stream: BinaryIO, where: str, field: str) -> Iterator[tuple[str, int]]:
    """A column of a parquet file, or a field of one."""
    try:
        import pyarrow
        from pyarrow import parquet as files
    except ImportError as error:
        raise errors.DataError(f"{where}: expected pyarrow, which reads parquet, got none; pip install 'pretext[parquet]'") from error
    try:
        file = files.ParquetFile(stream)
        names = file.schema_arrow.names
        top = next((name for name in (field, *_prefixes(field)) if name in names), None)
        if top is None:
            value(dict.fromkeys(names), field, where)
        rows = (row for batch in file.iter_batches(batch_size=256, columns=[top]) for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            yield value(row, field, f'{where}, row {number}')
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # OSError: also of damaged pages
        raise errors.DataError(f'{where}: expected a parquet file, got {" ".join(str(error).split())}; write it again') from error


def value(row: Any, field: str, where: str) -> tuple[str, int]:
    """(text, replaced) of a column of a row, or by a path with dots of what is inside one. DataError lists the columns there are."""
    if not isinstance(row, dict):
        raise errors.DataError(f'{where}: expected an object with a field {field!r}, got {_a(row)}')
    try:
        found = _inside(row, field)
    except KeyError:
        names = ', '.join(map(repr, sorted(_paths(row)))) or 'none'
        raise errors.DataError(f'{where}: expected a field {field!r}, got {names}; set data.field') from None
    if isinstance(found, bytes):
        found = found.decode('utf-8', 'surrogateescape')
    if not isinstance(found, (str, type(None))):
        raise errors.DataError(f'{where}: expected text in field {field!r}, got {_a(found)}; set data.field')
    return _clean(found or '')


def _inside(row, field):
    """row[field]; without such a key what the rest of the path is in the value of its longest beginning that is one."""
    if field in row:
        return row[field]
    for name in _prefixes(field):
        if name in row and (row[name] is None or isinstance(row[name], dict)):
            return row[name] and _inside(row[name], field[len(name) + 1:])
    raise KeyError(field)


def _prefixes(field):
    """'a.b', 'a' of 'a.b.c'."""
    while '.' in field:
        field = field.rpartition('.')[0]
        yield field


def _paths(row):
    """The keys of a row; of one that holds an object, the paths into it."""
    for name, inside in row.items():
        yield from (f'{name}.{key}' for key in inside) if isinstance(inside, dict) and inside else [name]


def _a(thing):
    return KINDS.get(type(thing), type(thing).__name__)


def _clean(text):
    """(text, replaced) of text that was decoded with `surrogateescape`."""
    return (text, 0) if text.isascii() else encodings.SURROGATE.subn('\ufffd', text)


def _json(text, where, number=None, narrow=False):
    """The value of a line (its number), or of a file with an array. narrow: the text is UTF-8 that was read as Latin-1."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        before, after = text[:error.pos], text[error.pos:]
        if narrow:
            before, after = (part.encode('latin-1').decode('utf-8', 'surrogateescape') for part in (before, after))
        line, column = error.lineno, len(before) - before.rfind('\n')
        got = f'{error.msg} at column {column}, near {before[-20:] + after[:20]!r}'
    except (ValueError, RecursionError) as error:
        line, got = 1, 'nesting too deep' if isinstance(error, RecursionError) else str(error)
    if number:
        raise errors.DataError(f'{where}:{number}: expected a JSON object on one line, got {got}; mend or delete it')
    raise errors.DataError(f'{where}:{line}: expected a JSON array, got {got}')
