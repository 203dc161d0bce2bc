"""Tokenizers are exact, deterministic and complete: every string there and back, every byte accounted for."""
import collections
import dataclasses
import io
import json
import lzma
import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import sentencepiece

from data import errors, special_tokens, tokenizer
from data.text import sources
from data.vocabularies import pieces, training, words as word_tables
from train.settings import schema

LOSSLESS = ('unigram', 'bpe', 'bytes')
TRICKY = [
    '', ' ', '  ', '\n', '\n\n\n', '\t', '\r\n', '\0', 'a\0b', '\x1b[31mred\x1b[0m', '\x7f\x80\x9f', 'plain',
    ' leading', 'trailing ',
    'two  spaces', '   three', 'tab\tand  spaces \n next', 'dos\r\nline\r\n', '\u2581', '\u2581\u2581x',
    'a\u2581 b \u2581', '\ufffd', 'x\ufffdy',
    'caf\u00e9', 'cafe\u0301', '\u1e9b\u0323', '三国演义', '话说天下大势，分久必合。', 'にほんご カタカナ', '한국어', '👨‍👩‍👧‍👦🏽', '🇪🇸',
    'שלום', 'ﬁ①Ａ㎏',
    '<mask>', '<pad></s><unk>', '<extra_id_0><extra_0>', '<0x41>', '\u2581<0x0A>', '\ufeffbom',
    '\u200b\u2028\u2029\u0085', '\ud7ff\ue000\uffff\U0010ffff',
    'w' * 5000, ' ' * 40000, 'ab ' * 20000, '\u2581' * 300, '\n'.join('x' * 300 for _ in range(200)), '三' * 40000,
    'ends with newline\n',
]


def novel(characters=300_000):
    with lzma.open(sources.CORPORA / 'novels.jsonl.xz', 'rt', encoding='utf-8') as file:
        return json.loads(file.readline())['text'][:characters]


@pytest.fixture(scope='module')
def tokenizers():
    text = [novel(), 'code:\n    indented\n        twice\n\tby a tab\n' * 50]
    return {kind: tokenizer.train(text, kind, 1200) for kind in LOSSLESS}


@pytest.fixture(params=LOSSLESS)
def tok(request, tokenizers):
    return tokenizers[request.param]


def strings(seed, count):
    """Random strings that mix scripts, white space, controls and words."""
    draw = random.Random(seed)
    pools = ['abc deE ', ' \n\t\r\0', '三国志。', '\u0300\u0301\u200d\ufe0f', '👍🏽🎉', '\u2581\ufffd<>/_', '0123456789.,']
    def character():
        any_character = draw.randrange(0x110000 - 0x800)
        if draw.random() < .9:
            return draw.choice(draw.choice(pools))
        return chr(any_character + 0x800 * (any_character >= 0xd800))

    for _ in range(count):
        yield ''.join(character() for _ in range(draw.randrange(40)))


def exact(tok, text):
    ids = tok.encode(text)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tok.decode(ids) == text
    assert tok.token_bytes[ids].sum() == len(text.encode())
    assert not np.isin(ids, tok.special.reserved).any()


@pytest.mark.parametrize('text', TRICKY, ids=range(len(TRICKY)))
def test_tricky_text_comes_back(tok, text):
    exact(tok, text)
    exact(tok, f'before {text} after')


def test_random_text_comes_back(tok):
    for text in strings(0, 1500):
        exact(tok, text)


def test_every_assigned_character_comes_back(tok):
    characters = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and unicodedata.category(chr(c)) != 'Cn']
    exact(tok, ''.join(characters[::7]))


def test_batch_equals_one_by_one(tok):
    texts = TRICKY + [novel(100_000)]
    for text, ids in zip(texts, tok.encode_batch(texts)):
        np.testing.assert_array_equal(ids, tok.encode(text))
    assert tok.encode_batch([]) == []


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_chunks_give_the_ids_of_the_whole_text(tokenizers, kind):
    tok, text = tokenizers[kind], novel()
    assert len(text) > 10 * pieces.CHUNK
    np.testing.assert_array_equal(tok.encode(text), tok.model.encode(text))


def test_chunks_join_to_the_text():
    for text in TRICKY + ['a b  c\nd' * 50]:
        for size in (1, 7, 100, 16384):
            parts = list(pieces.chunks(text, size))
            assert ''.join(parts) == text and all(0 < len(part) <= size for part in parts)
    assert list(pieces.chunks('aaa bbb  ccc', 7)) == ['aaa', ' bbb', '  ccc']


def test_lone_surrogates_become_replacement_characters(tok):
    assert tok.decode(tok.encode('a\ud800b')) == 'a\ufffdb'
    assert tok.decode(tok.encode('\ud83d\ude00')) == '😀'  # two halves are one character


def test_layout(tok):
    special = tok.special
    assert special.vocab_size == tok.vocab_size == len(tok.token_bytes)
    assert special.sentinels == (tok.vocab_size - 1, tok.vocab_size - 256)
    assert special.is_sentinel(np.arange(tok.vocab_size)).sum() == special.num_sentinels == 256
    assert special.pad == special.bos == 0 and special.eos == 1
    single = [special.pad, special.eos, special.mask, special.cls, special.sep]
    assert len(set(single)) == 5 and max(single) < special.sentinels[1]
    np.testing.assert_array_equal(special.reserved, np.flatnonzero(tok.token_bytes == 0))
    text = np.flatnonzero(tok.token_bytes)
    assert sum(tok.token_bytes[text] == 1) >= 256 and all(map(tok.piece, text))
    assert special_tokens.Special(**special.as_dict()) == special
    assert json.loads(json.dumps(special.as_dict())) == special.as_dict()


def test_size_is_what_was_asked_for(tokenizers):
    assert tokenizers['unigram'].vocab_size == tokenizers['bpe'].vocab_size == 1200
    assert tokenizers['bytes'].vocab_size == 3 + 256 + 2 + 256


def test_special_ids_are_shown_or_skipped(tok):
    ids = [tok.special.cls, *tok.encode('a b'), tok.special.mask, tok.special.sentinels[0] - 1, tok.special.sep,
           tok.special.eos, tok.special.pad]
    assert tok.decode(ids) == '<cls>a b<mask><extra_1><sep><eos><pad>'
    assert tok.decode(ids, skip_special=True) == 'a b'
    assert tok.piece(ids[0]) == '<cls>' and [tok.piece(i) for i in ids[-4:]] == ['<extra_1>', '<sep>', '<eos>', '<pad>']
    assert tok.decode([]) == '' and tok.decode(np.array([], np.int32)) == ''
    unused = [*tok.encode('a'), tok.vocab_size, tok.vocab_size + 27]                      # T5 has 28 rows that are no ids
    assert tok.decode(unused) == 'a<unused><unused>' and tok.decode(unused, skip_special=True) == 'a'


def words(tok, text):
    """The words of a text, as the pieces of its tokens say where they start."""
    ids, found = tok.encode(text), []
    for i, start in zip(ids.tolist(), tok.words(ids).tolist()):
        if start or not found:
            found.append(b'')
        found[-1] += tok.table[i]
    return [word.decode() for word in found]


@pytest.mark.parametrize('text, expected', [
    ('The unhappiest whale', ['The', ' unhappiest', ' whale']),
    ('Yes, it is (1851).', ['Yes', ',', ' it', ' is', ' ', '(1851', ')', '.']),
    ('don\'t “go”', ['don', "'t", ' ', '“go', '”']),
    ('café naïveté дом', ['café', ' naïveté', ' дом']),
    ('one\n\ntwo', ['one', '\n', '\ntwo'])])
def test_words_of_spaced_scripts(tokenizers, text, expected):
    """By bytes and by pieces alike, but that some pieces hold a space and a sign."""
    assert words(tokenizers['bytes'], text) == expected
    for tok in tokenizers.values():
        assert ''.join(words(tok, text)) == text
        whole = [word for word in expected if word.strip().isalpha()]
        assert [word for word in words(tok, text) if word.strip().isalpha()] == whole


def test_words_of_chinese(tokenizers):
    """Each character is a word, also one that is spelt in bytes; signs stand alone."""
    text = '话说天下大势，𠀀。'
    assert words(tokenizers['bytes'], text) == list(text)
    for tok in tokenizers.values():
        assert words(tok, text) == list(text)


def test_words_of_reserved_ids_and_pieces(tok):
    assert tok.words(tok.special.reserved).all()
    for piece, starts in ((' the', True), ('ing', False), ('\n', True), ('é', False), ('123', False), ('-', True),
                          ('\u0301', False), ('a三', False), ('三a', True), ('か', True), ('한', False), ('ก', True), (' ', True),
                          ('€', True)):
        assert begins(piece.encode()) is starts, piece
    assert not any(begins(bytes([b])) for b in range(0x80, 0xC0))


def begins(piece):
    """Whether a piece by itself begins a word."""
    return bool(word_tables.Table([piece])(np.array([0]))[0])


def test_half_a_character_is_a_replacement_character(tokenizers):
    tok = tokenizers['bytes']
    ids = tok.encode('é')
    assert tok.decode(ids[:1]) == '\ufffd' and [tok.piece(i) for i in ids] == ['<0xC3>', '<0xA9>']


def test_bytes_are_byt5s(tokenizers):
    np.testing.assert_array_equal(tokenizers['bytes'].encode('A\n'), [65 + 3, 10 + 3])


def test_save_and_load(tok, tmp_path):
    tok.save(tmp_path / 'new' / 'folder')
    again = tokenizer.load(tmp_path / 'new' / 'folder')
    assert again.hash == tok.hash and again.special == tok.special
    np.testing.assert_array_equal(again.encode('Emma  said\n'), tok.encode('Emma  said\n'))


def test_hashes_tell_tokenizers_apart(tokenizers):
    model = tokenizers['bpe'].definition
    hashes = [tok.hash for tok in tokenizers.values()] + [pieces.SentencePiece(model, sentinels=300).hash,
                                                          tokenizer.Bytes(300).hash]
    assert len(set(hashes)) == 5
    assert pieces.SentencePiece(model).hash == tokenizers['bpe'].hash


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_training_is_deterministic_and_silent_in_another_process(kind):
    program = ("import sys; from data import tokenizer; from data.text import sources; import itertools\n"
               "text = [next(iter(sources.open('bundled:novels')))[:200000]]\n"
               f"print(tokenizer.train(text, {kind!r}, 900).hash)")
    runs = [subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                           cwd=sources.CORPORA.parents[1],
                           env={'PYTHONHASHSEED': str(seed), 'PATH': '/bin:/usr/bin'}) for seed in (1, 2)]
    assert runs[0].stdout == runs[1].stdout == tokenizer.train([novel(200_000)], kind, 900).hash + '\n'
    assert runs[0].stderr == runs[1].stderr == ''


def test_training_on_words_equals_training_on_text():
    """The reference: SentencePiece itself on the paragraphs. BPE counts pairs, so that the merges are the same."""
    paragraphs = [paragraph for paragraph in novel(200_000).split('\n') if paragraph]
    output = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(paragraphs), model_writer=output, model_type='bpe', vocab_size=1200 - 259, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True, split_digits=True,
        normalization_rule_name='identity', add_dummy_prefix=False, remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=1.0,
        max_sentence_length=1 << 20, minloglevel=2)
    reference = sentencepiece.SentencePieceProcessor(model_proto=output.getvalue())
    mine = tokenizer.train([novel(200_000)], 'bpe', 1200)
    expected = {reference.id_to_piece(i) for i in range(reference.get_piece_size())}
    found = {mine.model.id_to_piece(i) for i in range(mine.model.get_piece_size())}
    assert len(expected & found) / len(expected) > 0.995  # ties may fall differently


def test_words_are_counted_with_the_spaces_before_them():
    counts = training.words(['the  cat\nsat the\tcat', ' the cat\u2581x'])
    assert counts == {'the': 1, '  cat': 1, 'sat': 1, ' the': 2, 'cat': 1, ' cat': 1, 'x': 1}
    assert max(map(len, training.words(['三' * 10_000]))) == training.LONGEST


def test_rare_characters_are_left_to_bytes():
    assert training.common(['aabbc'], 3) is None
    assert training.common(['aabbc'], 2) == 'ab'
    assert training.without_rare(collections.Counter({' abcab': 2, 'c': 1}), 'ab') == {' ab': 2, 'ab': 2}
    with lzma.open(sources.CORPORA / 'sanguo.jsonl.xz', 'rt', encoding='utf-8') as file:
        text = json.loads(file.readline())['text'] + json.loads(file.readline())['text']
    tok = tokenizer.train([text], 'unigram', 900)  # fewer pieces than the text has characters
    assert len(set(text)) > 900 and tok.vocab_size == 900
    exact(tok, text)
    assert len(tok.encode(text)) < len(text.encode()) * 0.8


def test_sample_is_spread_evenly_and_complete_when_small():
    blocks = [f'{i:05d}' + 'x' * 995 for i in range(5000)]
    assert training.sample(blocks, 0) == training.sample(blocks, 10**9) == blocks
    kept = training.sample(iter(blocks), 300_000)
    assert 290_000 < sum(map(len, kept)) <= 300_000
    numbers = np.array([int(block[:5]) for block in kept])
    assert (np.diff(numbers) > 0).all() and np.diff(numbers).max() < 40 and numbers[0] == 0 and numbers[-1] > 4950
    assert sum(map(len, training.sample(['three words here ' * 10_000], 20_000))) < 40_000


def test_small_text_gives_a_smaller_vocabulary():
    for kind in ('unigram', 'bpe'):
        tok = tokenizer.train(['hello world, hello you'], kind, 4096)
        assert tok.vocab_size < 700 and tok.special.num_sentinels == 256
        exact(tok, 'another text 三')


@pytest.mark.parametrize('texts, kind, size, message', [
    ([], 'bpe', 1000, 'expected text to train a tokenizer on, got none'),
    (['\n\n', '\t'], 'unigram', 1000, 'expected text to train a tokenizer on, got none'),
    (['text'], 'bpe', 500,
     'expected a vocabulary of at least 582 (bytes, symbols, 256 sentinels, some pieces), got 500; '
                           "raise tokenizer.vocab_size or use tokenizer.kind='bytes'"),
    (['text'], 'wordlevel', 5000, "tokenizer.kind: expected one of unigram, bpe, wordpiece, bytes, got 'wordlevel'"),
    (['\n\n', '\t'], 'wordpiece', 1000, 'expected text to train a tokenizer on, got none'),
    (['text'], 'wordpiece', 300, 'expected a vocabulary of at least 325 (5 symbols, 256 sentinels, some pieces), got 300; '
                                 "raise tokenizer.vocab_size or use tokenizer.kind='bytes'"),
])
def test_training_errors(texts, kind, size, message):
    with pytest.raises(errors.DataError) as caught:
        tokenizer.train(texts, kind, size)
    assert str(caught.value) == message


def foreign(text=None, **settings):
    output = io.BytesIO()
    settings = {'model_type': 'unigram', 'vocab_size': 400, 'hard_vocab_limit': False, 'minloglevel': 2, **settings}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(novel(100_000).split('\n')), model_writer=output,
                                             **settings)
    return output.getvalue()


def test_t5s_model(tmp_path):
    """T5: normalises, marks the start of the text, no byte fallback, pad 0, eos 1, unk 2, sentinels not in the file."""
    (tmp_path / 'spiece.model').write_bytes(foreign(pad_id=0, eos_id=1, unk_id=2, bos_id=-1))
    tok = tokenizer.load(tmp_path / 'spiece.model')
    size = tok.model.get_piece_size()
    assert (tok.special.pad, tok.special.eos, tok.special.bos, tok.special.others) == (0, 1, 0, (2,))
    assert (tok.special.mask, tok.special.cls, tok.special.sep) == (size, size + 1, size + 2)
    assert tok.special.sentinels == (size + 3 + 255, size + 3)
    assert not tok.lossless and tok.token_bytes[2] == 0
    np.testing.assert_array_equal(tok.encode('Emma was here'), tok.model.encode('Emma was here'))
    assert tok.decode(tok.encode('Emma  was\nhere')) == 'Emma was here'  # its normalisation, not ours
    long = ' '.join(novel(60_000).split())
    np.testing.assert_array_equal(tok.encode(long), tok.model.encode(long))
    assert tokenizer.load(tmp_path).hash == tok.hash  # a folder with one model
    tok.save(tmp_path / 'saved')
    assert tokenizer.load(tmp_path / 'saved').hash == tok.hash


def test_t5s_own_layout_can_be_given():
    model = foreign(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    size = pieces.SentencePiece(model).model.get_piece_size()
    special = special_tokens.Special(pad=0, eos=1, mask=size + 100, cls=size + 101, sep=size + 102,
                                 sentinels=(size + 99, size),
                                 vocab_size=size + 103, others=(2,))
    tok = pieces.SentencePiece(model, special)
    assert tok.special.sentinels[0] == size + 99 and tok.vocab_size == size + 103
    assert tok.decode([size + 98]) == '<extra_1>'


def test_sentinels_that_a_model_has_are_used():
    """mT5 holds <extra_id_99> ... <extra_id_0> at its end."""
    names = [f'<extra_id_{j}>' for j in range(99, -1, -1)]
    tok = pieces.SentencePiece(foreign(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=names))
    first = tok.model.piece_to_id('<extra_id_0>')
    assert tok.special.sentinels == (first, first - 99) and tok.special.vocab_size == tok.model.get_piece_size() + 3
    assert tok.token_bytes[first] == 0


def test_llamas_model():
    """Llama: byte fallback and no normalisation, but a space before the text; unk 0, bos 1, eos 2, no pad."""
    tok = pieces.SentencePiece(foreign(byte_fallback=True, vocab_size=700, normalization_rule_name='identity',
                                       remove_extra_whitespaces=False))
    assert (tok.special.bos, tok.special.eos, tok.special.pad) == (1, 2, tok.model.get_piece_size())
    assert not tok.lossless and tok.prefix == b' '
    text = 'Emma  was\nhere 三'
    assert tok.decode(tok.encode(text)) == text
    assert tok.token_bytes[tok.encode(text)].sum() == len(text.encode()) + 1
    long = novel(60_000)
    assert tok.decode(tok.encode(long)).replace('  ', ' ') == long.replace('  ', ' ')


def test_alberts_model():
    tok = pieces.SentencePiece(foreign(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                                       control_symbols=['[CLS]', '[SEP]', '[MASK]']))
    ids = tok.model.piece_to_id(['[CLS]', '[SEP]', '[MASK]'])
    assert [tok.special.cls, tok.special.sep, tok.special.mask] == ids and tok.special.eos == tok.model.get_piece_size()


def test_load_errors(tmp_path, tokenizers):
    def message(path):
        with pytest.raises(errors.DataError) as caught:
            tokenizer.load(path)
        return str(caught.value).replace(str(tmp_path), 'FOLDER')
    assert message(tmp_path / 'none') == ('FOLDER/none: expected tokenizer.json, a SentencePiece .model, vocab.txt, or vocab.json with '
                                          'merges.txt, or a folder with one, got none; check tokenizer.path')
    (tmp_path / 'bad.model').write_bytes(b'nothing of the kind')
    assert message(tmp_path / 'bad.model') == 'FOLDER/bad.model: expected a SentencePiece model, got 19 bytes that are none'
    tokenizers['bpe'].save(tmp_path / 'saved')
    (tmp_path / 'saved' / 'tokenizer.model').write_bytes(tokenizers['unigram'].definition)
    text = 'FOLDER/saved/tokenizer.model: expected the files whose hash tokenizer.json holds, got others'
    assert text in message(tmp_path / 'saved')
    (tmp_path / 'saved' / 'tokenizer.model').unlink()
    assert message(tmp_path / 'saved') == ('FOLDER/saved/tokenizer.model: expected the SentencePiece model of '
                                           'tokenizer.json, got none')
    (tmp_path / 'saved' / 'tokenizer.json').write_text('{"kind": ')
    assert 'expected JSON, got' in message(tmp_path / 'saved')


def test_build_trains_once(tmp_path, monkeypatch):
    text = sources.Source('memory', lambda: [(novel(100_000), 0)], lambda: ['memory', 1])
    settings = dataclasses.replace(schema.Tokenizer(), kind='bpe', vocab_size=800)
    first = tokenizer.build(settings, text, tmp_path)
    assert first.vocab_size == 800 and len(list((tmp_path / 'tokenizers').iterdir())) == 1
    calls, train = [], tokenizer.train
    monkeypatch.setattr(tokenizer, 'train', lambda *a, **k: calls.append(1) or train(*a, **k))
    assert tokenizer.build(settings, text, tmp_path).hash == first.hash and not calls
    for folder in (tmp_path / 'tokenizers').iterdir():  # damaged: trained again
        (folder / 'tokenizer.model').write_bytes(b'')
    assert tokenizer.build(settings, text, tmp_path).hash == first.hash and calls == [1]
    assert tokenizer.build(dataclasses.replace(settings, vocab_size=900), text, tmp_path).vocab_size == 900
    assert tokenizer.build(dataclasses.replace(settings, kind='bytes'), text, tmp_path).hash == tokenizer.Bytes().hash
    first.save(tmp_path / 'own')
    assert tokenizer.build(dataclasses.replace(settings, path=str(tmp_path / 'own')), text, tmp_path).hash == first.hash


def test_command_line(tmp_path, capfd):
    (tmp_path / 'text.txt').write_bytes(novel(50_000).encode() + b'\xff')
    arguments = ['train', f'--input={tmp_path}/text.txt', '--kind=bpe', '--vocab_size=700', f'--out={tmp_path}/out']
    assert tokenizer.main(arguments) == 0
    output = capfd.readouterr()
    tok = tokenizer.load(tmp_path / 'out')
    assert output.out == (f'{tmp_path}/text.txt: 1 damaged character, bytes or escapes that are no UTF-8, now U+FFFD\n'
                          f'{tmp_path}/out: 700 ids, hash {tok.hash[:12]}\n')
    assert output.err == ''
    assert tokenizer.main(['train', '--input=bundled:novel', f'--out={tmp_path}/x']) == 3
    assert capfd.readouterr().err == ('data: bundled:novel: expected one of kjv_web, novels, sanguo, sotu, web_rv1909, '
                                      "got 'novel'. Did you mean novels?\n")
    (tmp_path / 'rows').write_text(json.dumps({'body': novel(50_000)}))
    for flags in ([f'--input={tmp_path}/rows', '--format=jsonl', '--field=body'], [f'--input={tmp_path}/text.txt', '--documents=line']):
        assert tokenizer.main(['train', *flags, '--kind=bpe', '--vocab_size=700', f'--out={tmp_path}/other']) == 0
    with pytest.raises(SystemExit) as caught:
        tokenizer.main(['train'])
    assert caught.value.code == 2


def test_help_imports_little():
    program = ("import sys\nfrom data import tokenizer\n"
               "try:\n    tokenizer.main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
               "print({'jax', 'sentencepiece', 'tensorflow_datasets', 'etils'} & set(sys.modules))")
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True,
                         cwd=sources.CORPORA.parents[1])
    assert run.stdout.startswith('usage: python -m data.tokenizer train') and run.stdout.endswith('set()\n')
