"""Text in other encodings and binaries are refused by name; a few damaged bytes are counted."""
import codecs
import io
import json
import lzma
import random
import subprocess
import tarfile
import zipfile

import pytest

from data import errors
from data.text import encodings, sources

TEXTS = {
    'en': 'It was a dark night; the rain fell in torrents, and she said nothing at all. ',
    'fr': 'Le café est fermé: « où êtes-vous allée cet été ? » — naïveté, cœur, déjà vu. ',
    'quotes': 'café “naïve” – ok ',
    'de': 'Für die Größe der Straße müssen wir noch ein schönes Maß finden, sagte er. ',
    'sv': 'Flygande bäckasiner söka hwila på mjuka tuvor; alla människor är födda fria. ',
    'pl': 'Pchnąć w tę łódź jeża. Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. ',
    'hu': 'Árvíztűrő tükörfúrógép. Minden emberi lény szabadon születik és egyenlő méltósága és joga van. ',
    'tr': 'Pijamalı hasta yağız şoföre çabucak güvendi. Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. ',
    'el': 'Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Η ιστορία της Ελλάδας αρχίζει πριν από πολλά χρόνια. ',
    'he': 'דג סקרן שט בים מאוכזב ולפתע מצא לו חברה. בראשית ברא אלהים את השמים ואת הארץ. ',
    'ar': 'نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب. كان يا ما كان في قديم الزمان ملك له ثلاثة أبناء. ',
    'th': 'เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน จงฝ่าฟันพัฒนาวิชาการ ',
    'uk': 'Щастям бєш жук їх глицю в фон й ґедзь пріч. Всі люди народжуються вільними і рівними у своїй гідності. ',
    'kata': 'カタカナノミノテキスト、テスト。コンピュータープログラム ',
    'emoji': 'Hello 😀😃 world 👩\u200d💻 ',
    'ru': 'Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. ',
    'ja': '吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。「何でも薄暗い所で泣いていた」 ',
    'ko': '나는 그 사람을 알지 못한다. 모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. ',
    'zh': '话说天下大势,分久必合,合久必分。周末七国分争,并入于秦。他的身上什么也没有生出来。 ',
    'tw': '話說天下大勢，分久必合，合久必分。這是一個關於臺灣歷史與語言的故事，請聽我說。 ',
}
LATIN = 'Windows-1252 (Latin-1) or Windows-1250 (Central European)'
CASES = [('quotes', 'cp1252', LATIN, 'cp1252'), ('hu', 'cp1250', LATIN, 'cp1252'), ('pl', 'cp1250', 'Windows-1250', 'cp1250'),
         ('fr', 'cp1252', 'Windows-1252', 'cp1252'), ('de', 'latin-1', 'Windows-1252', 'cp1252'),
         ('sv', 'latin-1', 'Windows-1252', 'cp1252'),
         ('tr', 'cp1254', 'Windows-1254', 'cp1254'), ('el', 'cp1253', 'Windows-1253', 'cp1253'), ('he', 'cp1255', 'Windows-1255', 'cp1255'),
         ('ar', 'cp1256', 'Windows-1256', 'cp1256'), ('th', 'tis-620', 'TIS-620', 'cp874'), ('ru', 'cp1251', 'Windows-1251', 'cp1251'),
         ('ru', 'koi8-r', 'KOI8', 'koi8-u'), ('ru', 'cp866', 'CP866', 'cp866'), ('uk', 'cp1251', 'Windows-1251', 'cp1251'),
         ('ja', 'shift_jis', 'Shift JIS', 'cp932'), ('ja', 'euc-jp', 'EUC-JP', 'euc-jp'), ('kata', 'shift_jis', 'Shift JIS', 'cp932'),
         ('kata', 'euc-jp', 'EUC-JP', 'euc-jp'), ('ko', 'euc-kr', 'EUC-KR', 'cp949'), ('zh', 'gb18030', 'GB 18030', 'gb18030'),
         ('tw', 'big5', 'Big5', 'big5')]
SEVEN_BIT = [('ja', 'iso2022_jp', 'ISO-2022-JP'), ('ko', 'iso2022_kr', 'ISO-2022-KR'), ('zh', 'hz', 'HZ')]


def refusal(path, data):
    path.write_bytes(data)
    with pytest.raises(errors.DataError) as caught:
        list(sources.open(str(path)))
    return str(caught.value).replace(str(path), 'FILE')


def converts(path, message, expected):
    """Runs the command that ends the message."""
    command = message.rpartition('; ')[2].replace('FILE', str(path)).replace('NEW', str(path.parent / 'new.txt'))
    subprocess.run(command, shell=True, check=True)
    assert ''.join(sources.open(str(path.parent / 'new.txt'))) == expected


@pytest.mark.parametrize('language', ['en', 'ru', 'zh', 'ja', 'emoji'])
@pytest.mark.parametrize('mark', [False, True])
@pytest.mark.parametrize('codec', ['UTF-16LE', 'UTF-16BE', 'UTF-32LE', 'UTF-32BE'])
def test_wide_encodings(tmp_path, codec, mark, language):
    text = f'　　{TEXTS[language]}\n' * 100           # the ideographic space has a zero byte of its own
    data = ('\ufeff' * mark + text).encode(codec)
    message = refusal(tmp_path / 'a.txt', data)
    name = codec[:6] if mark else codec
    assert message == f'FILE: expected UTF-8, got {name} with{"out" * (not mark)} a byte order mark; iconv -f {name} -t UTF-8 FILE > NEW'
    converts(tmp_path / 'a.txt', message, text)
    assert f'{name} with' in refusal(tmp_path / 'a.jsonl', data) and f'{name} with' in refusal(tmp_path / 'a.csv', data)


@pytest.mark.parametrize('language, codec, name, known', CASES)
@pytest.mark.parametrize('count', [1, 3000])
def test_other_encodings_are_named(tmp_path, language, codec, name, known, count):
    text = (TEXTS[language] + '\n').replace('—', '-' if codec == 'latin-1' else '—') * count
    data = text.encode(codec)
    message = refusal(tmp_path / 'a.txt', data)
    assert f'bytes that are none: perhaps {name}' in message and message.endswith(f'; iconv -f {known} -t UTF-8 FILE > NEW')
    if language != 'hu':                          # of two as likely encodings the more common one is in the command
        converts(tmp_path / 'a.txt', message, text)
    assert '; decompress it, then iconv -f' in refusal(tmp_path / 'a.txt.xz', lzma.compress(data))


@pytest.mark.parametrize('language, codec, name', SEVEN_BIT)
@pytest.mark.parametrize('before', ['', 'words of ASCII\n' * 9000])
def test_seven_bit_encodings_are_named(tmp_path, language, codec, name, before):
    text = before + TEXTS[language].replace('\u3000', ' ') * 80 + '\n'
    message = refusal(tmp_path / 'a.txt', text.encode(codec))
    assert message.startswith(f'FILE: expected UTF-8, got {name}; ')
    converts(tmp_path / 'a.txt', message, text)


def test_chinese_in_seven_bits(tmp_path):
    line = bytes(byte & 127 for byte in '话说天下大势分久必合'.encode('gb2312'))
    message = refusal(tmp_path / 'a.jsonl', b'\x1b$)A\x0e%b\x0f\n' % line * 9)
    assert message == 'FILE: expected UTF-8, got ISO-2022-CN; iconv -f ISO-2022-CN -t UTF-8 FILE > NEW'


@pytest.mark.parametrize('text', ['\x1b[31mred\x1b[0m\n', '~{ab~} words' + ' more' * 200, '5$\x1b', 'a~{b}~{cd}', '~{a b~}~}\n'])
def test_ascii_with_escapes_and_tildes_is_text(tmp_path, text):
    (tmp_path / 'a.txt').write_text(text)
    assert list(sources.open(str(tmp_path / 'a.txt'))) == [text]


def test_an_archive_with_a_few_escapes_is_text(tmp_path):
    text = 'From: \x1b$B$3$s\x1b(B\n' + 'words of a letter\n' * 1000
    (tmp_path / 'a.txt').write_text(text)
    assert list(sources.open(str(tmp_path / 'a.txt'))) == [text]


def test_the_share_decides(tmp_path):
    """1 % of the bytes are counted, as damage; one more byte is a refusal, also when good text came before it."""
    for bad, size in ((10, 1000), (3000, 300_000)):
        good = b'words ' * size
        data = good[:size - bad - 1] + b'\xe9' * bad + b'\n'
        (tmp_path / 'a.txt').write_bytes(data)
        source = sources.open(str(tmp_path / 'a.txt'))
        assert len(list(source)) == 1 and source.replaced == bad
        message = refusal(tmp_path / 'a.txt', data[:-2] + b'\xe9\xe9')
        assert message.startswith(f'FILE: expected UTF-8, got {bad + 1:,} of {size:,} bytes that are none: perhaps ')


def test_what_fits_no_encoding(tmp_path):
    message = refusal(tmp_path / 'a.txt', bytes(random.Random(0).choices(range(128, 256), k=999)))
    assert message.endswith(' bytes that are none: perhaps another encoding; iconv -f ENCODING -t UTF-8 FILE > NEW')


def test_a_guess_of_a_few_bytes():
    """None for UTF-8, and no fault of the package for two bytes, or one."""
    assert not any(map(encodings.guess, (b'', b'a', 'é'.encode(), '三'.encode())))
    for data in (bytes([i, j]) for i in range(128, 256, 9) for j in (9, 64, 129, 254)):
        assert len(encodings.guess(data) or 'no') == len(encodings.guess(data[:1]) or 'no') == 2


def test_utf8_cut_at_every_read(tmp_path):
    """Characters that end in the next block are no damage, and what is cut at the end of the file is."""
    data = 'é三😀'.encode() * 50
    for size in range(1, 8):
        checked = encodings.Checked(io.BytesIO(data[:-1]), 'x')
        checked.first, checked.stream = b'', io.BytesIO(data[:-1])
        parts = []
        while part := checked.read(size):
            parts.append(part)
        assert b''.join(parts) == data[:-1] and checked.bad == 3


def packed(kind):
    output = io.BytesIO()
    if kind == 'zip':
        with zipfile.ZipFile(output, 'w') as archive:
            archive.writestr('a.txt', 'text')
    else:
        with tarfile.open(fileobj=output, mode='w') as archive:
            archive.addfile(tarfile.TarInfo('a.txt'))
    return output.getvalue()


@pytest.mark.parametrize('name, data, message', [
    ('a.txt', b'\x1f\x8b\x08\0\0\0\0\0', 'expected text, got a gzip file; give it the ending .gz'),
    ('a.jsonl', b'BZh91AY&SY\x94$|\x0e', 'expected text, got a bzip2 file; give it the ending .bz2'),
    ('a.csv', lzma.compress(b'text'), 'expected text, got an xz file; give it the ending .xz'),
    ('a.md', b'\x28\xb5\x2f\xfd\x04\x00', 'expected text, got a Zstandard file; give it the ending .zst'),
    ('a.txt', packed('zip'), 'expected text, got a zip archive or an Office document; unpack it, or save it as text'),
    ('a.txt', packed('tar'), 'expected text, got a tar archive; unpack it: tar -xf'),
    ('a.txt', b'%PDF-1.7\n', 'expected text, got a PDF; convert it: pdftotext'),
    ('a.txt', b'\n\n%PDF-1.7\n', 'expected text, got a PDF; convert it: pdftotext'),
    ('a.txt', rb"{\rtf1\ansi caf\'e9}", 'expected text, got an RTF document; save it as text'),
    *((f'a.{ending}', b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n',
       'expected a file of text, got a Git LFS pointer to it; git lfs pull') for ending in ('txt', 'jsonl', 'csv.gz', 'parquet')),
    ('a.txt', b'\x89PNG\r\n\x1a\n', 'expected text, got a picture; leave it out'),
    ('a.txt', b'PAR1' + b'\0\1' * 20, 'expected text, got a parquet file; give it the ending .parquet'),
    ('a.txt', b'some words\0 and more', "expected text, got the byte 0 at 10; if it is no binary, delete them: tr -d '\\000' < FILE > NEW"),
    ('a.txt', b'words ' * 40_000 + b'\0', "got the byte 0 at 240,000; if it is no binary, delete them: tr -d '\\000' < FILE > NEW"),
    ('a.txt.xz', lzma.compress(codecs.BOM_UTF16_LE + b'a\0'), 'expected UTF-8, got UTF-16 with a byte order mark; decompress it, then '
     'iconv -f UTF-16 -t UTF-8 FILE > NEW')])
def test_binaries_under_the_name_of_text(tmp_path, name, data, message):
    assert refusal(tmp_path / name, data).endswith(message)


def test_names_are_quoted_in_the_command(tmp_path):
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    (folder / 'a.txt').write_bytes('text'.encode('utf-16'))
    with pytest.raises(errors.DataError) as caught:
        list(sources.open(str(folder / 'a.txt')))
    command = str(caught.value).rpartition('; ')[2]
    assert subprocess.run(command.removesuffix(' > NEW'), shell=True, check=True, capture_output=True).stdout == b'text'


def column(texts):
    """The bytes of a parquet file."""
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    output = io.BytesIO()
    parquet.write_table(pyarrow.table({'text': texts}), output)
    return output.getvalue()


def rows(text):
    return (json.dumps({'text': text}) + '\n').encode() * 9


FRENCH = TEXTS['fr'].replace('—', '-').replace('œ', 'oe').encode('latin-1')


@pytest.mark.parametrize('name, make, message', [
    ('a.parquet', lambda: column([FRENCH] * 50), 'expected UTF-8, got 650 of 3,950 bytes that are none, or escapes of half a character: '
     f'perhaps {LATIN}; write the text again as UTF-8'),
    ('a.parquet', lambda: column(['plain words'.encode('utf-16-le')]), 'document 1: expected text, got the character 0 at 1; '
     'perhaps UTF-16LE without a byte order mark; write it as UTF-8'),
    ('a.parquet', lambda: column(['plain', 'wo\0rds']), 'document 2: expected text, got the character 0 at 2; delete it'),
    ('a.parquet', lambda: column([TEXTS['zh'].encode('utf-16')]), 'perhaps UTF-16 with a byte order mark; write it as UTF-8'),
    ('a.jsonl', lambda: rows('h\0e\0l\0l\0o\0'), 'perhaps UTF-16LE without a byte order mark; write it as UTF-8'),
    ('a.json', lambda: b'[' + rows('a few words, caf\xe9s\0').splitlines()[0] + b']',
     'document 1: expected text, got the character 0 at 18; delete it'),
    ('a.jsonl', lambda: rows(FRENCH.decode('utf-8', 'surrogateescape')), f'perhaps {LATIN}; write the text again as UTF-8'),
    ('a.jsonl', lambda: rows('a \U0001f600 and \ud83d'), 'or escapes of half a character; write the text again as UTF-8'),
    ('a.jsonl', lambda: rows('half \ud83d'), 'expected UTF-8, got 9 of 54 bytes that are none, or escapes of half a character; '
     'write the text again as UTF-8')])
def test_documents_of_every_format_are_checked(tmp_path, name, make, message):
    """What a text file is checked for, in a column of bytes and in escapes."""
    assert refusal(tmp_path / name, make()).endswith(message)


def test_the_share_decides_in_a_column_too(tmp_path):
    path = tmp_path / 'a.parquet'
    path.write_bytes(column([b'words' * 19 + b'word\xe9', None] * 9 + [b'']))
    source = sources.open(str(path))
    assert len(list(source)) == source.replaced == 9 and source.empty == 10
    assert '10 of 900 bytes' in refusal(path, column([b'words' * 19 + b'word\xe9'] * 8 + [b'words' * 19 + b'wor\xe9\xe9']))


def test_byte_order_marks_inside_are_dropped(tmp_path):
    """As `cat` of files with marks leaves them."""
    mark = codecs.BOM_UTF8
    for name, data, expected in [('a.txt', mark + b'one\n' + mark + b'two x\xef\xbb\xbfy\n', ['one\ntwo x\ufeffy\n']),
                                 ('a.csv', mark + b'text,id\na,1\n' + mark + b'"b ""c""",2\n', ['a', 'b "c"']),
                                 ('a.jsonl', mark + rows('one') + mark + rows('two'), ['one'] * 9 + ['two'] * 9)]:
        (tmp_path / name).write_bytes(data)
        assert list(sources.open(str(tmp_path / name))) == expected
    (tmp_path / 'a.txt').write_bytes(mark + b'one\n' + mark + b'\n' + mark + b'two\n')
    assert list(sources.open(str(tmp_path / 'a.txt'), documents='blank_line')) == ['one', 'two']
