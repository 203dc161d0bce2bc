"""Tokenised documents as flat arrays on disk, memory-mapped: what objectives and the pipeline read.

As Megatron's indexed dataset: all ids in one file, offsets of documents and of sentences in two others. The folder is
named by content (source, tokenizer, format), so that it can be moved and never serves another text. Writing lives in
`data/text/cache_writer.py`.
"""
import functools
import hashlib
import json
import pathlib

import numpy as np

from data import errors
from data.text import cache_writer


class Tokens:
    """A corpus of D documents as token ids, without EOS or any other special id.

    flat: unsigned or signed integers [num_tokens], all documents one after the other.
    offsets: int64[D + 1]; document i is `flat[offsets[i]:offsets[i + 1]]`, never empty.
    sentence_offsets: int64[S], ascending: indices into `flat` where sentences start (every document starts one).
    num_bytes: UTF-8 bytes of the text; the sum of `token_bytes[flat]` when the tokenizer is lossless.
    """

    def __init__(self, flat, offsets, sentence_offsets, special, token_bytes, fingerprint, tokenizer=None,
                 num_bytes=None, notices=(), folder=None, word_starts=None):
        self.flat, self.offsets, self.sentence_offsets = flat, offsets, sentence_offsets
        self.special, self.token_bytes, self.fingerprint = special, token_bytes, fingerprint
        self.tokenizer, self.num_bytes, self.notices, self.folder = tokenizer, num_bytes, list(notices), folder
        self._word_starts = word_starts

    @classmethod
    def from_arrays(cls, documents, special, sentences=None, token_bytes=None, tokenizer=None, word_starts=None):
        """Tokens in memory, for tests and small data.

        documents: list of int arrays. special: vocabulary.Special. sentences: for every document the token positions
        where sentences start (0 is added); None = one sentence a document. token_bytes: int[V]; None = 1 a text id.
        word_starts: bool[V], ids that begin a word; None = the tokenizer's, or all without one.
        DataError when an id is not below vocab_size.
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
        digest = hashlib.sha256(repr(special).encode() + flat.tobytes() + offsets.tobytes())
        return cls(flat, offsets, np.concatenate(starts or [np.zeros(0, np.int64)]), special, token_bytes,
                   digest.hexdigest(), tokenizer, int(token_bytes[flat].sum()), word_starts=word_starts)

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def num_tokens(self):
        return int(self.offsets[-1])

    @functools.cached_property
    def lengths(self):
        """int64[D], tokens in each document."""
        return np.diff(self.offsets)

    @functools.cached_property
    def word_starts(self):
        """bool[V]: which ids begin a word (data/special_tokens.py, `begins_word`)."""
        if self._word_starts is None and self.tokenizer is not None:
            return self.tokenizer.word_starts
        return np.ones(self.special.vocab_size, bool) if self._word_starts is None else np.asarray(self._word_starts, bool)

    def document(self, i):
        """int32[n], the tokens of document i."""
        return self.flat[self.offsets[i]:self.offsets[i + 1]].astype(np.int32)

    def sentences(self, i):
        """int64[s]: where the sentences of document i start, counted from the document's first token (0 first)."""
        start, stop = self.offsets[i], self.offsets[i + 1]
        first, last = np.searchsorted(self.sentence_offsets, (start, stop))
        return self.sentence_offsets[first:last] - start

    def verify(self):
        """Reads the whole cache and compares it with the checksums of its writer; DataError if they differ."""
        if self.folder is not None and (problem := cache_writer.damage(self.folder, _index(self.folder))):
            raise errors.DataError(f'{self.folder}: expected sound tokens, got {problem}; delete the folder')


def build(source, tokenizer, folder, notice=print, shard_bytes=1 << 26):
    """Tokens of `source` (see data.sources), tokenised at the first call and opened at the next.

    folder: local; the cache lies in folder/tokens/KEY. A builder that is killed goes on where it was, after the last
    complete shard (`shard_bytes` of text); a second one waits for the first. A cache whose bytes do not have their checksums
    is made again. notice: called with lines for the user.
    DataError for bad data, no tokens, ids outside the vocabulary.
    """
    if '://' in str(folder):
        raise errors.DataError(f'{folder}: expected a local folder for the token cache, which is memory-mapped; '
                               'set data.cache')
    key = hashlib.sha256(json.dumps([cache_writer.FORMAT, source.fingerprint, tokenizer.hash]).encode()).hexdigest()
    folder = pathlib.Path(folder).expanduser() / 'tokens' / key[:32]
    if not _index(folder) or cache_writer.damage(folder, _index(folder)):
        cache_writer.write(source, tokenizer, folder, notice, shard_bytes, key)
    tokens = _map(folder, tokenizer, _index(folder))
    for line in tokens.notices:
        notice(line)
    return tokens


def open(folder, tokenizer):
    """Tokens of a finished cache folder; DataError when it is unfinished, damaged or another tokenizer's."""
    folder = pathlib.Path(folder)
    index = _index(folder)
    problem = cache_writer.damage(folder, index) if index else 'no index.json: unfinished or no token cache'
    if not problem and index['tokenizer'] != tokenizer.hash:
        problem = f'the ids of tokenizer {index["tokenizer"][:12]}, not {tokenizer.hash[:12]}'
    if problem:
        raise errors.DataError(f'{folder}: expected a token cache, got {problem}; delete the folder')
    return _map(folder, tokenizer, index)


def _map(folder, tokenizer, index):
    flat, offsets, sentences = (np.asarray(np.memmap(folder / name, dtype, 'r'))
                                for name, dtype in cache_writer.layout(tokenizer.vocab_size).items())
    return Tokens(flat, offsets, sentences, tokenizer.special, tokenizer.token_bytes, index['key'], tokenizer,
                  index['bytes'], index['notices'], folder)


def _index(folder):
    index = cache_writer.load(folder / 'index.json')
    return index if isinstance(index, dict) and 'files' in index else None
