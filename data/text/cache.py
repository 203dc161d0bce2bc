"""Tokenised documents as flat arrays on disk, memory-mapped: what objectives and the pipeline read.

As in Megatron's indexed dataset, all ids are in one file, offsets of documents and of sentences in two others. The folder's name is a hash
of its content (source, tokenizer, format), so that it can be moved and never belongs to another text. `cache_writer.py` writes it.
"""
import functools
import hashlib
import json
import os
import pathlib
from typing import Any, Callable

import numpy as np

from data import errors, places, special_tokens
from data.text import cache_writer, sources


class Tokens:
    """A corpus of D documents as token ids, without EOS or any other special id.

    flat: integers [num_tokens], all documents one after the other.
    offsets: int64[D + 1]; document i is `flat[offsets[i]:offsets[i + 1]]`, never empty.
    sentence_offsets: int64[S], ascending: indices into `flat` where sentences start (every document starts one).
    num_bytes: UTF-8 bytes of the text; the sum of `token_bytes[flat]` when the tokenizer is lossless.
    segment: the words of a run of Chinese characters (data/vocabularies/words.py); None = each is one.
    """
    segment: Callable | None = None

    def __init__(self, flat, offsets, sentence_offsets, special, token_bytes, fingerprint, tokenizer, num_bytes, word_starts=None):
        self.flat, self.offsets, self.sentence_offsets = flat, offsets, sentence_offsets
        self.special, self.token_bytes, self.fingerprint = special, token_bytes, fingerprint
        self.tokenizer, self.num_bytes, self._word_starts = tokenizer, num_bytes, word_starts

    @classmethod
    def from_arrays(cls, documents: list, special: special_tokens.Special, sentences: list | None = None, token_bytes: Any = None,
                    tokenizer: Any = None, word_starts: Any = None) -> 'Tokens':
        """Tokens in memory, for tests and small data.

        documents: list of int arrays. sentences: for every document the token positions where sentences start (0 is added); None = one
        sentence a document. token_bytes: int[V]; None = 1 for each id of text. word_starts: bool[V], ids that begin a word; None = the
        tokenizer's, or all without one. DataError when an id is not below vocab_size.
        """
        lengths = np.array([len(d) for d in documents], np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.concatenate([np.asarray(d, np.int32) for d in documents] or [np.zeros(0, np.int32)])
        cache_writer.check(flat, special.vocab_size)
        if sentences is None:
            sentences = [[0]] * len(documents)
        starts = [offsets[i] + np.union1d([0], s).astype(np.int64) for i, s in enumerate(sentences) if lengths[i]]
        if token_bytes is None:
            token_bytes = np.ones(special.vocab_size, np.int32)
            token_bytes[special.reserved] = 0
        token_bytes = np.asarray(token_bytes, np.int32)
        digest = hashlib.sha256(repr(special).encode() + flat.tobytes() + offsets.tobytes()).hexdigest()
        return cls(flat, offsets, np.concatenate(starts or [np.zeros(0, np.int64)]), special, token_bytes, digest, tokenizer,
                   int(token_bytes[flat].sum()), word_starts)

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def num_tokens(self) -> int:
        return int(self.offsets[-1])

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """int64[D], tokens in each document."""
        return np.diff(self.offsets)

    def words(self, ids: np.ndarray) -> np.ndarray:
        """bool[n]: which tokens of int[n], a row in the order of the text, begin a word (data/vocabularies/words.py)."""
        if self._word_starts is None and self.tokenizer is not None:
            return self.tokenizer.words(ids, self.segment)
        return np.ones(len(ids), bool) if self._word_starts is None else np.asarray(self._word_starts, bool)[ids]

    def document(self, i: int) -> np.ndarray:
        """int32[n], the tokens of document i."""
        return self.flat[self.offsets[i]:self.offsets[i + 1]].astype(np.int32)

    def sentences(self, i: int) -> np.ndarray:
        """int64[s]: where the sentences of document i start, counted from the document's first token (0 first)."""
        start, stop = self.offsets[i], self.offsets[i + 1]
        first, last = np.searchsorted(self.sentence_offsets, (start, stop))
        return self.sentence_offsets[first:last] - start


def build(source: sources.Source, tokenizer: Any, folder: pathlib.Path, notice: Callable = print, shard_bytes: int = 1 << 26) -> Tokens:
    """Tokens of `source`, tokenised at the first call and opened at the next.

    folder: local; the cache is in folder/tokens/KEY. After a kill the next call continues after the last complete shard (`shard_bytes` of
    text); a second process waits for the first. A cache in which one bit has changed is written again. notice: called with lines for the
    user. DataError for bad data, no tokens, ids outside the vocabulary.
    """
    fingerprint = _hash([1, source.fingerprint, tokenizer.hash])  # 1: as the checkpoints of the first format have it
    key = _hash([cache_writer.FORMAT, fingerprint])
    folder = place(folder) / 'tokens' / key[:32]
    index = cache_writer.load(folder / 'index.json')
    if index is None or cache_writer.damage(folder, index, key):
        cache_writer.write(source, tokenizer, folder, notice, shard_bytes, key)
        index = cache_writer.load(folder / 'index.json')
    for line in index['notices']:
        notice(line)
    arrays = (np.asarray(np.memmap(folder / name, dtype, 'r')) for name, dtype in cache_writer.layout(tokenizer.vocab_size).items())
    return Tokens(*arrays, tokenizer.special, tokenizer.token_bytes, fingerprint, tokenizer, index['bytes'])


def place(location: str | os.PathLike) -> pathlib.Path:
    """The folder of the caches. DataError for a remote one."""
    if '://' in str(location):
        raise errors.DataError(f'{location}: expected a local folder for the token cache, which is memory-mapped; set data.cache')
    return places.path(location)


def _hash(values):
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
