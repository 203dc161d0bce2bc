"""Text in other encodings and binaries are refused by name; a few damaged bytes are counted."""
import codecs
import io
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
    'ru': 'Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. ',
    'ja': '吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。「何でも薄暗い所で泣いていた」 ',
    'ko': '나는 그 사람을 알지 못한다. 모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. ',
    'zh': '话说天下大势,分久必合,合久必分。周末七国分争,并入于秦。他的身上什么也没有生出来。 ',
    'tw': '話說天下大勢，分久必合，合久必分。這是一個關於臺灣歷史與語言的故事，請聽我說。 ',
}
CASES = [('quotes', 'cp1252', 'Windows-1252', 'cp1252'), ('fr', 'cp1252', 'Windows-1252', 'cp1252'),
         ('de', 'latin-1', 'Latin-1', 'latin1'), ('ru', 'cp1251', 'Windows-1251', 'cp1251'),
         ('ru', 'koi8-r', 'KOI8-R', 'koi8-r'), ('ja', 'shift_jis', 'Shift JIS', 'cp932'), ('ja', 'euc-jp', 'EUC-JP', 'euc-jp'),
         ('ko', 'euc-kr', 'EUC-KR', 'cp949'), ('zh', 'gb18030', 'GB 18030', 'gb18030'), ('tw', 'big5', 'Big5', 'big5')]


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


@pytest.mark.parametrize('language', ['en', 'ru', 'zh', 'ja'])
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
    assert f'bytes that are none: perhaps {name}; iconv -f {known} -t UTF-8 FILE > NEW' in message
    converts(tmp_path / 'a.txt', message, text)
    assert f'perhaps {name}; decompress it, then iconv' in refusal(tmp_path / 'a.txt.xz', lzma.compress(data))


def test_the_share_decides(tmp_path):
    """1 % of the bytes are counted, as damage; one more byte is a refusal, also when good text came before it."""
    for bad, size in ((10, 1000), (3000, 300_000)):
        good = b'words ' * size
        data = good[:size - bad - 1] + b'\xe9' * bad + b'\n'
        (tmp_path / 'a.txt').write_bytes(data)
        source = sources.open(str(tmp_path / 'a.txt'))
        assert len(list(source)) == 1 and source.replaced == bad
        message = refusal(tmp_path / 'a.txt', data[:-2] + b'\xe9\xe9')
        assert message == (f'FILE: expected UTF-8, got {bad + 1:,} of {size:,} bytes that are none: perhaps Latin-1; '
                           'iconv -f latin1 -t UTF-8 FILE > NEW')


def test_what_fits_no_encoding(tmp_path):
    message = refusal(tmp_path / 'a.txt', bytes(random.Random(0).choices(range(128, 256), k=999)))
    assert message.endswith(' bytes that are none: perhaps another encoding; iconv -f ENCODING -t UTF-8 FILE > NEW')


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
