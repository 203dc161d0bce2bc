"""Words by one definition: of bytes, of pieces, of WordPiece, in scripts with spaces and without; naive against fast."""
import functools
import itertools
import pathlib
import sys
import types
import unicodedata

import numpy as np
import pytest
import regex

from data import errors, objectives, pipeline, tokenizer
from data.text import cache, sources
from data.vocabularies import words
from tests.helpers.properties import given

THAI = 'ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน ประเทศไทยมีผู้คนอาศัยอยู่มากมาย เขากินข้าวที่บ้านน้ำใสกับเพื่อนทุกวัน '
LAO = 'ປະເທດລາວຕັ້ງຢູ່ໃນອາຊີຕາເວັນອອກສຽງໃຕ້ ຄົນລາວກິນເຂົ້າໜຽວທຸກມື້ '
KHMER = 'ភាសាខ្មែរជាភាសារបស់ប្រជាជនកម្ពុជា។ ខ្ញុំស្រឡាញ់ប្រទេសកម្ពុជានិងវប្បធម៌ខ្មែរ '
MYANMAR = 'မြန်မာနိုင်ငံသည်အရှေ့တောင်အာရှတွင်ရှိသည်။ ဗုဒ္ဓဘာသာဝင်များနေထိုင်ကြသည် '
TIBETAN = 'བོད་ཡིག་ནི་བོད་མིའི་སྐད་ཡིག་ཡིན། རྒྱ་མཚོ་ཆེན་པོ་ '
JAPANESE = '吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。コンピューターがﾊﾟﾝを食べる。 '
CHINESE = '话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。及秦灭之后，楚、汉分争，又并入于汉。'
TEXTS = {'thai': THAI, 'lao': LAO, 'khmer': KHMER, 'myanmar': MYANMAR, 'tibetan': TIBETAN, 'japanese': JAPANESE, 'chinese': CHINESE}
MIXED = ('ไทย2024abc “quoted” café\u0301 ½x\u200d三ab\u200dc 三\u200d国๓ '
         '\U0001f469\u200d\U0001f4bb½한국어 \u0e31\u0e48 e\u0301三\u0301z\ufeff')
UNSPACED = regex.compile('(?V1)[' + ''.join(fr'\p{{scx={name}}}' for name in words.SCRIPTS) + ']')


def naive(text):
    """The words of a text, character by character."""
    bounds, found = {match.start() for match in regex.finditer(r'\X', text)}, []
    for i, character in enumerate(text):
        letter = character.isalnum() or unicodedata.category(character)[0] == 'M'
        if letter and UNSPACED.match(character):
            begins = i in bounds and not regex.match(r'[\p{GCB=Extend}\p{GCB=SpacingMark}]', character)  # that of a mark alone
        else:
            before = text[i - 1] if i else ' '
            after = UNSPACED.match(before) and (before.isalnum() or unicodedata.category(before)[0] == 'M')
            begins = not letter and not (after and i not in bounds) or after and character.isalnum()
        if begins or not found:
            found.append('')
        found[-1] += character
    return found


def split(tok, text, segment=None):
    """The words of a text by its tokens, as bytes."""
    ids, found = tok.encode(text), []
    for i, start in zip(ids.tolist(), tok.words(ids, segment).tolist()):
        if start or not found:
            found.append(b'')
        found[-1] += tok.table[i]
    return found


@functools.cache
def trained(kind, name):
    return tokenizer.train([TEXTS[name] * 20], kind, 800)


@pytest.mark.parametrize('name', TEXTS)
def test_a_cluster_is_a_word_in_bytes(name):
    found = [word.decode() for word in split(tokenizer.Bytes(), TEXTS[name])]
    assert found == naive(TEXTS[name])
    letters = [cluster for cluster in regex.findall(r'\X', TEXTS[name]) if regex.match(r'[\p{L}\p{M}\p{N}]', cluster)]
    assert [word for word in found if regex.match(r'[\p{L}\p{M}\p{N}]', word)] == letters


def test_marks_signs_and_letters_of_other_scripts():
    assert [word.decode() for word in split(tokenizer.Bytes(), MIXED)] == naive(MIXED)
    assert naive('ไทย2024abc, ½x') == ['ไ', 'ท', 'ย', '2024abc', ',', ' ½x']


def test_random_text_by_bytes_is_the_naive_definition():
    draw, vocabulary = np.random.default_rng(0), tokenizer.Bytes()
    small = [chr(c) for c in (*range(0x3400), *range(0xA4D0, 0xAC00), *range(0xE000, 0x10000))]  # without the many of Han and Yi
    small = [character for character in small if unicodedata.category(character) != 'Cn' and UNSPACED.match(character)]
    scripts = [small, list(MIXED), list('the “x” ’s — né \n')]
    for _ in range(600):
        pool = scripts[draw.integers(3)] + scripts[draw.integers(3)]
        text = ''.join(draw.choice(pool, draw.integers(1, 40)))
        assert [word.decode() for word in split(vocabulary, text)] == naive(text), text


@pytest.mark.parametrize('name', TEXTS)
@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_pieces_have_the_words_of_their_text(kind, name):
    """A word of pieces is as many clusters as needed for both to begin at the same place; none begins inside a cluster."""
    for text in (TEXTS[name], MIXED, CHINESE, 'It was “the” best.'):
        begins, at = set(itertools.accumulate(map(len, naive(text)), initial=0)), 0
        for word in split(trained(kind, name), text):
            assert at in begins
            at += len(word.decode())


def test_bytes_of_a_rare_character_are_one_word():
    tok = trained('bpe', 'thai')
    for text in ('国', 'ກິ', '𠀀'):
        assert len(tok.encode(text)) == len(text.encode()) and [word.decode() for word in split(tok, text + text)] == [text, text]


def test_a_row_cut_inside_a_character():
    vocabulary = tokenizer.Bytes()
    ids = vocabulary.encode('กิ国')
    for first in range(len(ids)):
        for last in range(first + 1, len(ids) + 1):
            found = vocabulary.words(ids[first:last])
            assert len(found) == last - first and not any(found[i - first] for i in (1, 2, 3, 4, 5, 7, 8) if first <= i < last)


def test_special_tokens_separate_words():
    vocabulary = tokenizer.Bytes()
    ids = np.concatenate([vocabulary.encode('กิ'), [vocabulary.special.mask], vocabulary.encode('a'), vocabulary.encode('ก')])
    assert vocabulary.words(ids).tolist() == [True] + [False] * 5 + [True, False] + [True, False, False]


def test_pieces_that_cut_characters_are_no_endless_word():
    """A byte-level vocabulary with the last byte of a character and the first two of the next in one piece."""
    pieces = [b'\xe0\xb8', *(bytes([last]) + b'\xe0\xb8' for last in range(0x81, 0xA0))]
    found = words.Table(pieces)(np.array([0, 1, 2, 3, 4, 5, 6, 7]))
    assert found.tolist() == [True, False] + [True] * 5 + [False]


def test_the_words_of_english_are_those_of_each_piece_alone():
    text = next(iter(sources.open('bundled:novels')))[:50_000]
    for kind in ('unigram', 'bpe', 'bytes'):
        tok = tokenizer.train([text], kind, 900)
        ids = tok.encode(text.replace('"', '“'))
        alone = [not (character.isalnum() or unicodedata.category(character)[0] == 'M')
                 for character in (tok.table[i].decode(errors='replace')[0] for i in ids.tolist())]
        signs = np.isin(ids, [tok.encode('“')[-2:]])    # its second and third bytes are no whole characters
        assert (tok.words(ids) == (alone & ~signs)).all()


def corpus(tok, name):
    """Ten thousands of tokens in documents of a few lines."""
    documents = [tok.encode(TEXTS[name] * count) for count in (3, 7, 5, 9, 4)] * (20 if tok.kind == 'bytes' else 60)
    return cache.Tokens.from_arrays(documents, tok.special, tokenizer=tok)


@pytest.mark.parametrize('select', ['word', 'ngram', 'span'])
@pytest.mark.parametrize('kind', ['bytes', 'unigram', 'bpe', 'wordpiece'])
@pytest.mark.parametrize('name', ['thai', 'khmer', 'chinese', 'japanese'])
def test_whole_words_choose_their_share(name, kind, select):
    """15 % of the tokens, within 4 standard errors."""
    source = corpus(trained(kind, name), name)
    masked = objectives.load('masked_lm')(sequence_length=256, select=select)
    chosen, tokens = [], []
    for row in pipeline.plan(masked, source, 0, 0)[:150]:
        made = masked.transform(source, row, np.random.default_rng(len(chosen)))
        chosen.append(int(made['weights'].sum()))
        tokens.append(int((made['segments'] != 0).sum()))
    assert len(chosen) > 30 and min(chosen) > 0
    given.share(sum(chosen), sum(tokens), 0.15, f'{name}, {kind}, {select}')


LONG = {
    'dna': 'ACGTTGCAAGCTTAGC' * 200, 'digits': '3141592653589793' * 200, 'hangul': '가나다라마바사아자차카타파하' * 200,
    'base64': 'TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuTWFueSBoYW5kcyBtYWtl\n' * 60,
    'german': 'Donaudampfschifffahrtsgesellschaft Rindfleischetikettierung ' * 60,
    'malayalam': 'കേരളത്തിലെ മലയാളഭാഷാപണ്ഡിതന്മാരുടെ അഭിപ്രായത്തിൽ സാഹിത്യപരിഷത്തിന്റെ ' * 60, 'zalgo': ('a' + '\u0301' * 60 + ' ') * 60,
}


@pytest.mark.parametrize('fields', [*(dict(select=select) for select in ('word', 'ngram', 'span')), dict(select='word', count='roberta')])
@pytest.mark.parametrize('name', LONG)
def test_words_of_half_a_row_are_chosen_too(name, fields):
    """Budgets leave over what no word fits into; RoBERTa counts words, and those that do not fit the slots are left out."""
    vocabulary = tokenizer.Bytes()
    source = cache.Tokens.from_arrays([vocabulary.encode(LONG[name])] * 5, vocabulary.special, tokenizer=vocabulary)
    masked = objectives.load('masked_lm')(sequence_length=64, **fields)
    made = [masked.transform(source, row, np.random.default_rng(i)) for i, row in enumerate(masked.plan(source, 0, 0))]
    chosen, read = (sum(int((one[field] > 0).sum()) for one in made) for field in ('weights', 'segments'))
    assert (0.05 if 'count' in fields else 0.1) < chosen / read < 0.17, chosen / read


def test_a_segmenter_says_where_chinese_words_begin(monkeypatch):
    class Pairs:
        tmp_dir = None

        def initialize(self):
            assert not list(pathlib.Path(self.tmp_dir).iterdir())  # reads nothing that others have left

        def cut(self, text):
            return [text[i:i + 2] for i in range(0, len(text), 2)]

    monkeypatch.setitem(sys.modules, 'jieba', types.SimpleNamespace(Tokenizer=Pairs, setLogLevel=lambda level: None))
    segment, text = words.segmenter('jieba'), '话说天下大势,ab分久ไทย'
    assert [word.decode() for word in split(tokenizer.Bytes(), text, segment)] == ['话说', '天下', '大势', ',ab', '分久', 'ไ', 'ท', 'ย']
    source = corpus(trained('bytes', 'chinese'), 'chinese')
    alone = source.words(source.document(0)).sum()
    source.segment = segment
    assert 0.4 * alone < source.words(source.document(0)).sum() < 0.7 * alone


@pytest.mark.slow
def test_jieba_finds_the_words_of_its_documentation():
    segment = words.segmenter('jieba')        # these two sentences are in the README of jieba 0.42.1
    for text, expected in [('我来到北京清华大学', '我/来到/北京/清华大学'), ('他来到了网易杭研大厦', '他/来到/了/网易/杭研/大厦')]:
        assert [word.decode() for word in split(tokenizer.Bytes(), text, segment)] == expected.split('/')


def test_a_segmenter_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'jieba', None)
    with pytest.raises(errors.DataError) as caught:
        words.segmenter('jieba')
    assert str(caught.value) == "data.words=jieba: expected the package jieba, got none; pip install -e '.[jieba]'"
    assert words.segmenter(None) is None
