"""Files of documents: opened, decompressed, checked and hashed while they are read."""
import bz2
import contextlib
import functools
import hashlib
import io
import lzma
import os
import pathlib
from typing import Any, Iterator
import zlib

from data import errors
from data.text import encodings, formats, readers, sentences


def digest(file: Any) -> str:
    """sha256 of the bytes."""
    with reading(file), file.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


class Content:
    """What a file holds. `digest` is its sha256; once known, another one is a DataError, so that what is read twice is the same bytes."""

    def __init__(self, path: Any):
        self.path = path

    @functools.cached_property
    def digest(self) -> str:
        return digest(self.path)

    def check(self, found: str | None = None) -> None:
        """DataError unless the digest `found`, or that of the bytes now, is the first one that was seen."""
        found = found or digest(self.path)
        if self.__dict__.setdefault('digest', found) != found:
            raise errors.DataError(f'{self.path}: expected the content that it had when it was first read, got another; '
                                   'leave the file as it is while it is read, and run again')


class File(Content):
    """A file whose documents an iterator gives, as (text, replaced) of encodings.documents. field: the column where a format has columns.
    format: of data/text/formats.py, None = by the ending; documents: of a text file. notices: lines for the user on what the last
    iterator read. DataError for an unknown ending."""

    def __init__(self, path: Any, field: str, format: str | None = None, documents: str = 'file'):
        super().__init__(path)
        named, self.compression = formats.of(path.name)
        self.field, self.documents, self.format, self.notices = field, documents, format or named, []
        if not self.format:
            known = ' '.join(ending for endings in formats.FORMATS.values() for ending in endings)
            raise errors.DataError(f'{path}: expected one of {known} (all but .parquet also with {" ".join(formats.COMPRESSIONS)}), got '
                                   f'{"".join(path.suffixes) or "no ending"}; set data.format, rename or convert it')

    @property
    def identity(self) -> list:
        """JSON values on which the documents depend."""
        name = self.path.name.lower().removesuffix(self.compression)
        documents = self.documents if self.format == 'text' else 'file'
        read = [] if (self.format, documents) == (formats.of(name)[0], 'file') else [self.format, documents]
        return [[pathlib.PurePosixPath(name).suffix, self.compression, *read], self.digest]

    @property
    def suggestion(self) -> str | None:
        """A line for the user where the ending of the file says another format, or a text file, one document by the settings, begins as if
        it were several."""
        if (named := formats.of(self.path.name)[0]) not in ('', self.format):
            return f'{self.path}: read as {self.format}, as data.format says; its ending says {named}'
        if (self.format, self.documents) != ('text', 'file'):
            return None
        with reading(self.path), self.path.open('rb') as raw:
            text = self._checked(raw, raw).read(encodings.SAMPLE).decode('utf-8', 'replace')
        return (f'{self.path}: one document, but it looks like one sentence a line with blank lines between documents; '
                'data.documents = blank_line reads it so') if sentences.separated(text) else None

    def _checked(self, raw, stream):
        """What the open file `raw` contains, decompressed and checked, read through `stream`."""
        size = None if self.compression or '://' in str(self.path) else os.fstat(raw.fileno()).st_size
        return io.BufferedReader(encodings.Checked(DECOMPRESSED[self.compression](stream), str(self.path), self.compression, size),
                                 encodings.SAMPLE)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        where, self.notices = str(self.path), []
        with reading(self.path), self.path.open('rb') as raw:
            if raw.read(len(encodings.POINTER)) == encodings.POINTER:
                raise errors.DataError(f'{where}: expected a file of text, got a Git LFS pointer to it; git lfs pull')
            raw.seek(0)
            if self.format == 'parquet':
                yield from encodings.documents(readers.parquet(raw, where, self.field), where)
                self.check()
                return
            hashed = _Hashed(raw)
            stream = self._checked(raw, hashed)
            if self.format == 'text':
                texts = readers.text(stream, where, self.documents, self.notices.append)
            elif self.format in readers.DELIMITERS:
                texts = readers.table(stream, where, self.field, self.format, self.notices.append)
            else:
                read = readers.array if self.format == 'json' else readers.lines
                texts = read(stream, where, self.field, self.notices.append)
            yield from encodings.documents(texts, where)
            self.check(hashed.digest.hexdigest())


class _Hashed(io.RawIOBase):
    """The bytes of a stream and their sha256."""

    def __init__(self, stream):
        self.stream, self.digest = stream, hashlib.sha256()

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self.stream.read(len(buffer))
        self.digest.update(data)
        buffer[:len(data)] = data
        return len(data)


class _Streams(io.RawIOBase):
    """What the compressed streams of a file contain, one after the other. EOFError where one is cut short or there is none, zlib.error for
    what is no stream, after another too. stream: () -> decompressor of one; padding: zero bytes may follow one, in multiples of this."""

    def __init__(self, file, stream, padding=0):
        self.file, self.stream, self.padding = file, stream, padding
        self.current, self.ready, self.rest = stream(), memoryview(b''), b''

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self.ready and (data := self._compressed()):
            try:
                self.ready = memoryview(self.current.decompress(data))
            except Exception as error:                 # its type depends on the compression
                raise zlib.error(str(error)) from error
            self.rest = self.current.unused_data
            self.current = None if self.current.eof else self.current
        count = min(len(buffer), len(self.ready))
        buffer[:count], self.ready = self.ready[:count], self.ready[count:]
        return count

    def _compressed(self):
        """The next bytes of a stream; b'' at the end of the file, if a stream ends there."""
        data, zeros = self.rest or self.file.read(BLOCK), 0
        if self.current and not data:
            raise EOFError
        while not self.current and self.padding and data.startswith(b'\0'):
            zeros += len(data) - len(data := data.lstrip(b'\0'))
            data = data or self.file.read(BLOCK)
        if zeros % (self.padding or 1):
            raise zlib.error(f'{zeros:,} zero bytes after a stream')
        self.current = self.current or data and self.stream()
        return data


def _zstandard():
    import zstandard
    return zstandard.ZstdDecompressor().decompressobj()


BLOCK = 1 << 13     # bytes that are decompressed at once: 128 MB may come of them, at worst
DECOMPRESSED = {'': io.BufferedReader, **{ending: functools.partial(_Streams, stream=stream, padding=padding)
                for ending, stream, padding in (('.gz', functools.partial(zlib.decompressobj, 31), 1), ('.xz', lzma.LZMADecompressor, 4),
                                                ('.bz2', bz2.BZ2Decompressor, 0), ('.zst', _zstandard, 0))}}


@contextlib.contextmanager
def reading(file: Any) -> Iterator[None]:
    """Errors of reading a damaged or forbidden file, as DataError."""
    try:
        yield
    except EOFError as error:
        raise errors.DataError(f'{file}: expected a whole compressed file, got one that is cut short; copy it again') from error
    except zlib.error as error:
        raise errors.DataError(f'{file}: expected a sound compressed file, got {error}; copy it again') from error
    except OSError as error:
        raise errors.DataError(f'{file}: expected a readable file, got {error.strerror or error}; '
                               'check its permissions and its disk') from error
