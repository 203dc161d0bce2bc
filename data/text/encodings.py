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
MESS = 0.4          # most that charset_normalizer may find of it in a text (0.2 by itself, too little for JSON and for a line of Polish)
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
SEVEN_BIT = (       # (a regular expression, name, command); the text itself is ASCII
    (rb'\x1b\$\)C', 'ISO-2022-KR', 'iconv -f ISO-2022-KR -t UTF-8'), (rb'\x1b\$[)*][AGH]', 'ISO-2022-CN', 'iconv -f ISO-2022-CN -t UTF-8'),
    (rb'\x1b\$(?:[@AB]|\([CD])', 'ISO-2022-JP', 'iconv -f ISO-2022-JP-2 -t UTF-8'),
    (rb'~\{(?:[\x21-\x77][\x21-\x7e])+~\}', 'HZ',
     'python3 -X utf8 -c "print(open(__import__(\'sys\').argv[1], encoding=\'hz\').read(), end=\'\')"'))
# {codec: name} of what text may be in, the more common first.
EIGHT_BIT = {
    'cp1252': 'Windows-1252 (Latin-1)', 'cp1251': 'Windows-1251 (Cyrillic)', 'cp932': 'Shift JIS', 'euc_jp': 'EUC-JP',
    'gb18030': 'GB 18030', 'big5': 'Big5', 'cp949': 'EUC-KR', 'cp1250': 'Windows-1250 (Central European)',
    'iso8859_2': 'ISO 8859-2 (Central European)', 'koi8_u': 'KOI8', 'cp866': 'CP866 (Cyrillic)', 'iso8859_5': 'ISO 8859-5 (Cyrillic)',
    'cp1253': 'Windows-1253 (Greek)', 'cp1254': 'Windows-1254 (Turkish)', 'cp1255': 'Windows-1255 (Hebrew)',
    'cp1256': 'Windows-1256 (Arabic)', 'iso8859_6': 'ISO 8859-6 (Arabic)', 'cp1258': 'Windows-1258 (Vietnamese)',
    'cp874': 'TIS-620 (Thai)', 'cp850': 'CP850 (DOS)', 'johab': 'Johab'}


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
        if (b'\x1b' in data or b'~' in data) and (encoding := seven_bit(data)):
            self._refuse(f'expected UTF-8, got {encoding[0]}', encoding[1])
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


def seven_bit(data: bytes) -> tuple[str, str] | None:
    """(name, command) of an encoding without bytes above 127: by its escape sequence, of Japanese by one every 2,000 bytes (each line has
    two, an archive of mails a few), HZ by more than MOST of the bytes."""
    for escape, name, command in SEVEN_BIT:
        found = re.findall(escape, data)
        dense = name != 'ISO-2022-JP' or len(found) * 2000 > len(data)
        if found and dense and (name != 'HZ' or sum(map(len, found)) > MOST * len(data) and _decoded(b''.join(found), 'hz')):
            return name, command
    return None


def guess(data: bytes) -> tuple[str, str] | None:
    """(name, codec) of the encoding in which `data`, which is no UTF-8, is likely to be text; two names where another is as well. None
    without a likely one."""
    if data.decode('utf-8', 'replace').encode() == data:
        return None
    import charset_normalizer
    names, ranked = list(EIGHT_BIT), []
    for part in filter(None, (data, data[:-1])):  # half a character may be at the end
        found = charset_normalizer.from_bytes(part, 1, len(data), MESS, names, preemptive_behaviour=False)
        ranked += [(round(match.chaos - match.coherence / 5, 2), min(map(names.index, match.could_be_from_charset))) for match in found]
    likely = list(dict.fromkeys(names[index] for _, index in sorted(ranked)))
    return (' or '.join(map(EIGHT_BIT.get, likely[:2])), likely[0].replace('_', '-')) if likely else None


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
