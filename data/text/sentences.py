"""Where sentences start, for objectives that pair or shuffle them (next sentence, sentence order, BART).

A rule, not a model: a sentence ends with a line, or with . ! ? … and any closing quotes before a space or the end of the text, or with
。 ！ ？ anywhere; no sentence ends after Mr. Mrs. Ms. Dr. St. or the initial of a name. The line breaks after a sentence belong to it, the
space before the next one belongs to that (SentencePiece keeps it with a word).
"""
import re

import numpy as np

_CLOSE = rb'(?:["\')\]*_]|\xe2\x80[\x99\x9d]|\xc2\xbb|\xe3\x80[\x8d\x8f]|\xef\xbc\x89)*'  # " ' ) ] * _ ’ ” » 」 』 ）
_STOP = rb'(?:[.!?]|\xe2\x80\xa6)'
_WIDE = rb'(?:\xe3\x80\x82|\xef\xbc[\x81\x9f])'
_NAME = b''.join(rb'(?<!\b%s\.)' % name for name in (rb'Mr', rb'Mrs', rb'Ms', rb'Dr', rb'St', rb'[A-Z]'))
END = re.compile(rb'[\n.!?\xe2\xe3\xef]'                  # what an end begins with (makes the search fast), and then:
                 rb'(?:(?<=\n)|(?:(?<=[.!?])%(name)s|(?<=\xe2)\x80\xa6)%(stop)s*%(close)s(?=[ \t\r\n]|\Z)'
                 rb'|(?:(?<=\xe3)\x80\x82|(?<=\xef)\xbc[\x81\x9f])(?:%(wide)s|%(stop)s)*%(close)s)'
                 rb'(?:[ \t\r]*\n)*' % {b'name': _NAME, b'stop': _STOP, b'close': _CLOSE, b'wide': _WIDE})


def starts(text: bytes) -> np.ndarray:
    """int64[s]: byte offsets in the UTF-8 `text` where sentences start, 0 first; none is white space alone."""
    ends = np.fromiter((match.end() for match in END.finditer(text)), np.int64)
    return np.concatenate([np.zeros(1, np.int64), ends[ends < len(text.rstrip())]])


def token_starts(text: bytes, ids: np.ndarray, token_bytes: np.ndarray) -> np.ndarray:
    """int64[s]: positions in `ids` (the tokens of `text`) where sentences start. A sentence that starts inside a token starts with the next
    one. Exact for a lossless tokenizer; for others, whose token_bytes do not sum to the text, offsets are scaled."""
    begins = np.concatenate([[0], np.cumsum(token_bytes[ids], dtype=np.int64)])
    where = starts(text)
    if begins[-1] != len(text):
        where = where * begins[-1] // max(1, len(text))
    tokens = np.searchsorted(begins, where)
    return tokens[(tokens < len(ids)) & (np.diff(tokens, prepend=-1) > 0)]
