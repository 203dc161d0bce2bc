"""What every tokenizer does with ids once it has them: decoding, bytes of text an id, where words begin."""
import hashlib
import json
import re
import unicodedata

import numpy as np

# No normalisation leaves this as it is, and it has every byte of assigned characters, which a vocabulary may lack (SmolLM2's
# lacks some control characters and the planes of no characters: of these alone it drops bytes).
PROBE = (' a  b\r\n\n\t\u2581\ufb01\u2460 \uff21 e\u0301\u4e09 \U0001f600 '
         + ''.join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC0, 0x800, 0x40), 0x800, *range(0x1000, 0x10000, 0x1000)])))
# Characters of scripts that put no spaces between words: Chinese, Japanese, Bopomofo; Thai, Lao; Burmese; Khmer.
UNSPACED = re.compile('[\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f'
                      '\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]')
# First bytes of characters that begin a word: Latin-1 signs, punctuation, Chinese and Japanese, full-width forms, emoji. The
# others (letters of scripts with spaces, and bytes inside a character, 0x80 to 0xBF) go on with one.
LEADS = frozenset([0xC2, *range(0xE2, 0xEA), 0xEE, 0xEF, *range(0xF0, 0xF5)])


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
