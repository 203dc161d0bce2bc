"""The ids of a vocabulary that are not text, and what every tokenizer does with ids once it has them.

Layout (T5's, with BERT's symbols added): text pieces below, sentinels at the very top, counted downwards, so that
the j-th masked span of a row is `vocab_size - 1 - j` whatever the rest of the vocabulary looks like. At least 256
sentinels: the 100 of T5 run out at 1,810 input tokens (density 0.15, spans of 3).
"""
import dataclasses
import hashlib
import json
import re
from typing import Tuple
import unicodedata

import numpy as np

SENTINELS = 256
# No normalisation leaves this as it is, and it has every byte of assigned characters, which a vocabulary may lack (SmolLM2's
# lacks some control characters and the planes of no characters: of these alone it drops bytes).
PROBE = (' a  b\r\n\n\t\u2581\ufb01\u2460 \uff21 e\u0301\u4e09 \U0001f600 '
         + ''.join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC0, 0x800, 0x40), 0x800, *range(0x1000, 0x10000, 0x1000)])))
NAMES = ('pad', 'eos', 'mask', 'cls', 'sep', 'bos')
# Further marks that some objectives need. They take the last sentinels, counted upwards, so that every vocabulary has them.
MARKS = ('fim_prefix', 'fim_suffix', 'fim_middle', 'nlu', 's2s', 'nlg')

# Characters of scripts that put no spaces between words: Chinese, Japanese, Bopomofo; Thai, Lao; Burmese; Khmer.
UNSPACED = re.compile('[\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f'
                      '\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]')
# First bytes of characters that begin a word: Latin-1 signs, punctuation, Chinese and Japanese, full-width forms, emoji. The
# others (letters of scripts with spaces, and bytes inside a character, 0x80 to 0xBF) go on with one.
LEADS = frozenset([0xC2, *range(0xE2, 0xEA), 0xEE, 0xEF, *range(0xF0, 0xF5)])


@dataclasses.dataclass(frozen=True)
class Special:
    """Ids with a meaning of their own.

    `sentinels` is (first, last): the first one used has the highest id, `vocab_size - 1`, and they descend. `bos`,
    what a decoder reads first, is `pad` unless the vocabulary says otherwise (seqio, T5). `others` are further ids
    that never stand for text, such as `<unk>` and a foreign model's control symbols. A foreign vocabulary may lack a mask,
    `mask` = -1, and sentinels, `sentinels` = (vocab_size - 1, vocab_size), of which there are 0; roles may share an id.
    """
    pad: int
    eos: int
    mask: int
    cls: int
    sep: int
    sentinels: Tuple[int, int]
    vocab_size: int
    bos: int = -1
    others: Tuple[int, ...] = ()

    def __post_init__(self):
        if self.bos < 0:
            object.__setattr__(self, 'bos', self.pad)
        object.__setattr__(self, 'sentinels', tuple(int(i) for i in self.sentinels))
        object.__setattr__(self, 'others', tuple(int(i) for i in self.others))
        first, last = self.sentinels
        if last == first + 1:
            object.__setattr__(self, 'sentinels', (self.vocab_size - 1, self.vocab_size))
        ids = [*self._single(), *range(last, first + 1)[:1], *range(last, first + 1)[-1:], *self.others]
        if min(ids) < 0 or max(ids) >= self.vocab_size or last > first + 1:
            raise ValueError(f'special ids must lie in [0, vocab_size) and sentinels descend, got {self}')

    @property
    def num_sentinels(self):
        return self.sentinels[0] - self.sentinels[1] + 1

    def sentinel(self, j):
        """Id of the j-th sentinel, int or array; ValueError when they run out."""
        if np.any(np.asarray(j) < 0) or np.any(np.asarray(j) >= self.num_sentinels):
            raise ValueError(f'expected at most {self.num_sentinels} masked spans in a row, got span {np.max(j)}; '
                             'lower sequence_length or the noise density, or use longer spans')
        return self.sentinels[0] - j

    def mark(self, name):
        """Id of one of MARKS; ValueError when there are too few sentinels for them."""
        if self.num_sentinels < len(MARKS):
            raise ValueError(f'marks take {len(MARKS)} sentinels, the tokenizer has {self.num_sentinels}')
        return self.sentinels[1] + MARKS.index(name)

    @property
    def reserved(self):
        """int32[R], sorted: every id that never stands for text."""
        first, last = self.sentinels
        return np.unique(np.asarray([*self._single(), *self.others, *range(last, first + 1)], np.int32))

    def _single(self):
        """Ids of the roles, without a mask that there is not."""
        return [getattr(self, name) for name in NAMES if name != 'mask' or self.mask != -1]

    def name(self, i):
        """How id `i` is written in decoded text: <mask>, <extra_0>, ...; None when it is text."""
        first, last = self.sentinels
        if last <= i <= first:
            return f'<extra_{first - i}>'
        for name in NAMES:
            if i == getattr(self, name) and i >= 0:
                return f'<{name}>'
        return f'<reserved_{i}>' if i in self.others else None

    def as_dict(self):
        """Plain JSON values; `Special(**d)` is the inverse."""
        values = {name: int(getattr(self, name)) for name in NAMES}
        return {**values, 'sentinels': list(self.sentinels), 'vocab_size': int(self.vocab_size),
                'others': list(self.others)}


class Vocabulary:
    """What tokenizers share: the byte string of every id, and everything that follows from it.

    A child sets `special`, `table` (one `bytes` an id: the text it stands for, empty for reserved ids) and `definition`
    (bytes that determine the tokenizer).
    """
    lossless = True  # decode(encode(text)) == text, and token_bytes sums to the text's bytes

    @property
    def vocab_size(self):
        return self.special.vocab_size

    @property
    def token_bytes(self):
        """int32[V]: UTF-8 bytes of text that each id stands for; 0 for reserved ids."""
        if not hasattr(self, '_token_bytes'):
            self._token_bytes = np.array([len(text) for text in self.table], np.int32)
        return self._token_bytes

    @property
    def word_starts(self):
        """bool[V]: which ids begin a word, see `begins_word`; see data/noise/spans.py for the words of a row."""
        if not hasattr(self, '_word_starts'):
            self._word_starts = np.array([begins_word(text) for text in self.table], bool)
        return self._word_starts

    @property
    def hash(self):
        """sha256 of the definition: equal exactly when two tokenizers give the same ids for every text."""
        if not hasattr(self, '_hash'):
            header = json.dumps(self.special.as_dict(), sort_keys=True).encode()
            self._hash = hashlib.sha256(header + b'\0' + self.definition).hexdigest()
        return self._hash

    def name(self, i):
        """How id `i` is shown when it is special; None when it is text."""
        return self.special.name(i)

    def decode(self, ids, skip_special=False):
        """Text of a row of ids; special ids are shown as <mask>, <extra_0>, ... or skipped.

        A row may begin or end inside a character that is spelt in bytes: the stray bytes become U+FFFD. Ids past the
        vocabulary, which a model with more rows than ids may say, are shown as <unused> or skipped.
        """
        if not hasattr(self, '_shown'):
            self._shown = [text or (self.name(i) or '').encode() for i, text in enumerate(self.table)]
        table, unused = (self.table, b'') if skip_special else (self._shown, b'<unused>')
        return b''.join([table[i] if i < len(table) else unused for i in np.asarray(ids).tolist()]).decode('utf-8', 'replace')

    def pieces(self, ids):
        """list[str], one readable piece an id, for pictures of what the model is fed."""
        return [self.piece(i) for i in np.asarray(ids).tolist()]

    def piece(self, i):
        name = self.name(i)
        if name:
            return name
        try:
            return self.table[i].decode()
        except UnicodeDecodeError:
            return f'<0x{self.table[i].hex().upper()}>'


def begins_word(text):
    """Whether a piece, the `bytes` of text that an id stands for, begins a word; otherwise it goes on with the word before.

    It begins one with white space or with anything that is no letter, digit or mark, as in ALBERT: punctuation begins a word,
    and letters after it without a space belong to that word. A piece with characters of a script without spaces is a word
    by itself (ALBERT's rule for all letters but English ones). Bytes of longer characters are judged one by one: LEADS.
    A reserved id, which has no text, is a word of its own. Of bytes that are no whole characters the first says it.
    """
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        if text[0] >= 0x80:
            return text[0] in LEADS
        characters = chr(text[0])
    if not characters or UNSPACED.search(characters):
        return True
    return not (characters[0].isalnum() or unicodedata.category(characters[0])[0] == 'M')


def valid(text):
    """The text without lone surrogates."""
    return text if text.isascii() else utf8(text).decode()


def utf8(text):
    """UTF-8 of any Python string; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace').encode()
