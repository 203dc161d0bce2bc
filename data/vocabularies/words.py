"""What a word is, by the characters of a text: one definition for bytes, pieces and WordPiece.

As in ALBERT, white space and anything that is no letter, digit or mark begins a word: so does punctuation, and letters after it without a
space belong to that word. In scripts without spaces between words each extended grapheme cluster (Unicode Standard Annex 29) is a word, as
each Chinese character is in BERT, and a letter of another script after one begins a word. Where a segmenter is chosen, its words count
instead (`segment`: words of a run of Chinese characters, as BERT-wwm has them). A token begins a word if a word begins with its first byte.
"""
import functools
import tempfile
from typing import Callable, Iterable

import numpy as np
import regex

from data import errors

SCRIPTS = ('Han Hiragana Katakana Bopomofo Yi Tangut Nushu Thai Lao Khmer Myanmar Tai_Le New_Tai_Lue Tai_Tham Tai_Viet Ahom Tibetan '
           'Javanese Balinese').split()
# Kinds of characters. LINKER: may join the consonant after it to a cluster. JOINER: a sign that continues a cluster (zero-width joiner).
SIGN, LETTER, MARK, JOINER, CLUSTER, INSIDE, LINKER = range(7)
KINDS = 7
UNSPACED = np.arange(KINDS) >= CLUSTER        # bool[kind]: of a script without spaces
# First bytes of characters that begin a word, where the rest is missing: Latin-1 signs, punctuation, Chinese and Japanese, emoji.
LEADS = [0xC2, *range(0xE2, 0xEA), 0xEE, 0xEF, *range(0xF0, 0xF5)]
CONTINUES, BEGINS, OPEN = range(3)            # whether an id begins a word; OPEN: its neighbours decide
STRAY = 0xDC00                                # a byte that is no whole character is the code point STRAY + byte (surrogateescape)


@functools.cache
def kinds() -> np.ndarray:
    """uint8[0x110000]: the kind of every character, by the Unicode version of the package `regex`."""
    assigned = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]  # the other planes have no characters
    characters, assigned = ''.join(map(chr, assigned)), np.array(assigned)
    scripts = ''.join(fr'\p{{scx={name}}}' for name in SCRIPTS)
    extends = r'\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}'
    found = np.full(0x110000, SIGN, np.uint8)
    for kind, pattern in ((LETTER, r'[\p{L}\p{N}]'), (JOINER, fr'[{extends}]'), (MARK, r'\p{M}'),
                          (CLUSTER, fr'[[\p{{L}}\p{{N}}\p{{M}}]&&[{scripts}]]'), (INSIDE, fr'[[{extends}]&&[\p{{L}}\p{{M}}]&&[{scripts}]]'),
                          (LINKER, fr'[\p{{InCB=Linker}}&&[{scripts}]]')):
        for match in regex.finditer(f'(?V1){pattern}+', characters):
            found[assigned[match.start():match.end()]] = kind
    found[STRAY:STRAY + 0x100] = MARK
    found[STRAY + np.array(LEADS)] = SIGN
    return found


def starts(text: str, kind: np.ndarray, segment: Callable | None = None) -> np.ndarray:
    """bool[n]: which characters of a text begin a word. kind: uint8[n], their kinds."""
    begin = (kind == SIGN) | (kind == JOINER) | (kind == CLUSTER)
    after = UNSPACED[kind[:-1]]
    begin[1:] |= after & (kind[1:] == LETTER)
    begin[1:] &= ~(after & (kind[1:] == JOINER))
    if LINKER in kind.tobytes():
        bounds = np.zeros(len(kind), bool)
        bounds[[match.start() for match in regex.finditer(r'\X', text)]] = True
        begin &= bounds | (kind != CLUSTER)
    for match in regex.finditer(r'\p{Han}+', text) if segment else ():
        first, last = match.span()
        begin[first:last] = False
        begin[first + np.cumsum([0, *map(len, segment(match.group()))])[:-1]] = True
    return begin


@functools.cache
def pairs() -> np.ndarray:
    """uint8[256, 256]: whether the characters whose UTF-8 begins with these two bytes begin a word where no script without spaces is near;
    OPEN where they differ, or are of such a script."""
    of_kind = np.full(KINDS, OPEN, np.uint8)
    of_kind[[SIGN, JOINER]], of_kind[[LETTER, MARK]] = BEGINS, CONTINUES
    answers, found = of_kind[kinds()], np.full((256, 256), OPEN, np.uint8)
    for size, first, last, lead in ((1, 0x80, 0x800, 0xC0), (64, 0x800, 0x10000, 0xE0), (4096, 0x10000, 0x110000, 0xF0)):
        blocks = answers[first:last].reshape(-1, size)
        number = np.arange(first // size, last // size)
        same = np.where(blocks.min(1) == blocks.max(1), blocks[:, 0], OPEN)
        found[lead + (number >> 6), 0x80 + (number & 63)] = same
    return found


class Table:
    """Which tokens of a row begin a word, for a vocabulary. texts: the bytes of every id, empty for reserved ones, which are words.
    continuing: ids that continue the word before them, whatever their text begins with, unless that is of a script without spaces."""

    def __init__(self, texts: list[bytes], continuing: Iterable[int] = ()):
        texts = [text or b'\0' for text in texts]
        self.bytes = np.frombuffer(b''.join(texts), np.uint8)
        self.sizes = np.array([len(text) for text in texts])
        self.firsts = np.cumsum(self.sizes) - self.sizes
        self.single = np.where(self.sizes == 1, self.bytes[self.firsts], 0)
        self.begins = np.array([_alone(text) for text in texts], np.uint8)
        rest = np.array(sorted(continuing), np.int64)
        self.begins[rest[self.begins[rest] != OPEN]] = CONTINUES

    def __call__(self, ids: np.ndarray, segment: Callable | None = None) -> np.ndarray:
        """bool[n]. A row may begin or end inside a character."""
        found = self.begins[ids]
        if OPEN not in found.tobytes():
            return found.view(bool)
        leads = np.flatnonzero(found == OPEN)  # of bytes, in a text like English two decide
        answers = pairs()[self.single[ids[leads]], self.single[ids[np.minimum(leads + 1, len(ids) - 1)]]]
        if OPEN not in answers.tobytes():
            found[leads] = answers
            return found.view(bool)
        return self._read(ids, found, segment)

    def _read(self, ids, found, segment):
        """The same by the text of the row."""
        sizes = self.sizes[ids]
        ends = np.cumsum(sizes)
        firsts = ends - sizes
        data = self.bytes[np.arange(ends[-1]) + np.repeat(self.firsts[ids] - firsts, sizes)]
        text, codes, kind = _characters(data.tobytes())
        width = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
        width[codes >> 8 == STRAY >> 8] = 1
        at = np.cumsum(width) - width
        begin, after, clusters = (np.zeros(len(data), bool) for _ in range(3))
        begin[at] = starts(text, kind, segment)
        after[at[1:]] = UNSPACED[kind[:-1]]
        result = np.where(found == OPEN, begin[firsts], (found == BEGINS) | begin[firsts] & after[firsts])
        # Pieces of bytes that each end one character and begin the next would be one word without an end.
        clusters[at] = begin[at] & UNSPACED[kind]
        count = np.cumsum(clusters)
        inside = (count[ends - 1] > count[firsts]) & (data[firsts] >> 6 == 2)
        result[1:] |= inside[1:] & inside[:-1]
        return result


def _alone(text):
    """Whether an id with this text begins a word, if its neighbours do not matter."""
    if text.isascii():
        return BEGINS if kinds()[text[0]] == SIGN else CONTINUES
    _, codes, kind = _characters(text)
    stray = codes >> 8 == STRAY >> 8
    if stray.all() and (codes < STRAY + 0xC0).all():
        return CONTINUES
    if kind[0] == JOINER or (UNSPACED[kind] | stray).any():
        return OPEN
    return BEGINS if kind[0] == SIGN else CONTINUES


def _characters(data):
    """(text, its code points, their kinds) of UTF-8, in which stray bytes are code points from STRAY on."""
    text = data.decode('utf-8', 'surrogateescape')
    codes = np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), np.uint32)
    return text, codes, kinds()[codes]


def segmenter(name: str | None) -> Callable | None:
    """The function `segment` of a setting `data.words`; None without one. DataError where its package is missing."""
    if name is None:
        return None
    try:
        import jieba
    except ImportError:
        raise errors.DataError(f"data.words={name}: expected the package {name}, got none; pip install -e '.[{name}]'") from None
    jieba.setLogLevel('ERROR')
    found = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:  # otherwise it reads a dictionary that any user may have left in /tmp
        found.tmp_dir = folder
        found.initialize()
    return found.cut
