"""Recognises what is no UTF-8: other encodings, compressed files and other binaries under the name of a text file."""
import codecs
import io
import re
import shlex
from typing import Any, Iterable, Iterator

from data import errors

MOST = 0.01         # share of the bytes of a file that may be no UTF-8: damage; more is another encoding
SAMPLE = 1 << 16    # bytes that recognition looks at
PASSAGE = 1 << 14   # bytes, the first that are no UTF-8 in them, by which another encoding is named
POINTER = b'version https://git-lfs.github.com/spec/v1'
SPACES = '\t\r\n\f\u3000\ufeff\u200b\u200c\u200d\u200e\u200f'   # of text, not printable; U+200D is between the parts of an emoji
SURROGATE = re.compile('[\ud800-\udfff]')
MARK = re.compile('^\ufeff', re.MULTILINE)
MARKS = {codecs.BOM_UTF32_LE: 'UTF-32', codecs.BOM_UTF32_BE: 'UTF-32', codecs.BOM_UTF16_LE: 'UTF-16', codecs.BOM_UTF16_BE: 'UTF-16'}
BINARIES = (        # what a file begins with: (a regular expression, what it is, what to do with it)
    (rb'\x1f\x8b', 'a gzip file', 'give it the ending .gz'), (rb'BZh[1-9]1AY&SY', 'a bzip2 file', 'give it the ending .bz2'),
    (rb'\xfd7zXZ\0', 'an xz file', 'give it the ending .xz'), (rb'\x28\xb5\x2f\xfd', 'a Zstandard file', 'give it the ending .zst'),
    (rb'PAR1.*\0', 'a parquet file', 'give it the ending .parquet'), (rb'.{257}ustar', 'a tar archive', 'unpack it: tar -xf'),
    (rb'PK\x03\x04', 'a zip archive or an Office document', 'unpack it, or save it as text'),
    (rb'\s*%PDF-', 'a PDF', 'convert it: pdftotext'), (rb'\s*{\\rtf', 'an RTF document', 'save it as text'),
    (rb'\x89PNG|\xff\xd8\xff|GIF8[79]a', 'a picture', 'leave it out'))
HIRAGANA, HANGUL, CHINESE, CYRILLIC = (re.compile(signs) for signs in (
    '[\u3041-\u3096]', '[\uac00-\ud7a3]', '[\u4e00-\u9fff\u3000-\u301f\uff01-\uff5e]', '[\u0430-\u044f\u0451]'))
# (name, codec of iconv, codec to try, what the text is full of, its least share in the characters beyond ASCII), in the order of trial.
FOREIGN = (
    ('Shift JIS', 'cp932', 'cp932', HIRAGANA, 0.2), ('EUC-JP', 'euc-jp', 'euc-jp', HIRAGANA, 0.2),
    ('EUC-KR', 'cp949', 'cp949', HANGUL, 0.75), ('GB 18030', 'gb18030', 'gb2312', CHINESE, 0.75),
    ('Big5', 'big5', 'big5', CHINESE, 0.75), ('GB 18030', 'gb18030', 'gb18030', CHINESE, 0.75),
    ('Windows-1251', 'cp1251', 'cp1251', CYRILLIC, 0.75), ('KOI8-R', 'koi8-r', 'koi8-r', CYRILLIC, 0.75))
# (name, codec, bytes that have no letter in it); letters beyond ASCII stand among letters of ASCII.
LATIN = (('Latin-1', 'latin1', rb'[\x80-\x9f]'), ('Windows-1252', 'cp1252', rb'[\x81\x8d\x8f\x90\x9d]'))


class Checked(io.RawIOBase):
    """The bytes of a text file, unchanged. DataError for a binary, another encoding, a zero byte, and as soon as more than MOST of the
    bytes are no UTF-8: of `size` bytes, or of all when the size is not known."""

    def __init__(self, stream: Any, where: str, compression: str = '', size: int | None = None):
        self.stream, self.where, self.compression, self.size = stream, where, compression, size
        self.tail, self.sample, self.bad, self.count = b'', b'', 0, 0
        self.first = _fill(stream)
        if problem := binary(self.first):
            raise errors.DataError(f'{where}: expected text, got {problem[0]}; {problem[1]}')
        if encoding := wide(self.first):
            self._refuse(f'expected UTF-8, got {encoding[0]}', f'iconv -f {encoding[1]} -t UTF-8')

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.first[:len(buffer)] if self.first else self.stream.read(len(buffer))
        self.first = self.first[len(data):]
        buffer[:len(data)] = data
        self._check(data)
        return len(data)

    def _check(self, data):
        if (at := data.find(b'\0')) >= 0:
            self._refuse(f'expected text, got the byte 0 at {self.count + at:,}', "tr -d '\\000' <", 'if it is no binary, delete them: ')
        whole = self.tail + data
        try:
            _, used = codecs.utf_8_decode(whole, 'strict', not data)
        except UnicodeDecodeError as error:
            text, used = codecs.utf_8_decode(whole, 'surrogateescape', not data)
            self.bad += len(SURROGATE.findall(text))
            self.sample = self.sample or whole[max(whole.rfind(b'\n', 0, error.start) + 1, error.start - PASSAGE // 2):][:PASSAGE]
        self.tail = whole[used:]
        self.count += len(data)
        size = self.size if data else self.count
        if size and self.bad > MOST * size:
            name, codec = guess(self.sample) or ('another encoding', 'ENCODING')
            self._refuse(f'expected UTF-8, got {self.bad:,} of {self.count:,} bytes that are none: perhaps {name}',
                         f'iconv -f {codec} -t UTF-8')

    def _refuse(self, text, command, advice=''):
        advice += 'decompress it, then ' * bool(self.compression)
        raise errors.DataError(f'{self.where}: {text}; {advice}{command} {shlex.quote(self.where)} > NEW')


def documents(texts: Iterable[str], where: str) -> Iterator[tuple[str, int]]:
    """(text, replaced) of the texts that a reader gives, at least one: without byte order marks at the beginning of lines, `replaced` lone
    surrogates (bytes decoded with `surrogateescape`, or escapes) now U+FFFD. DataError for the character 0, and where more than MOST of
    the bytes of all texts are such."""
    number = bad = count = 0
    sample = ''
    for text in texts:
        number += 1
        if (at := text.find('\0')) >= 0:
            encoding = wide(_bytes(text[:SAMPLE]))
            got = f'perhaps {encoding[0]}; write it as UTF-8' if encoding else 'delete it'
            raise errors.DataError(f'{where}, document {number:,}: expected text, got the character 0 at {at:,}; {got}')
        text, replaced = MARK.sub('', text) if '\ufeff' in text else text, 0
        try:
            count += len(text) if text.isascii() else len(text.encode())   # three times as fast as SURROGATE
        except UnicodeEncodeError as error:
            sample = sample or text[max(0, error.start - PASSAGE // 2):][:PASSAGE]
            text, replaced = SURROGATE.subn('\ufffd', text)
            bad, count = bad + replaced, count + len(text.encode()) - 2 * replaced
        yield text, replaced
        del text
    if not number:
        yield '', 0
    if bad > MOST * count:
        named = wide(_bytes(sample)) or guess(_bytes(sample))
        raise errors.DataError(f'{where}: expected UTF-8, got {bad:,} of {count:,} bytes that are none, or escapes of half a character'
                               + (f': perhaps {named[0]}' if named else '') + '; write the text again as UTF-8')


def _bytes(text):
    """The bytes of which `text` was decoded; escapes of half a character are left out."""
    return re.sub('[\ud800-\udc7f\udd00-\udfff]', '', text).encode('utf-8', 'surrogateescape')


def binary(data: bytes) -> tuple[str, str] | None:
    """(what a file is that begins with `data`, what to do with it); None when it may be text."""
    return next(((name, advice) for start, name, advice in BINARIES if re.match(start, data, re.DOTALL)), None)


def wide(data: bytes) -> tuple[str, str] | None:
    """(name, codec) of UTF-16 or UTF-32: by its mark, or by its zero bytes where what they stand in reads as text."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return f'{name} with a byte order mark', name
    zeros = data.count(0)
    if not zeros or 4 * zeros < len(data) and sum(map(data.count, range(32, 127))) > 0.8 * len(data):
        return None                               # ASCII with a stray zero would read as Chinese
    ends = ('LE', 'BE') if 2 * data[1::2].count(0) >= zeros else ('BE', 'LE')
    return next(((f'{name} without a byte order mark', name) for name in ('UTF-32LE', 'UTF-32BE', *(f'UTF-16{end}' for end in ends))
                 if _reads(data, name)), None)


def guess(data: bytes) -> tuple[str, str] | None:
    """(name, codec) of the encoding in which `data`, which is no UTF-8, is likely to be text; None without a likely one."""
    high, letters = len(re.findall(rb'[\x80-\xff]', data)), len(re.findall(rb'[A-Za-z]', data))
    if high > letters / 2:
        for name, codec, tried, script, least in FOREIGN:
            text = _decoded(data, tried) or ''
            if len(script.findall(text)) > least * sum(character >= '\x80' for character in text):
                return name, codec
    return next(((name, codec) for name, codec, without in LATIN if 0 < high < letters and not re.search(without, data)), None)


def _decoded(data, codec):
    """The text, without a character that the end of `data` has cut; None if it cannot be decoded."""
    try:
        return codecs.getincrementaldecoder(codec)('strict').decode(data)
    except UnicodeDecodeError:
        return None


def _reads(data, codec):
    text = _decoded(data, codec)
    return bool(text) and sum(character.isprintable() or character in SPACES for character in text) > 0.95 * len(text)


def _fill(stream):
    """The first SAMPLE bytes, fewer only where there are no more."""
    data = b''
    while len(data) < SAMPLE and (more := stream.read(SAMPLE - len(data))):
        data += more
    return data
