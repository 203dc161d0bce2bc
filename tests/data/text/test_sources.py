"""Sources: every kind of file gives the same documents, damage gives one message, and no large file is in memory twice."""
import bz2
import dataclasses
import gzip
import io
import json
import lzma
import pathlib
import random
import subprocess
import sys

import pytest
import zstandard

from data import corpus, errors
from data.text import readers, sources
from train.settings import schema

ROOT = pathlib.Path(__file__).resolve().parents[3]
MESSAGES = json.loads((ROOT / 'tests/fixtures' / 'messages' / 'sources.json').read_text(encoding='utf-8'))
DOCUMENTS = ['First document.\n\nTwo paragraphs.  ', 'Second: caf\u00e9, 三国, 😀\r\n', '\ttabs\tand "quotes"\\\n']


def lines(documents, field='text'):
    return ''.join(json.dumps({'id': i, field: text}) + '\n' for i, text in enumerate(documents)).encode()


def read(spec, field='text'):
    return list(sources.open(str(spec), field))


@pytest.mark.parametrize('name, data', [
    ('rows.jsonl', lines(DOCUMENTS)),
    ('rows.ndjson', b'\xef\xbb\xbf' + lines(DOCUMENTS).replace(b'\n', b'\r\n')),
    ('rows.json', lines(DOCUMENTS) + b'\n\n'),
    ('rows.json', json.dumps([{'text': text} for text in DOCUMENTS], indent=2, ensure_ascii=False).encode()),
    ('rows.jsonl.gz', gzip.compress(lines(DOCUMENTS))),
    ('rows.jsonl.gz', gzip.compress(lines(DOCUMENTS[:1])) + gzip.compress(lines(DOCUMENTS[1:]))),
    ('rows.json.gz', gzip.compress(json.dumps([{'text': text} for text in DOCUMENTS]).encode())),
    ('rows.JSONL.xz', lzma.compress(lines(DOCUMENTS))),
])
def test_rows(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert read(tmp_path / name) == DOCUMENTS


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    many = DOCUMENTS * 200
    parquet.write_table(pyarrow.table({'number': list(range(len(many))), 'text': many,
                                       'raw': [text.encode() for text in many]}),
                        tmp_path / 'rows.parquet', row_group_size=100)
    assert read(tmp_path / 'rows.parquet') == read(tmp_path / 'rows.parquet', 'raw') == many


@pytest.mark.parametrize('ending', ['.txt', '.md', '.txt.gz', '.txt.xz'])
def test_a_text_file_is_a_document_with_its_blank_lines(tmp_path, ending):
    text = '\n\n one \r\n\n\ntwo\t caf\u00e9 \n'
    pack = {'.gz': gzip.compress, '.xz': lzma.compress}.get(ending[-3:], bytes)
    (tmp_path / f'a{ending}').write_bytes(pack(b'\xef\xbb\xbf' + text.encode()))
    assert read(tmp_path / f'a{ending}') == [text]


def test_globs_are_sorted_and_cross_folders(tmp_path):
    for name in ('b.txt', 'a.txt', 'inner/c.txt', 'inner/d.jsonl'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(lines([name]) if name.endswith('l') else name.encode())
    assert read(tmp_path / '*.txt') == ['a.txt', 'b.txt']
    assert read(tmp_path / '**' / '*.*') == ['a.txt', 'b.txt', 'inner/c.txt', 'inner/d.jsonl']
    (tmp_path / 'odd[1].txt').write_bytes(b'odd')
    assert read(tmp_path / 'odd[1].txt') == ['odd']


def test_bundled_corpora():
    rows = {'novels': 7, 'sotu': 233, 'sanguo': 120}
    for name, count in rows.items():
        assert len(read(f'bundled:{name}')) == count
    assert len(read('bundled:kjv_web', 'kjv')) == 31095 and len(read('bundled:web_rv1909', 'es')) == 31077
    assert len(read('bundled:novels,sanguo')) == 127
    readme = (sources.CORPORA / 'README.md').read_text(encoding='utf-8')
    for file in sources.CORPORA.glob('*.xz'):
        assert f'`{file.name[:-9]}`' in readme


def test_reiterable_and_reads_nothing_before(tmp_path):
    (tmp_path / 'rows.jsonl').write_bytes(lines(DOCUMENTS))
    source = sources.open(str(tmp_path / 'rows.jsonl'))
    (tmp_path / 'rows.jsonl').write_bytes(lines(['later']))
    assert list(source) == list(source) == ['later']


def test_fingerprint_is_of_content(tmp_path):
    for folder in ('one', 'two'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'rows.jsonl').write_bytes(lines(DOCUMENTS))
    (tmp_path / 'two' / 'more.jsonl').write_bytes(lines(DOCUMENTS[:1]))

    def of(spec, field='text'):
        return sources.open(str(tmp_path / spec), field).fingerprint
    assert of('one/rows.jsonl') == of('two/rows.jsonl')
    everything = [of('one/rows.jsonl'), of('one/rows.jsonl', 'id'), of('two/more.jsonl'), of('two/*.jsonl')]
    part = sources.open(str(tmp_path / 'one/rows.jsonl'))
    everything += [sources.Part(part, fraction, side).fingerprint for fraction in (.1, .2)
                   for side in ('train', 'eval')]
    assert len(set(everything)) == 8


def test_bad_utf8_is_replaced_and_counted(tmp_path):
    good = 'good ' * 70
    (tmp_path / 'a.txt').write_bytes(good.encode() + b'\xff\xfe bad \xc3 \xef\xbf\xbd kept')
    source = sources.open(str(tmp_path / 'a.txt'))
    assert list(source) == [good + '\ufffd\ufffd bad \ufffd \ufffd kept'] and source.replaced == 3
    assert source.notices == [f'{tmp_path}/a.txt: 3 damaged characters, bytes or escapes that are no UTF-8, now U+FFFD']
    (tmp_path / 'a.jsonl').write_bytes(b'{"text": "x\xffy"}\n{"text": ""}\n{"text": null}\n{"text": " \\n"}\n'
                                      b'{"text": "\\ud800 \\ud83d\\ude00"}\n' + lines([good]))
    source = sources.open(str(tmp_path / 'a.jsonl'))
    assert list(source) == ['x\ufffdy', '\ufffd 😀', good] and (source.replaced, source.empty) == (2, 3)
    assert source.notices[1] == f'{tmp_path}/a.jsonl: 3 empty documents, skipped'


def test_characters_across_read_blocks(tmp_path):
    text = 'é三😀' * 500_000  # 4.5 MB: blocks of 1 MiB end inside characters
    (tmp_path / 'a.txt').write_bytes(text.encode())
    source = sources.open(str(tmp_path / 'a.txt'))
    assert list(source) == [text] and source.replaced == 0


@pytest.mark.parametrize('text', ['line\n' * 100, 'no line at all ' * 30, 'x' * 99 + '\n' + 'y' * 250, 'short', ''])
def test_long_documents_are_cut_after_a_line(tmp_path, monkeypatch, text):
    monkeypatch.setattr(readers, 'LONGEST', 100)
    parts = list(readers.cut(text))
    assert ''.join(parts) == text and max(map(len, parts)) <= 100
    assert all(part.endswith('\n') or len(part) == 100 for part in parts[:-1])
    if text:
        (tmp_path / 'a.txt').write_bytes(text.encode())
        (tmp_path / 'a.jsonl').write_bytes(lines([text]))
        assert read(tmp_path / 'a.txt') == read(tmp_path / 'a.jsonl') == parts


@pytest.mark.parametrize('fraction', [.1, .25, .5, .97])
def test_split_is_by_characters_of_the_concatenation(fraction):
    documents = [chr(97 + i) * (i * 7 % 13 + 1) for i in range(20)]
    source = sources.Source('memory', lambda: ((text, 0) for text in documents), lambda: ['memory'])
    everything, left, right = ''.join(documents), *(list(sources.Part(source, fraction, part))
                                                    for part in ('train', 'eval'))
    limit = int(len(everything) * (1 - fraction))
    assert ''.join(left) == everything[:limit] and ''.join(right) == everything[limit:]
    assert all(part in documents or part in (left[-1], right[0]) for part in left + right)


def test_split_keeps_notices(tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(lines(['0123456789' * 10, '']) + b'{"text": "\xff"}\n')
    source = sources.open(str(tmp_path / 'a.jsonl'))
    part = sources.Part(source, .1, 'train')
    assert list(part) == [('0123456789' * 10)[:90]] and len(part.notices) == 2
    rest = sources.Part(source, .1, 'eval')
    assert list(rest) == ['0123456789', '\ufffd'] and rest.notices == []


def _files(folder):
    """The files that the stored messages talk about."""
    good = lines(DOCUMENTS * 100)
    contents = {
        'empty.txt': b'', 'empty.jsonl': b'', 'blank.txt': b' \n\n\t', 'blanks.jsonl': lines(['', ' ', '\n']),
        'good.jsonl': good, 'broken.jsonl': good.replace(b'"id": 2', b'"id" 2', 1), 'cut.jsonl': good[:-30],
        'list.jsonl': b'["text"]\n', 'number.jsonl': b'{"text": 5}\n', 'deep.jsonl': b'[' * 100_000,
        'array.json': b'[{"text": "a"},\n {"text" "b"}]', 'pretty.json': b'{\n "text": "a"\n}',
        'cut.jsonl.gz': gzip.compress(good)[:-20], 'cut.txt.xz': lzma.compress(good)[:-20],
        'wrong.jsonl.gz': b'no gzip at all', 'wrong.txt.xz': b'no xz at all', 'wrong.parquet': b'no parquet at all',
        'table.odd': b'a,b\n', 'noending': b'a', 'good.parquet': b'', 'one.txt': b'a',
    }
    contents |= {
        'odd/table.odd': b'', 'table.csv': b'id,text\n1,a\n2,b,c\n', 'quote.tsv': b'text\n"no end\n', 'semicolons.csv': b'id;text\n1;a\n',
        'tabs.csv': b'id\ttext\n1\ta\n', 'commas.tsv': b'id,text\n1,a\n', 'deeper.jsonl': b'{"a": {"b": [1]}}\n',
        'hollow.jsonl': b'{"a": {}}\n',
        'twice.csv': b'text,text\n1,a\n', 'nested.jsonl': b'{"id": 1, "meta": {"text": "a", "lang": "en"}}\n',
        'huge.jsonl': b'{"text": "' + 'café '.encode() * 900_000 + b'" "\n'}
    (folder / 'odd').mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / 'locked').mkdir()


@pytest.mark.parametrize('case', sorted(MESSAGES))
def test_messages(tmp_path, case, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    _files(tmp_path)
    spec, field = MESSAGES[case]['spec'].replace('FOLDER', str(tmp_path)), MESSAGES[case].get('field', 'text')
    if case == 'no pyarrow':
        monkeypatch.setitem(sys.modules, 'pyarrow', None)
    elif '.parquet' in spec:
        pytest.importorskip('pyarrow')
        import pyarrow
        from pyarrow import parquet
        parquet.write_table(pyarrow.table({'body': ['a'], 'title': ['b']}), tmp_path / 'good.parquet')
    with pytest.raises(errors.DataError) as caught:
        source = sources.open(spec, field)
        list(sources.Part(source, .1, 'train') if case == 'too small to split' else source)
    message = str(caught.value).replace(str(tmp_path), 'FOLDER').replace(str(sources.CORPORA), 'CORPORA')
    expected = MESSAGES[case]['message']
    assert message[:len(expected)] == expected if MESSAGES[case].get('begins') else message == expected


def changed(data, draw):
    """`data` with up to three of its places changed, dropped or doubled."""
    data = bytearray(data)
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(data) or 1)
        data[at:at + draw.randrange(3)] = draw.choice([b'', draw.randbytes(1), bytes(data[at:at + 5]), b'\xff', b'"', b'{', b'\n', b'\0'])
    return bytes(data)


def table(rows):
    """The bytes of a parquet file."""
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    output = io.BytesIO()
    parquet.write_table(pyarrow.table({'text': rows}), output)
    return output.getvalue()


@pytest.mark.parametrize('times', [50, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize('name, make', [
    ('a.txt', lambda: (DOCUMENTS[1] * 20).encode()), ('a.jsonl', lambda: lines(DOCUMENTS * 5)),
    ('a.csv', lambda: b'id,text\n1,"a, ""b"""\n' * 9), ('a.tsv', lambda: b'id\ttext\n1\ta word\n' * 9),
    ('a.json', lambda: json.dumps([{'text': text} for text in DOCUMENTS * 5]).encode()),
    ('a.jsonl.gz', lambda: gzip.compress(lines(DOCUMENTS))), ('a.jsonl.xz', lambda: lzma.compress(lines(DOCUMENTS))),
    ('a.txt.bz2', lambda: bz2.compress(DOCUMENTS[0].encode())), ('a.jsonl.zst', lambda: zstandard.compress(lines(DOCUMENTS * 9))),
    ('a.parquet', lambda: table(DOCUMENTS))])
def test_damaged_files_give_documents_or_a_data_error(tmp_path, name, make, times):
    """Bytes changed, dropped or doubled: nothing but DataError ever comes out, on one line, and what comes out is text."""
    draw, original, failures = random.Random(name), make(), 0
    assert list(sources.open(str(put(tmp_path / name, original))))
    for _ in range(times):
        put(tmp_path / name, changed(original, draw))
        try:
            for text in sources.open(str(tmp_path / name), documents=draw.choice(['file', 'line', 'blank_line'])):
                text.encode()
        except errors.DataError as error:
            assert str(tmp_path) in str(error) and '\n' not in str(error)
            failures += 1
    assert failures > times / 20


def put(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize('body', ['plain words here ', pytest.param('curly ’quotes’ here ', marks=pytest.mark.slow)])
def test_a_line_of_100_mb_fits_in_600_mb(tmp_path, body):
    line = json.dumps({'text': body * (100_000_000 // len(body.encode()))}, ensure_ascii=False).encode()
    (tmp_path / 'a.jsonl.gz').write_bytes(gzip.compress(line, 1))
    program = ("import resource, sys\nfrom data.text import cache, sources\nfrom data import tokenizer\n"
               "tok = tokenizer.train(['plain words here curly quotes ' * 9], 'unigram', 600)\n"
               "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
               f"tokens = cache.build(sources.open('{tmp_path}/a.jsonl.gz'), tok, '{tmp_path}/cache')\n"
               "print(tokens.num_bytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)")
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                         cwd=sources.CORPORA.parents[1])
    num_bytes, mebibytes = map(int, run.stdout.split()[-2:])
    assert num_bytes == len(line) - len('{"text": ""}') and mebibytes < 600


def test_imports_neither_jax_nor_tensorflow():
    program = ("import sys\nfrom data.text import cache, sentences, sources, tfds\n"
               "from data import tokenizer\nfrom data.vocabularies import pieces, training\n"
               "print({'jax', 'tensorflow', 'tensorflow_datasets', 'etils', 'pyarrow'} & set(sys.modules))")
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                         cwd=sources.CORPORA.parents[1])
    assert run.stdout == 'set()\n'


@pytest.mark.parametrize('name, old, new', [
    ('a.jsonl', lines(['one', 'two']), lines(['one', 'too'])), ('a.txt.gz', gzip.compress(b'one'), gzip.compress(b'two'))],
    ids=['plain', 'compressed'])  # gzip writes the time: names from it would differ between processes
def test_a_file_rewritten_after_it_was_named_is_noticed(tmp_path, name, old, new):
    """What gives the name of the token cache and what is tokenised are the same bytes."""
    (tmp_path / name).write_bytes(old)
    source = sources.open(str(tmp_path / name))
    named = source.fingerprint
    (tmp_path / name).write_bytes(new)
    told = 'expected the content that it had when it was first read, got another; leave the file as it is while it is read, and run again'
    with pytest.raises(errors.DataError, match=told):
        list(source)
    for part in ('train', 'eval'):
        with pytest.raises(errors.DataError, match=told):
            list(sources.Part(source, .5, part))
    (tmp_path / name).write_bytes(old)
    assert list(source) and sources.open(str(tmp_path / name)).fingerprint == source.fingerprint == named


def test_a_parquet_file_rewritten_is_noticed(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    for text in ('one', 'two'):
        parquet.write_table(pyarrow.table({'text': [text]}), tmp_path / 'a.parquet')
        if text == 'one':
            source = sources.open(str(tmp_path / 'a.parquet'))
            assert list(source) == ['one']
    with pytest.raises(errors.DataError, match='expected the content that it had when it was first read, got another'):
        list(source)


def test_reading_names_a_source_without_another_pass(tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(lines(DOCUMENTS))
    source, named = sources.open(str(tmp_path / 'a.jsonl')), sources.open(str(tmp_path / 'a.jsonl')).fingerprint
    list(source)
    (tmp_path / 'a.jsonl').unlink()
    assert source.fingerprint == named


BERT = 'One sentence.\nAnother one?\nA third!”\n\n'     # the layout of the published sample_text.txt


@pytest.mark.parametrize('text, suggested', [
    (BERT * 3, True), (BERT.replace('\n', '\r\n') * 3, True), ('एक वाक्य।\nदूसरा।\n \n' * 5, True), (BERT * 2, False),
    ('A paragraph in one line. It has two sentences.\n\n' * 9, False), ('a poem has lines\nand a blank one\n\n' * 9, False),
    ('A wrapped paragraph has lines\nthat end where the margin\nis. Only the last ends here.\n\n' * 9, False), ('One. Two.', False)])
def test_blank_lines_between_documents_are_suggested(tmp_path, text, suggested):
    (tmp_path / 'a.txt.gz').write_bytes(gzip.compress(text.encode()))
    expected = [f'{tmp_path}/a.txt.gz: one document, but it looks like one sentence a line with blank lines between documents; '
                'data.documents = blank_line reads it so']
    assert sources.open(str(tmp_path / 'a.txt.gz')).listing() == expected * suggested
    assert sources.open(str(tmp_path / 'a.txt.gz'), documents='blank_line').listing() == []


def test_the_bundled_texts_do_not_look_like_one_sentence_a_line(tmp_path):
    for name in ('novels', 'sotu', 'sanguo'):
        for text in list(sources.open(f'bundled:{name}'))[:5]:
            (tmp_path / 'a.txt').write_text(text, encoding='utf-8')
            assert sources.open(str(tmp_path / 'a.txt')).listing() == []


def test_a_corpus_says_how_its_text_is_split(tmp_path):
    (tmp_path / 'a').write_text(BERT * 5)
    told, settings = [], schema.Data(train=str(tmp_path / 'a'), eval=str(tmp_path / '?'), cache=str(tmp_path), format='text')
    one = corpus.open(settings, schema.Tokenizer(kind='bytes'), told.append)
    assert len(one.train) == 1 and len(told) == 3 and 'blank_line reads it so' in told[0] and told[1].endswith(f'?: 1 file, {tmp_path}/a')
    many = corpus.open(dataclasses.replace(settings, documents='blank_line'), schema.Tokenizer(kind='bytes'), lambda line: None)
    assert len(many.train) == len(many.eval) == 5 and many.train.sentences(0).tolist() == [0, 14, 27]


def test_a_format_against_the_ending_is_told(tmp_path):
    for name in ('a.txt', 'b.jsonl', 'c.jsonl'):
        (tmp_path / name).write_bytes(lines(['one']))
    assert sources.open(str(tmp_path), format='text').listing()[1:] == [
        f'{tmp_path}/b.jsonl: read as text, as data.format says; its ending says jsonl']
    assert sources.open(f'{tmp_path}/a.txt', format='jsonl').listing() == [
        f'{tmp_path}/a.txt: read as jsonl, as data.format says; its ending says text']
    assert list(sources.open(f'{tmp_path}/a.txt', format='jsonl')) == ['one']


@pytest.mark.parametrize('name', ['a.txt', 'a.jsonl', 'a.json', 'a.csv', 'a.tsv', 'a.md.xz', 'a.jsonl.gz'])
@pytest.mark.parametrize('documents', ['file', 'line', 'blank_line'])
def test_an_empty_file_is_an_empty_document(tmp_path, name, documents):
    put(tmp_path / name, {'.gz': gzip.compress, '.xz': lzma.compress}.get(name[-3:], bytes)(b''))
    put(tmp_path / 'b.txt', b'text')
    source = sources.open(str(tmp_path), documents=documents)
    assert list(source) == ['text'] and source.notices == [f'{tmp_path}: 1 empty document, skipped']


@pytest.mark.parametrize('name, data, where', [
    ('a.txt', b'words\n' * 60, 'FILE: more than 100 characters, read as 4 documents'),
    ('a.jsonl', b'{"text": "%b"}' % (b'words ' * 60), 'FILE:1: more than 100 characters, read as 4 documents'),
    ('a.jsonl', lines(['words ' * 60, 'é' * 101, 'short']).replace(b'words', b'\\u0077ords'),
     'FILE: 2 texts of more than 100 characters, cut into documents'),
    ('a.csv', b'text\n"' + b'words\n' * 60 + b'"\nshort\n', 'FILE: 1 text of more than 100 characters, cut into documents')])
def test_a_text_that_becomes_several_documents_is_told(tmp_path, monkeypatch, name, data, where):
    monkeypatch.setattr(readers, 'LONGEST', 100)
    source = sources.open(str(put(tmp_path / name, data)))
    assert len(list(source)) >= 4
    assert source.notices == [where.replace('FILE', str(tmp_path / name)) + '; an objective that pairs documents may pair these']


@pytest.mark.parametrize('documents, data, cuts', [
    ('line', b'words ' * 60 + b'\nshort\n' + b'x' * 99 + b'\n', '3 times'), ('blank_line', b'words\n' * 20 + b'\nshort\n', '1 time'),
    ('line', b'words\n' * 60, '')])
def test_a_line_that_becomes_several_documents_is_told(tmp_path, monkeypatch, documents, data, cuts):
    monkeypatch.setattr(readers, 'LONGEST', 100)
    source = sources.open(str(put(tmp_path / 'a.txt', data)), documents=documents)
    list(source)
    assert source.notices == [f'{tmp_path}/a.txt: documents of more than 100 characters, cut {cuts}; '
                              'an objective that pairs documents may pair these'] * bool(cuts)


def test_lines_on_many_files_are_a_few(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, 'LONGEST', 3)
    for i in range(9):
        put(tmp_path / f'{i}.txt', b'words')
    source = sources.open(str(tmp_path))
    assert len(list(source)) == 18 and len(source.notices) == 6 and source.notices[-1] == f'{tmp_path}: 4 more of such lines'


@pytest.mark.parametrize('name, data, told', [
    ('a.tsv', b'id\ttext\n\n1\t"opens\n2\tx\n3\ty"\n4\t"two\nlines"\n5\t"a\tb"\n', True),
    ('b.tsv', b'id\ttext\n0\tsound\n4\t"two\nlines"\n5\t"a\tb"\n\n6\tlast\n', False), ('a.csv', b'id,text\n0,"a, b\nc"\n', False)])
def test_rows_in_quotation_marks_are_told(tmp_path, name, data, told):
    source = sources.open(str(put(tmp_path / name, data)))
    list(source)
    assert source.notices == [
        f'{tmp_path}/a.tsv:3: a cell in quotation marks has tabs and line breaks in it (1 such in the file); if these are rows of their '
        'own, write "" for each quotation mark, and the cell in two more'] * told


def test_page_checksums_of_parquet(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    parquet.write_table(pyarrow.table({'text': ['words of a sentence'] * 99}), tmp_path / 'a.parquet', compression='none',
                        write_page_checksum=True)
    data = (tmp_path / 'a.parquet').read_bytes()
    assert len(read(tmp_path / 'a.parquet')) == 99
    put(tmp_path / 'a.parquet', data.replace(b'words', b'vords', 1))
    with pytest.raises(errors.DataError, match='expected a parquet file, got .*CRC'):
        read(tmp_path / 'a.parquet')
