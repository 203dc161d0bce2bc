"""Text to ids and back, losslessly: a byte vocabulary that needs no training, and SentencePiece.

Every tokenizer has `special`, `vocab_size`, `encode`, `encode_batch`, `decode`, `pieces`, `token_bytes`, `hash` and
`save`. The byte vocabulary is ByT5's (Xue et al. 2021): byte b is id b + 3.
"""
import json
import pathlib

import numpy as np

from data import vocabulary

Special = vocabulary.Special


class Bytes(vocabulary.Vocabulary):
    """One id a UTF-8 byte: pad 0, eos 1, mask 2, bytes from 3, cls, sep, then the sentinels."""
    OFFSET = 3

    def __init__(self, sentinels=vocabulary.SENTINELS):
        text_end = self.OFFSET + 256
        size = text_end + 2 + sentinels
        self.special = Special(pad=0, eos=1, mask=2, cls=text_end, sep=text_end + 1,
                               sentinels=(size - 1, size - sentinels), vocab_size=size)
        self.table = [b''] * self.OFFSET + [bytes([b]) for b in range(256)] + [b''] * (2 + sentinels)
        self.definition = b'bytes'

    def encode(self, text):
        """int32[n], no special ids added."""
        return np.frombuffer(vocabulary.utf8(text), np.uint8).astype(np.int32) + self.OFFSET

    def encode_batch(self, texts):
        """list of int32[n]."""
        return [self.encode(text) for text in texts]

    def save(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        definition = {'kind': 'bytes', 'special': self.special.as_dict(), 'hash': self.hash}
        (folder / 'tokenizer.json').write_text(json.dumps(definition, indent=1) + '\n', encoding='utf-8')
