"""The token cache: the same bytes whatever happened while it was written, and never a wrong one."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from data import atomic, errors, special_tokens, tokenizer
from data.text import cache, cache_writer, sources

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCUMENTS = [f'Document {i}. It has words,{" many" * (i * 7 % 11)} and 三 sentences!\n\nThe last one {i}'
             for i in range(60)]
FILES = ('tokens.bin', 'documents.bin', 'sentences.bin', 'index.json')

# Builds the cache of the documents in argv[1] in folder argv[2]; dies by SIGKILL at the argv[3]-th batch (0 = never).
BUILDER = '''
import os, signal, sys, time
from data import tokenizer
from data.text import cache, sources
class Mortal(tokenizer.Bytes):
    calls = 0
    def encode_batch(self, texts):
        self.calls += 1
        if self.calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(sys.argv[4]))
        return super().encode_batch(texts)
tokens = cache.build(sources.open(sys.argv[1]), Mortal(), sys.argv[2], shard_bytes=400)
print(len(tokens), tokens.num_tokens)
'''


def memory(documents, identity='memory'):
    return sources.Source('memory', lambda: ((text, 0) for text in documents), lambda: [identity, list(documents)])


@pytest.fixture(scope='module')
def tok():
    return tokenizer.train(DOCUMENTS, 'bpe', 700)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / 'corpus.jsonl'
    path.write_text(''.join(json.dumps({'text': text}) + '\n' for text in DOCUMENTS), encoding='utf-8')
    return path


def contents(folder):
    (place,) = (folder / 'tokens').iterdir()
    assert not (place / 'progress.json').exists()
    return {name: (place / name).read_bytes() for name in FILES}


def start(corpus, folder, die_at=0, pause=0.0):
    return subprocess.Popen([sys.executable, '-c', BUILDER, str(corpus), str(folder), str(die_at), str(pause)],
                            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_documents_and_sentences(tmp_path, tok):
    tokens = cache.build(memory(DOCUMENTS), tok, tmp_path)
    assert len(tokens) == len(DOCUMENTS) and tokens.special == tok.special and tokens.tokenizer is tok
    assert tokens.flat.dtype == np.uint16
    assert tokens.offsets.dtype == tokens.sentence_offsets.dtype == tokens.lengths.dtype == np.int64
    for i, text in enumerate(DOCUMENTS):
        ids = tokens.document(i)
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, tok.encode(text))
        assert tok.decode(ids) == text and tokens.lengths[i] == len(ids)
        starts = tokens.sentences(i)
        assert starts.dtype == np.int64 and starts[0] == 0 and len(starts) == 3
        assert tok.decode(ids[starts[1]:starts[2]]).startswith(' It has words')
    assert tokens.num_tokens == len(tokens.flat) == tokens.lengths.sum()
    assert tokens.num_bytes == tokens.token_bytes[tokens.flat].sum() == sum(len(text.encode()) for text in DOCUMENTS)


def test_from_arrays_is_the_same_corpus(tmp_path, tok):
    built = cache.build(memory(DOCUMENTS), tok, tmp_path)
    made = cache.Tokens.from_arrays([tok.encode(text) for text in DOCUMENTS], tok.special,
                                    [built.sentences(i)[1:] for i in range(len(built))],
                                    tok.token_bytes, tok)
    np.testing.assert_array_equal(made.flat, built.flat)
    np.testing.assert_array_equal(made.offsets, built.offsets)
    np.testing.assert_array_equal(made.sentence_offsets, built.sentence_offsets)
    assert made.num_bytes == built.num_bytes and len(made) == len(built)
    assert made.fingerprint == cache.Tokens.from_arrays([tok.encode(text) for text in DOCUMENTS],
                                                        tok.special).fingerprint
    empty = cache.Tokens.from_arrays([[], [5, 6], []], tok.special)
    assert empty.lengths.tolist() == [0, 2, 0]
    assert empty.sentences(0).tolist() == [] and empty.sentences(1).tolist() == [0]
    with pytest.raises(errors.DataError, match='expected token ids from 0 to .*, got 5 to 700'):
        cache.Tokens.from_arrays([[5, 700]], tok.special)


def test_second_call_opens_and_reads_no_text(tmp_path, tok):
    passes = []
    source = sources.Source('memory', lambda: passes.append(1) or ((text, 0) for text in DOCUMENTS), lambda: ['memory'])
    first = cache.build(source, tok, tmp_path)
    second = cache.build(source, tok, tmp_path)
    assert passes == [1] and second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(first.flat, second.flat)


def test_addressed_by_content(tmp_path, tok):
    for text, other in ((DOCUMENTS, tok), (DOCUMENTS[:3], tok), (DOCUMENTS, tokenizer.Bytes())):
        cache.build(memory(text), other, tmp_path)
    source = memory(DOCUMENTS)
    parts = [cache.build(sources.Part(source, .1, part), tok, tmp_path) for part in ('train', 'eval')]
    assert len(list((tmp_path / 'tokens').iterdir())) == 5
    assert ''.join(tok.decode(part.document(i)) for part in parts for i in range(len(part))) == ''.join(DOCUMENTS)


def test_a_moved_folder_works(tmp_path, tok, corpus):
    first = cache.build(sources.open(str(corpus)), tok, tmp_path / 'here')
    expected = first.flat.copy()
    shutil.move(tmp_path / 'here', tmp_path / 'there')
    shutil.move(corpus, tmp_path / 'moved.jsonl')
    before = contents(tmp_path / 'there')
    again = cache.build(sources.open(str(tmp_path / 'moved.jsonl')), tok, tmp_path / 'there')
    np.testing.assert_array_equal(again.flat, expected)
    assert contents(tmp_path / 'there') == before and again.fingerprint == first.fingerprint


def test_a_large_vocabulary_needs_four_bytes(tmp_path):
    class Large(tokenizer.Bytes):
        def __init__(self):
            super().__init__(sentinels=70_000)

        def encode(self, text):
            return np.array([69_000, 5], np.int32)
    tokens = cache.build(memory(['ab']), Large(), tmp_path)
    assert tokens.flat.dtype == np.int32 and tokens.document(0).tolist() == [69_000, 5]


@pytest.mark.parametrize('die_at', [1, 2, 5, 11])
def test_killed_builder_goes_on(tmp_path, corpus, die_at):
    """A real SIGKILL; the next builder keeps the shards there are, and the bytes are those of an undisturbed one."""
    assert start(corpus, tmp_path / 'whole').wait() == 0
    process = start(corpus, tmp_path / 'killed', die_at)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (place,) = (tmp_path / 'killed' / 'tokens').iterdir()
    assert not (place / 'index.json').exists()
    shards = json.loads((place / 'progress.json').read_text())['shards'] if die_at > 1 else []
    assert len(shards) == die_at - 1
    with (place / 'tokens.bin').open('ab') as file:
        file.write(b'half a shard')  # as if it had died while writing
    output, error = start(corpus, tmp_path / 'killed').communicate()
    assert error == '' and output.splitlines()[-1] == f'60 {sum(len(text.encode()) for text in DOCUMENTS)}'
    if die_at > 1:
        assert output.startswith(f'{corpus}: tokenising goes on after {shards[-1]["read"]} documents\n')
    assert contents(tmp_path / 'killed') == contents(tmp_path / 'whole')
    cache.build(sources.open(str(corpus)), tokenizer.Bytes(), tmp_path / 'killed')


def test_killed_twice_and_at_the_very_end(tmp_path, corpus, monkeypatch):
    assert start(corpus, tmp_path / 'whole').wait() == 0
    for die_at in (4, 3, 5):
        assert start(corpus, tmp_path / 'killed', die_at).wait() == -signal.SIGKILL

    class Death(BaseException):
        pass

    def save(path, values):
        if path.name == 'index.json':
            raise Death
        original(path, values)
    original = atomic.write
    monkeypatch.setattr(atomic, 'write', save)  # every shard is there, the index is not
    with pytest.raises(Death):
        cache.build(sources.open(str(corpus)), tokenizer.Bytes(), tmp_path / 'killed', shard_bytes=400)
    monkeypatch.setattr(atomic, 'write', original)
    cache.build(sources.open(str(corpus)), tokenizer.Bytes(), tmp_path / 'killed', shard_bytes=400)
    assert contents(tmp_path / 'killed') == contents(tmp_path / 'whole')


def test_two_builders_make_one_cache(tmp_path, corpus):
    builders = [start(corpus, tmp_path / 'both', pause=.1) for _ in range(2)]
    outputs = [builder.communicate() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert outputs[0][0].splitlines()[-1] == outputs[1][0].splitlines()[-1]
    assert sum('another process is tokenising this text; waiting for it' in output for output, _ in outputs) == 1
    assert start(corpus, tmp_path / 'alone').wait() == 0
    assert contents(tmp_path / 'both') == contents(tmp_path / 'alone')


def test_the_second_builder_takes_over_from_a_killed_one(tmp_path, corpus):
    first = start(corpus, tmp_path / 'both', die_at=6, pause=.1)
    second = start(corpus, tmp_path / 'both', pause=.02)
    first.communicate()
    output, _ = second.communicate()
    assert second.returncode == 0 and output.splitlines()[-1].startswith('60 ')
    assert start(corpus, tmp_path / 'alone').wait() == 0
    assert contents(tmp_path / 'both') == contents(tmp_path / 'alone')


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('harm', ['cut', 'longer', 'gone'])
def test_a_damaged_cache_is_made_again(tmp_path, tok, name, harm):
    expected = cache.build(memory(DOCUMENTS), tok, tmp_path).flat.copy()
    before = contents(tmp_path)
    (place,) = (tmp_path / 'tokens').iterdir()
    if harm == 'gone':
        (place / name).unlink()
    else:
        (place / name).write_bytes(before[name][:-3] if harm == 'cut' else before[name] + b'x')
    told = []
    np.testing.assert_array_equal(cache.build(memory(DOCUMENTS), tok, tmp_path, told.append).flat, expected)
    assert contents(tmp_path) == before
    if name == 'index.json':
        assert told == [f'{place}: damaged token cache (a wrong checksum in index.json), made again'] * (harm != 'gone')
    else:
        found = {'cut': len(before[name]) - 3, 'longer': len(before[name]) + 1, 'gone': 'none'}[harm]
        assert told == [f'{place}: damaged token cache ({found} bytes of {name} instead of {len(before[name])}), '
                        'made again']


def flipped(paths, draw):
    """Inverts one bit of one of the files, each bit of all of them with the same chance; returns how to undo it."""
    bits = [8 * path.stat().st_size for path in paths]
    at = draw.randrange(sum(bits))
    number = next(i for i in range(len(bits)) if at < sum(bits[:i + 1]))
    at -= sum(bits[:number])

    def invert():
        with paths[number].open('r+b') as file:
            file.seek(at // 8)
            byte = file.read(1)[0]
            file.seek(at // 8)
            file.write(bytes([byte ^ 1 << at % 8]))

    invert()
    return invert


def key_of(folder, name='index.json'):
    return json.loads((folder / name).read_text())['key']


def test_every_flipped_bit_is_noticed(tmp_path):
    """2,000 flips over all bytes of all files of a cache, and as many over one that a killed builder left behind."""
    cache.build(memory(DOCUMENTS[:6]), tokenizer.Bytes(), tmp_path, shard_bytes=100)
    (place,) = (tmp_path / 'tokens').iterdir()
    key, draw = key_of(place), random.Random(0)
    for name, whole in (('index.json', True), ('progress.json', False)):
        (place / 'index.json').rename(place / name)
        paths = [path for path in sorted(place.iterdir()) if path.name != 'lock']
        assert (place / 'lock').read_bytes() == b'' and len(paths) == 4
        assert cache_writer.damage(place, cache_writer.load(place / name), key, whole) is None
        for _ in range(2000):
            undo = flipped(paths, draw)
            assert cache_writer.damage(place, cache_writer.load(place / name), key, whole)
            undo()


def built(tmp_path, monkeypatch):
    """(source, folder of its cache, {name: bytes} of the files); writing does not wait for the disk from here on."""
    monkeypatch.setattr(os, 'fsync', lambda file: None)
    source = memory(DOCUMENTS[:6])
    cache.build(source, tokenizer.Bytes(), tmp_path, shard_bytes=100)
    place, = (tmp_path / 'tokens').iterdir()
    return source, place, contents(tmp_path)


def test_a_cache_with_a_flipped_bit_is_made_again(tmp_path, monkeypatch):
    (source, place, before), draw = built(tmp_path, monkeypatch), random.Random(1)
    for _ in range(100):
        told = []
        flipped([place / name for name in FILES], draw)
        cache.build(source, tokenizer.Bytes(), tmp_path, told.append, shard_bytes=100)
        assert contents(tmp_path) == before
        assert len(told) == 1 and told[0].startswith(f'{place}: damaged token cache (a wrong ') and told[0].endswith('), made again')


@pytest.mark.slow
def test_a_mutated_cache_is_made_again(tmp_path, monkeypatch):
    """500 times bytes of one file are changed, dropped, doubled or cut, or it is a JSON value of another kind."""
    (source, place, before), draw = built(tmp_path, monkeypatch), random.Random(3)
    for _ in range(500):
        name, told = draw.choice(FILES), []
        data, at = before[name], draw.randrange(len(before[name]))
        data = draw.choice([data[:at], data[:at] + draw.randbytes(3) + data[at + 3:], data[:at] + data[at - 9:], data[:at] + data[at + 2:],
                            data + b' ', b'', b'{}', b'[' * 100_000, b'null', b'\xff', b'{"sha256": 1}'])
        (place / name).write_bytes(data)
        cache.build(source, tokenizer.Bytes(), tmp_path, told.append, shard_bytes=100)
        assert contents(tmp_path) == before and len(told) == (data != before[name])


class Stop(BaseException):
    """A kill."""


def begun(source, folder, monkeypatch, shards=3):
    """A cache whose builder was killed after some shards; returns its folder."""
    original, saved = atomic.write, []

    def save(path, values):
        original(path, values)
        saved.append(path)
        if len(saved) == shards:
            raise Stop
    monkeypatch.setattr(atomic, 'write', save)
    with pytest.raises(Stop):
        cache.build(source, tokenizer.Bytes(), folder, shard_bytes=100)
    monkeypatch.setattr(atomic, 'write', original)
    (place,) = (folder / 'tokens').iterdir()
    return place


def test_a_cache_that_was_begun_and_has_a_flipped_bit_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda file: None)
    source, draw = memory(DOCUMENTS[:6]), random.Random(2)
    cache.build(source, tokenizer.Bytes(), tmp_path / 'whole', shard_bytes=100)
    for i in range(40):
        told, folder = [], tmp_path / str(i)
        place = begun(source, folder, monkeypatch)
        flipped([path for path in sorted(place.iterdir()) if path.name != 'lock'], draw)
        cache.build(source, tokenizer.Bytes(), folder, told.append, shard_bytes=100)
        assert contents(folder) == contents(tmp_path / 'whole')
        assert len(told) == 1 and told[0].startswith(f'{place}: a token cache that was begun is made again (a wrong '), told


def test_the_index_of_another_cache_is_damage(tmp_path):
    one, two = (cache.build(memory(DOCUMENTS[:n]), tokenizer.Bytes(), tmp_path / str(n)).flat.copy() for n in (2, 3))
    (here,), (there,) = ((tmp_path / str(n) / 'tokens').iterdir() for n in (2, 3))
    for name in FILES:
        shutil.copy(there / name, here / name)
    told = []
    np.testing.assert_array_equal(cache.build(memory(DOCUMENTS[:2]), tokenizer.Bytes(), tmp_path / '2', told.append).flat, one)
    assert len(two) > len(one) and told == [f'{here}: damaged token cache (a wrong checksum in index.json), made again']


def test_shards_of_other_text_are_not_continued(tmp_path, monkeypatch):
    """The text was rewritten while it was tokenised, the builder was killed, and then the old text came back."""
    good, other = DOCUMENTS[:6], [DOCUMENTS[0].replace('words', 'sword'), *DOCUMENTS[1:6]]
    texts = [other]
    source = sources.Source('memory', lambda: ((text, 0) for text in texts[0]), lambda: ['the name of the good text'])
    place = begun(source, tmp_path, monkeypatch)
    texts[0], told = good, []
    tokens = cache.build(source, tokenizer.Bytes(), tmp_path, told.append, shard_bytes=100)
    assert [tokens.tokenizer.decode(tokens.document(i)) for i in range(6)] == good
    assert told == [f'{place}: a token cache that was begun is made again (memory has other text than it was made of)']


def test_ids_outside_the_vocabulary(tmp_path):
    class Wrong(tokenizer.Bytes):
        def encode(self, text):
            return np.array([3, 517 if 'Document 7.' in text else 4], np.int32)
    with pytest.raises(errors.DataError) as caught:
        cache.build(memory(DOCUMENTS), Wrong(), tmp_path)
    assert str(caught.value) == ('memory, document 8: expected token ids from 0 to 516, got 3 to 517; '
                                 'the tokenizer does not fit its vocabulary size')


def test_no_tokens(tmp_path):
    class Mute(tokenizer.Bytes):
        def encode(self, text):
            return np.zeros(0, np.int32)
    with pytest.raises(errors.DataError, match='memory: expected text that gives tokens, got none'):
        cache.build(memory(DOCUMENTS), Mute(), tmp_path)
    with pytest.raises(errors.DataError, match='memory: expected text, got no document but 2 empty'):
        cache.build(memory(['', ' ']), tokenizer.Bytes(), tmp_path)


def test_documents_without_tokens_are_left_out(tmp_path):
    class Deaf(tokenizer.Bytes):
        def encode(self, text):
            return super().encode('' if '3' in text else text)
    tokens = cache.build(memory(DOCUMENTS), Deaf(), tmp_path, shard_bytes=300)
    kept = [text for text in DOCUMENTS if '3' not in text]
    assert [tokens.tokenizer.decode(tokens.document(i)) for i in range(len(tokens))] == kept


def test_notices_are_given_every_time(tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(b'{"text": "one \xff"}\n{"text": ""}\n' + b'{"text": "two and more"}\n' * 9)
    for _ in range(2):
        told = []
        cache.build(sources.open(str(tmp_path / 'a.jsonl')), tokenizer.Bytes(), tmp_path / 'cache', told.append)
        assert told == [f'{tmp_path}/a.jsonl: 1 damaged character, bytes or escapes that are no UTF-8, now U+FFFD',
                        f'{tmp_path}/a.jsonl: 1 empty document, skipped']


def test_a_location_that_cannot_be_mapped(tok):
    with pytest.raises(errors.DataError, match='gs://bucket/x: expected a local folder for the token cache'):
        cache.build(memory(DOCUMENTS), tok, 'gs://bucket/x')


def test_a_folder_that_cannot_be_written(tmp_path, tok):
    (tmp_path / 'file').write_text('x')
    with pytest.raises(errors.DataError,
                       match='expected to write the token cache, got Not a directory; free space or set data.cache'):
        cache.build(memory(DOCUMENTS), tok, tmp_path / 'file')


def test_a_full_disk(tmp_path):
    program = ("import resource, signal\nfrom data.text import cache, sources\nfrom data import errors, tokenizer\n"
               "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
               "try:\n    cache.build(sources.open('bundled:sanguo'), tokenizer.Bytes(), 'FOLDER')\n"
               "except errors.DataError as error:\n    print(error)").replace('FOLDER', str(tmp_path))
    run = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 'expected to write the token cache, got File too large' in run.stdout
    assert len(cache.build(sources.open('bundled:sanguo'), tokenizer.Bytes(), tmp_path)) == 120


def test_special_and_token_bytes_are_the_tokenizers(tmp_path, tok):
    tokens = cache.build(memory(DOCUMENTS), tok, tmp_path)
    assert isinstance(tokens.special, special_tokens.Special)
    np.testing.assert_array_equal(tokens.token_bytes, tok.token_bytes)
    assert not tokens.flat.flags.writeable and os.path.getsize(next(tmp_path.glob('tokens/*/tokens.bin'))) == 2 * tokens.num_tokens


def test_a_text_rewritten_while_it_is_tokenised_is_not_stored(tmp_path):
    """One error, nothing under the name of the old text; the next build has the new one."""
    old, new = ([f'{word} number {i}, ' + 'with more words ' * 20 for i in range(1000)] for word in ('old', 'new'))
    path = tmp_path / 'a.jsonl'

    def put(texts):
        path.write_text(''.join(json.dumps({'text': text}) + '\n' for text in texts))

    class Rewriting(tokenizer.Bytes):
        def encode_batch(self, texts):
            put(new)
            return super().encode_batch(texts)

    put(old)
    with pytest.raises(errors.DataError, match='expected the content that it had when it was first read, got another'):
        cache.build(sources.open(str(path)), Rewriting(), tmp_path, shard_bytes=50_000)
    assert not list(tmp_path.glob('tokens/*/index.json')) and list(tmp_path.glob('tokens/*/progress.json'))
    for texts in (new, old):
        put(texts)
        tokens = cache.build(sources.open(str(path)), tokenizer.Bytes(), tmp_path, shard_bytes=50_000)
        assert [tokens.tokenizer.decode(tokens.document(i)) for i in range(len(tokens))] == texts
