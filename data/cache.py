"""Tokenised documents as flat arrays: what objectives and the pipeline read.

`Tokens` gives random access to documents and sentences; the arrays may be memory-mapped files or plain arrays.
"""
import hashlib

import numpy as np

from data import errors


class Tokens:
    """A corpus of D documents as token ids, without EOS or any other special id.

    flat: unsigned or signed integers [num_tokens], all documents one after the other.
    offsets: int64[D + 1]; document i is `flat[offsets[i]:offsets[i + 1]]`.
    sentence_offsets: int64[S], ascending: indices into `flat` where sentences start (every document starts one).
    """

    def __init__(self, flat, offsets, sentence_offsets, special, token_bytes, fingerprint, tokenizer=None, folder=None):
        self.flat, self.offsets, self.sentence_offsets = flat, offsets, sentence_offsets
        self.special, self.token_bytes, self.fingerprint = special, token_bytes, fingerprint
        self.tokenizer, self.folder = tokenizer, folder

    @classmethod
    def from_arrays(cls, documents, special, sentences=None, token_bytes=None, tokenizer=None):
        """Tokens in memory, for tests and small data.

        documents: list of int arrays. special: vocabulary.Special. sentences: for every document the token positions
        where sentences start (0 is added); None = one sentence a document. token_bytes: int[V]; None = 1 a text id.
        DataError when an id is not below vocab_size.
        """
        lengths = np.array([len(d) for d in documents], np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.concatenate([np.asarray(d, np.int32) for d in documents] or [np.zeros(0, np.int32)])
        if flat.size and not 0 <= flat.min() <= flat.max() < special.vocab_size:
            raise errors.DataError(f'expected token ids in [0, {special.vocab_size}), got {flat.min()} to {flat.max()}')
        if sentences is None:
            sentences = [[0]] * len(documents)
        starts = [offsets[i] + np.union1d([0], s).astype(np.int64) for i, s in enumerate(sentences) if lengths[i]]
        if token_bytes is None:
            token_bytes = np.ones(special.vocab_size, np.int32)
            token_bytes[special.reserved] = 0
        digest = hashlib.sha256(repr(special).encode() + flat.tobytes() + offsets.tobytes())
        return cls(flat, offsets, np.concatenate(starts or [np.zeros(0, np.int64)]), special,
                   np.asarray(token_bytes, np.int32), digest.hexdigest(), tokenizer)

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def num_tokens(self):
        return int(self.offsets[-1])

    @property
    def lengths(self):
        """int64[D], tokens in each document."""
        return np.diff(self.offsets)

    def document(self, i):
        """int32[n], the tokens of document i."""
        return self.flat[self.offsets[i]:self.offsets[i + 1]].astype(np.int32)

    def sentences(self, i):
        """int64[s]: where the sentences of document i start, counted from the document's first token (0 first)."""
        start, stop = self.offsets[i], self.offsets[i + 1]
        first, last = np.searchsorted(self.sentence_offsets, (start, stop))
        return self.sentence_offsets[first:last] - start
