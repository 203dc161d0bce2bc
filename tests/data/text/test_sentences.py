"""The sentence rule: worked examples, and a walk over characters that states it a second time."""
import random

import numpy as np
import pytest
import regex

from data import tokenizer
from data.text import sentences, terminals


def cut(text):
    data = text.encode()
    starts = [*sentences.starts(data).tolist(), len(data)]
    return [data[a:b].decode() for a, b in zip(starts, starts[1:])]


@pytest.mark.parametrize('expected', [
    ['One.', ' Two!', ' Three?', ' Four'],
    ['"Is it?"', ' she asked.', ' (Yes.)', ' It is…', ' so.'],
    ['A line\n', 'and another.\n\n', 'A paragraph.  \n \n', 'End.'],
    ['Mr. and Mrs. Bennet met Dr. J. Smith of St. Ives.', ' Ms. X. came.'],
    ['It cost 3.14 at example.com, v1.2.', ' Right?!', ' He said..."no"'],
    ['He left.”', ' «Oui!»', ' ‘No.’', ' ok'],
    ['玄德曰：“是。”', '众皆大喜！！', '如何？', '未完'],
    ['\n\n', 'starts with blank lines'],
    ['trailing space. '],
    ['Mister ends in Amr.', ' Next'],
    ['यह एक वाक्य है।', ' यह दूसरा है॥', ' और'], ['هل هذا سؤال؟', ' نعم.', ' حسنا'], ['یہ ایک جملہ ہے۔', ' دوسرا'], ['ይህ ነው።', ' ሌላ'],
    ['នេះ។', ' ទៀត'], ['သည်။', ' နောက်'], ['Սա է։', ' Մյուս'], ['𑀓𑁇', ' 𑀓'], ['値は３．１４である．', '次は｡', '終'],
    ['„Ja.“', ' Er ging.', ' «Non», dit-il.', '\xa0Fin'], ['日曜日。', '「はい。」', 'そう'], ['😀 One.', ' 😀 Two.', ' 😀'],
])
def test_examples(expected):
    assert cut(''.join(expected)) == expected


def test_the_table_is_unicodes():
    """A version of `regex` with a newer Unicode says which characters are missing here."""
    assert list(terminals.characters()) == regex.findall(r'\p{Sentence_Terminal}', ''.join(map(chr, range(0x110000))))


def naive(text):
    """The docstring of data/text/sentences.py, one character at a time."""
    close, narrow, wide, bounds, i = '"\')*_]’”»」』）', '.!?…', '。！？।؟۔．𑁇', [0], 0
    while i < len(text):
        name = text[i] == '.' and any(text[:i].endswith(word)
                                      and not (text[:i][:-len(word)][-1:].isascii()
                                               and (text[:i][:-len(word)][-1:].isalnum()
                                                    or text[:i][:-len(word)][-1:] == '_'))
                                      for word in ['Mr', 'Mrs', 'Ms', 'Dr', 'St', *'ABCDEFGHIJKLMNOPQRSTUVWXYZ'])
        end = None
        if text[i] == '\n':
            end = i + 1
        elif text[i] in narrow and not name:
            j = i + 1
            while text[j:j + 1] and text[j] in narrow:
                j += 1
            while text[j:j + 1] and text[j] in close + '“«‹›':
                j += 1
            if j == len(text) or text[j] in ' \t\r\n\xa0\u3000':
                end = j
        elif text[i] in wide and not (text[i] == '．' and text[i + 1:i + 2] and text[i + 1] in '0123456789３'):
            j = i + 1
            while text[j:j + 1] and text[j] in narrow + wide:
                j += 1
            while text[j:j + 1] and text[j] in close:
                j += 1
            end = j
        if end is None:
            i += 1
            continue
        while True:  # line breaks after it, with the white space before them
            j = end
            while text[j:j + 1] and text[j] in ' \t\r':
                j += 1
            if text[j:j + 1] != '\n':
                break
            end = j + 1
        bounds.append(end)
        i = end
    data = [len(text[:bound].encode()) for bound in bounds]
    return [d for d in data if d == 0 or d < len(text.rstrip().encode())]


def test_against_a_walk_over_characters():
    draw = random.Random(1)
    pool = ['a', 'Word', ' ', ' ', '\n', '.', '.', '!', '?', '…', '。', '！', '？', '"', '’', '”', ')', '」', '）', 'Mr',
            ' Dr', 'St', 'J', '\t', '\r', '三', '…”', '*', '।', '؟', '۔', '．', '3', '３', 'é', '“', '«', '\xa0', '\u3000', '𑁇', '😀']
    for _ in range(5000):
        text = ''.join(draw.choice(pool) for _ in range(draw.randrange(25)))
        assert sentences.starts(text.encode()).tolist() == naive(text), repr(text)


@pytest.mark.parametrize('kind', ('unigram', 'bpe', 'bytes'))
def test_token_starts(kind):
    text = 'First one. Second, here.\n\n"Third!" she said. 第四句。第五句\nMr. Six.  '
    tok = tokenizer.train([text * 30], kind, 620)
    ids, data = tok.encode(text), text.encode()
    begins = [0, *np.cumsum([len(tok.table[i]) for i in ids])]
    expected = sorted({next(k for k, begin in enumerate(begins) if begin >= start) for start in sentences.starts(data)})
    found = sentences.token_starts(data, ids, tok.token_bytes)
    assert found.tolist() == [k for k in expected if k < len(ids)] and found[0] == 0
    parts = [tok.decode(ids[a:b]) for a, b in zip(found, [*found[1:], len(ids)])]
    assert ''.join(parts) == text
    if kind == 'bytes':
        assert parts == cut(text)


def test_token_starts_of_a_lossy_tokenizer_stay_inside():
    ids, token_bytes = np.arange(5), np.array([3, 3, 3, 3, 3], np.int32)
    found = sentences.token_starts(b'abcdefgh. ijklmnop. qrstuv. x', ids, token_bytes)
    assert found[0] == 0 and (np.diff(found) > 0).all() and found[-1] < 5
    assert sentences.token_starts(b'', np.zeros(0, np.int32), token_bytes).tolist() == []
