"""Documents in an open file, one reader a format. Each yields texts, decoded with `surrogateescape`; encodings.documents checks them.

Files are streamed: one line of JSON or one row of a table is the most in memory, and a text longer than LONGEST characters becomes several
documents.
"""
import csv
import io
import itertools
import json
from typing import Any, BinaryIO, Callable, Iterator

from data import errors

LONGEST = 1 << 22   # characters of a document; longer ones are cut after a line
PAIRED = 'an objective that pairs documents may pair these'
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


def text(stream: BinaryIO, where: str, documents: str = 'file', notice: Callable = print) -> Iterator[str]:
    """A text file. documents: 'file', one document; 'line', one a line; 'blank_line', blank lines between them. In the last two, empty ones
    are none and the line break at the end of one is not part of it."""
    lines = io.TextIOWrapper(stream, 'utf-8', 'surrogateescape', newline='')
    if documents == 'file':
        yield from _parts(lines, where, notice)
        return
    found, size, cuts = [], 0, 0
    for line in itertools.chain(iter(lambda: lines.readline(LONGEST), ''), ['']):
        line = line.removeprefix('\ufeff')
        blank = not line or line.isspace()
        if found and (blank or documents == 'line' or size + len(line) > LONGEST):
            cuts += not blank and (documents == 'blank_line' or found[-1][-1] not in '\r\n')
            yield ''.join(found).rstrip('\r\n')
            found, size = [], 0
        if not blank:
            found.append(line)
            size += len(line)
    if cuts:
        notice(f'{where}: documents of more than {LONGEST:,} characters, cut {errors.counted(cuts, "time")}; {PAIRED}')


def _parts(lines, where, notice):
    """A document as it is read, `cut`."""
    rest, count = '', 1
    while block := lines.read(LONGEST):
        *ready, rest = cut(rest + block)
        yield from ready
        count += len(ready)
    yield rest
    if count > 1:
        notice(f'{where}: more than {LONGEST:,} characters, read as {count:,} documents; {PAIRED}')


def lines(stream: BinaryIO, where: str, field: str, notice: Callable = print) -> Iterator[str]:
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
            document = io.BytesIO(document.encode('latin-1'))
            yield from _parts(io.TextIOWrapper(document, 'utf-8', 'surrogateescape', newline=''), f'{where}:{number}', notice)
        else:
            yield document
        del document


def array(stream: BinaryIO, where: str, field: str, notice: Callable = print) -> Iterator[str]:
    """A JSON array of objects, or else JSON lines."""
    if stream.peek(1024).lstrip(MARK + b' \t\r\n')[:1] != b'[':
        yield from lines(stream, where, field, notice)
        return
    for number, row in enumerate(_json(stream.read().decode('utf-8-sig', 'surrogateescape'), where), 1):
        yield value(row, field, f'{where}, row {number}')


def table(stream: BinaryIO, where: str, field: str, format: str, notice: Callable = print) -> Iterator[str]:
    """Comma- or tab-separated values with a header, quoted as RFC 4180 says."""
    csv.field_size_limit(CELL)
    lines = io.TextIOWrapper(stream, 'utf-8', 'surrogateescape', newline='')
    delimiter, swallowed = DELIMITERS[format], []
    rows = csv.reader((line.removeprefix('\ufeff') for line in lines), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        last = rows.line_num
        _check_header(header, where, field, delimiter)
        for row in rows:
            if len(row) != len(header) and row:
                raise errors.DataError(f'{where}:{rows.line_num}: expected {errors.counted(len(header), "cell")} as in the header, got '
                                       f'{len(row)}; quote cells that contain {delimiter!r}, mend or delete the row')
            if format == 'tsv' and rows.line_num > last + 1 and any(delimiter in cell and '\n' in cell for cell in row):
                swallowed.append(last + 1)
            last = rows.line_num
            if row:
                yield value(dict(zip(header, row)), field, f'{where}:{last}')
    except csv.Error as error:
        raise errors.DataError(f'{where}:{rows.line_num}: expected cells separated by {delimiter!r}, a cell with quotation marks in '
                               f'quotation marks, got {error}; mend or delete the row') from error
    if swallowed and format == 'tsv':
        notice(f'{where}:{swallowed[0]}: a cell in quotation marks has tabs and line breaks in it ({len(swallowed):,} such in the file); '
               'if these are rows of their own, write "" for each quotation mark, and the cell in two more')


def _check_header(header, where, field, delimiter):
    """DataError for a column that is there twice, or for one cell with the delimiters of another format."""
    if header.count(field) > 1:
        raise errors.DataError(f'{where}: expected one column {field!r}, got {header.count(field)}; rename the others')
    other = next((sign for sign in '\t;|,' if sign in header[0]), None) if len(header) == 1 and field not in header else None
    if other:
        named = {sign: name for name, sign in DELIMITERS.items()}.get(other)
        advice = f'rename it to .{named}, or set data.format={named}' if named else (
            f"write it again with {delimiter!r}, for example csvformat -d '{other}' of csvkit")
        raise errors.DataError(f'{where}: expected cells separated by {delimiter!r}, got one cell with {other!r} as the header; {advice}')


def parquet(stream: BinaryIO, where: str, field: str) -> Iterator[str]:
    """A column of a parquet file, or a field of one."""
    try:
        import pyarrow
        from pyarrow import parquet as files
    except ImportError as error:
        raise errors.DataError(f"{where}: expected pyarrow, which reads parquet, got none; pip install 'pretext[parquet]'") from error
    try:
        file = files.ParquetFile(stream, page_checksum_verification=True)
        names = file.schema_arrow.names
        top = next((name for name in (field, *_prefixes(field)) if name in names), None)
        if top is None:
            value(dict.fromkeys(names), field, where)
        rows = (row for batch in file.iter_batches(batch_size=256, columns=[top]) for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            yield value(row, field, f'{where}, row {number}')
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # OSError: also of damaged pages
        raise errors.DataError(f'{where}: expected a parquet file, got {" ".join(str(error).split())}; write it again') from error


def value(row: Any, field: str, where: str) -> str:
    """The text of a column of a row, or by a path with dots of what is inside one. DataError lists the columns there are."""
    if not isinstance(row, dict):
        raise errors.DataError(f'{where}: expected an object with a field {field!r}, got {_a(row)}')
    try:
        found = _inside(row, field)
    except KeyError as error:
        names = ', '.join(map(repr, sorted(_paths(row)))) or 'none'
        raise errors.DataError(f'{where}: expected a field {field!r}, got {names}{error.args[0]}; set data.field') from None
    if isinstance(found, bytes):
        found = found.decode('utf-8', 'surrogateescape')
    if not isinstance(found, (str, type(None))):
        raise errors.DataError(f'{where}: expected text in field {field!r}, got {_a(found)}; set data.field')
    return found or ''


def _inside(row, field, above=''):
    """row[field]; without such a key what the rest of the path is in the value of its longest beginning that is one. KeyError: where the
    path ended."""
    if field in row:
        return row[field]
    known = [name for name in _prefixes(field) if name in row]
    for name in known:
        if row[name] is None or isinstance(row[name], dict):
            return None if row[name] is None else _inside(row[name], field[len(name) + 1:], f'{above}{name}.')
    if known:
        raise KeyError(f', where {above + known[0]!r} is {_a(row[known[0]])}')
    raise KeyError(above and f', where {above[:-1]!r} has no {field!r}')


def _prefixes(field):
    """'a.b', 'a' of 'a.b.c'."""
    while '.' in field:
        field = field.rpartition('.')[0]
        yield field


def _paths(row):
    """The keys of a row; of what holds an object, the paths into it."""
    for name, inside in row.items():
        yield from (f'{name}.{path}' for path in _paths(inside)) if isinstance(inside, dict) and inside else [name]


def _a(thing):
    return KINDS.get(type(thing), type(thing).__name__)


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
