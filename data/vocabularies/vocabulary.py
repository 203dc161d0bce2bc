"""What every tokenizer does with ids once it has them: decoding, bytes of text an id, where words begin."""
import functools
import hashlib
import json
import os
from typing import Iterable

import numpy as np
from numpy import typing as npt

from data import atomic, errors, places
from data.vocabularies import hostile, words


class Vocabulary:
    """What tokenizers share: the byte string of every id, and everything that follows from it. A child has `encode`, and sets `special`,
    `table` (one `bytes` an id: the text it stands for, empty for reserved ids) and `definition` (bytes that determine the tokenizer)."""
    kind = ''           # in the tokenizer.json that `save` writes
    lossless = True     # decode(encode(text)) == text, and token_bytes sums to the text's bytes
    prefix = b''        # b' ' if the tokenizer puts a space before every text
    continuing = ()     # ids that continue the word before them whatever their text (WordPiece's ##)

    @property
    def vocab_size(self) -> int:
        return self.special.vocab_size

    @functools.cached_property
    def token_bytes(self) -> np.ndarray:
        """int32[V]: UTF-8 bytes of text that each id stands for; 0 for reserved ids."""
        return np.array([len(text) for text in self.table], np.int32)

    @functools.cached_property
    def words(self) -> words.Table:
        """Which tokens of a row of ids begin a word: bool[n] of int[n] (data/vocabularies/words.py)."""
        return words.Table(self.table, self.continuing)

    @functools.cached_property
    def hash(self) -> str:
        """sha256 of the definition: equal exactly when two tokenizers give the same ids for every text."""
        header = json.dumps(self.special.as_dict(), sort_keys=True).encode()
        return hashlib.sha256(header + b'\0' + self.definition).hexdigest()

    def check(self, saved: str | None) -> None:
        """DataError where a saved tokenizer had another hash; None = it is new. Called before anything grows with the number of ids."""
        if saved is not None and saved != self.hash:
            raise errors.DataError('expected the files whose hash tokenizer.json holds, got others; copy the whole folder again')

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        """int32[n] of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: npt.ArrayLike, skip_special: bool = False) -> str:
        """Text of a row of ids; special ids are shown as <mask>, <extra_0>, ... or skipped.

        A row may begin or end inside a character that is spelt in bytes: the stray bytes become U+FFFD. Ids past the vocabulary, which a
        model with more rows than ids may predict, are shown as <unused> or skipped.
        """
        table, unused = (self.table, b'') if skip_special else (self._shown, b'<unused>')
        text = b''.join([table[i] if i < len(table) else unused for i in np.asarray(ids).tolist()]).decode('utf-8', 'replace')
        return text[1:] if self.prefix and text[:1] == ' ' else text

    @functools.cached_property
    def _shown(self):
        return [text or (self.name(i) or '').encode() for i, text in enumerate(self.table)]

    def name(self, i: int) -> str | None:
        """How id `i` is shown when it is special; None when it is text."""
        return self.special.name(i)

    def piece(self, i: int) -> str:
        """The name of a special id, the text of another, or <0x..> where its bytes are no whole characters."""
        try:
            return self.name(i) or self.table[i].decode()
        except UnicodeDecodeError:
            return f'<0x{self.table[i].hex().upper()}>'

    def probe(self, own: Iterable[str] = ()) -> None:
        """Sets `prefix` and `lossless` by trying texts (data/vocabularies/hostile.py). own: strings that it treats unlike others."""
        def read(text):
            return b''.join([self.table[i] for i in self.encode(text).tolist()])

        self.prefix = b' ' if read('a')[:1] == b' ' else b''
        same = [read(text) == text.encode() for text in hostile.texts(own)]  # also where one is enough: an error is better now than later
        self.lossless = self.lossless and not self.prefix and all(same)

    def files(self) -> dict[str, bytes]:
        """The files, by name, that `save` writes beside tokenizer.json."""
        return {}

    def save(self, folder: str | os.PathLike) -> None:
        """Writes a folder that data/tokenizer.py loads; tokenizer.json, with the special ids, is last."""
        definition = {'kind': self.kind, 'special': self.special.as_dict(), 'hash': self.hash}
        for name, data in {**self.files(), 'tokenizer.json': (json.dumps(definition, indent=1) + '\n').encode()}.items():
            path = places.path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, data)


def valid(text: str) -> str:
    """The text without lone surrogates."""
    return text if text.isascii() else utf8(text).decode()


def utf8(text: str) -> bytes:
    """UTF-8 of any Python string; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace').encode()
