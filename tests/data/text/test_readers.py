"""Readers: every format and compression gives the same documents, and one path of reading a line is the other."""
import bz2
import csv
import gzip
import io
import json
import lzma

import hypothesis
from hypothesis import strategies
import pytest
import zstandard

from data import errors
from data.text import readers, sources

DOCUMENTS = ['First document.\n\nTwo paragraphs.  ', 'Second: café, 三国, 😀\r\n', '\ttabs,\tcommas; and "quotes"\\\n']
MARK = b'\xef\xbb\xbf'
PACKED = {'': bytes, '.gz': gzip.compress, '.xz': lzma.compress, '.bz2': bz2.compress, '.zst': zstandard.compress}


def lines(documents):
    return b''.join(json.dumps({'id': i, 'text': text}).encode() + b'\n' for i, text in enumerate(documents))


def table(documents, delimiter):
    output = io.StringIO()
    csv.writer(output, delimiter=delimiter).writerows([['id', 'text'], *enumerate(documents)])
    return output.getvalue().encode()


CONTENTS = {'jsonl': lines(DOCUMENTS), 'csv': table(DOCUMENTS, ','), 'tsv': table(DOCUMENTS, '\t'),
            'json': json.dumps([{'text': text} for text in DOCUMENTS]).encode(), 'txt': DOCUMENTS[1].encode()}


def read(path, *options):
    return list(sources.open(str(path), *options))


@pytest.mark.parametrize('mark', [b'', MARK])
@pytest.mark.parametrize('packed', PACKED)
@pytest.mark.parametrize('ending', CONTENTS)
def test_every_format_in_every_compression(tmp_path, ending, packed, mark):
    (tmp_path / f'a.{ending}{packed}').write_bytes(PACKED[packed](mark + CONTENTS[ending]))
    assert read(tmp_path / f'a.{ending}{packed}') == (DOCUMENTS[1:2] if ending == 'txt' else DOCUMENTS)


@pytest.mark.parametrize('packed', [packed for packed in PACKED if packed])
def test_joined_compressed_files_and_cut_ones(tmp_path, packed):
    pack, path = PACKED[packed], tmp_path / f'a.jsonl{packed}'
    path.write_bytes(pack(CONTENTS['jsonl']) + pack(lines(['more'])))
    assert read(path) == [*DOCUMENTS, 'more']
    whole = pack(CONTENTS['jsonl'] * 50)
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(errors.DataError, match='expected a whole compressed file, got one that is cut short; copy it again'):
            read(path)
    path.write_bytes(b'nothing of this kind')
    with pytest.raises(errors.DataError, match='expected a sound compressed file, got '):
        read(path)


@pytest.mark.parametrize('packed', [packed for packed in PACKED if packed])
@pytest.mark.parametrize('after, sound', [
    (b'garbage garbage garbage', ()), (b'\0' * 3, ['.gz']), (b'\0' * 8, ['.gz', '.xz']), (b'\0' * 20_000, ['.gz', '.xz']), ('damage', ())])
def test_what_follows_a_compressed_stream(tmp_path, packed, after, sound):
    """Streams and padding are read to the end; what is neither is never taken for the end."""
    first, second = (PACKED[packed](lines([text])) for text in ('one', 'two'))
    middle = bytes([first[0] ^ 255]) + first[1:] if after == 'damage' else after
    (tmp_path / f'a.jsonl{packed}').write_bytes(first + middle + second)
    if packed in sound:
        assert read(tmp_path / f'a.jsonl{packed}') == ['one', 'two']
    else:
        with pytest.raises(errors.DataError, match='expected a sound compressed file, got .*; copy it again'):
            read(tmp_path / f'a.jsonl{packed}')


def test_zstandard_in_blocks_larger_than_a_read(tmp_path):
    text = 'é三😀 and words. ' * 400_000
    (tmp_path / 'a.txt.zst').write_bytes(zstandard.compress(text.encode()))
    assert ''.join(read(tmp_path / 'a.txt.zst')) == text


@hypothesis.settings(max_examples=200, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(strategies.lists(strategies.tuples(strategies.booleans(), strategies.booleans(), strategies.text(
    strategies.characters(exclude_categories=['Cs']) | strategies.sampled_from('\ufeff\x85\n\r é三😀'), max_size=30)), max_size=6))
def test_a_long_line_is_read_as_a_short_one(tmp_path, rows):
    """The narrow path of huge lines, on lines of a few characters, against json.loads."""
    data = b''.join(MARK * marked + json.dumps({'text': text}, ensure_ascii=escaped).encode() + b'\n' for marked, escaped, text in rows)
    expected = [text for _, _, text in rows]
    with pytest.MonkeyPatch.context() as patch:
        for longest in (1 << 22, 4):
            patch.setattr(readers, 'LONGEST', longest)
            found = readers.lines(io.BufferedReader(io.BytesIO(data)), 'x', 'text', lambda line: None)
            joined = ''.join(found)
            assert joined == ''.join(expected)


def test_byte_order_marks_before_any_line(tmp_path):
    """As `cat` of files with marks leaves them; also before a line of more than LONGEST bytes."""
    long = 'long ' * 900_000
    (tmp_path / 'a.jsonl').write_bytes(b''.join(MARK + lines([text]) for text in ('one', long, 'two')))
    assert read(tmp_path / 'a.jsonl')[0] == 'one' and read(tmp_path / 'a.jsonl')[-1] == 'two'
    assert ''.join(read(tmp_path / 'a.jsonl')) == 'one' + long + 'two'


@pytest.mark.parametrize('documents, expected', [
    ('file', ['One.\nTwo.\n\n \nThree.\r\n\r\nFour.\n']), ('line', ['One.', 'Two.', 'Three.', 'Four.']),
    ('blank_line', ['One.\nTwo.', 'Three.', 'Four.'])])
def test_documents_of_a_text_file(tmp_path, documents, expected):
    (tmp_path / 'a.txt').write_bytes(MARK + expected[0].encode() if documents == 'file' else b'One.\nTwo.\n\n \nThree.\r\n\r\nFour.\n')
    source = sources.open(str(tmp_path / 'a.txt'), documents=documents)
    assert list(source) == expected and source.empty == 0
    (tmp_path / 'blank.txt').write_bytes(b'\n \n')
    with pytest.raises(errors.DataError, match='expected text, got no document'):
        read(tmp_path / 'blank.txt', 'text', None, documents)


def test_what_a_document_is_makes_another_source(tmp_path):
    (tmp_path / 'a.txt').write_bytes(b'One.\nTwo.\n')
    prints = {sources.open(str(tmp_path / 'a.txt'), documents=documents).fingerprint for documents in ('file', 'line', 'blank_line')}
    assert len(prints) == 3
    (tmp_path / 'a.jsonl').write_bytes(lines(DOCUMENTS))
    assert len({sources.open(str(tmp_path / 'a.jsonl'), documents=documents).fingerprint for documents in ('file', 'line')}) == 1


def test_long_documents_between_blank_lines_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, 'LONGEST', 50)
    body = 'words in a line\n' * 20
    (tmp_path / 'a.txt').write_bytes(f'{body}\n{body}'.encode())
    found = read(tmp_path / 'a.txt', 'text', None, 'blank_line')
    assert max(map(len, found)) <= 50 and ''.join(found).replace('\n', '') == body.replace('\n', '') * 2


@pytest.mark.parametrize('row, field, expected', [
    ({'text': 'a'}, 'text', 'a'), ({'meta': {'text': 'a'}}, 'meta.text', 'a'), ({'a.b': 'dot', 'a': {'b': 'path'}}, 'a.b', 'dot'),
    ({'a': {'b.c': 'x'}}, 'a.b.c', 'x'), ({'a.b': {'c': 'x'}, 'a': {'b': {'c': 'y'}}}, 'a.b.c', 'x'), ({'a': None}, 'a.b', '')])
def test_fields_by_a_path(row, field, expected):
    assert readers.value(row, field, 'x') == expected


def test_a_field_by_a_path_in_parquet(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    parquet.write_table(pyarrow.table({'meta': [{'text': text} for text in DOCUMENTS], 'a.b': DOCUMENTS}), tmp_path / 'a.parquet')
    assert read(tmp_path / 'a.parquet', 'meta.text') == read(tmp_path / 'a.parquet', 'a.b') == DOCUMENTS


def test_a_format_that_no_ending_says(tmp_path):
    (tmp_path / 'wiki_00').write_bytes(lines(DOCUMENTS))
    assert read(tmp_path / 'wiki_00', 'text', 'jsonl') == DOCUMENTS
    (tmp_path / 'wiki_01.gz').write_bytes(gzip.compress(DOCUMENTS[0].encode()))
    assert read(tmp_path / 'wiki_01.gz', 'text', 'text') == DOCUMENTS[:1]
