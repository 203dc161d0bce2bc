"""Where sentences start, for objectives that pair or shuffle them (next sentence, sentence order, BART).

A rule, not a model: a sentence ends with a line, or with . ! ? … and any closing quotes before a space or the end of the text, or anywhere
with the full stop, exclamation or question mark of another script (Unicode's Sentence_Terminal: 。 ！ ？ । ؟ ۔ ። and others). No sentence
ends after Mr. Mrs. Ms. Dr. St. or the initial of a name, nor at the dot of ３．１４. The line breaks after a sentence belong to it, the
space before the next one belongs to that (SentencePiece keeps it with a word).
"""
import re

import numpy as np

from data.text import terminals

NARROW, DOTS = '.!?…', '․﹒．'                   # what needs a space behind it; what may be in a number
WIDE = ''.join(sign for sign in terminals.characters() if sign not in NARROW)
CLOSING, QUOTES = '"\')]*_’”»」』）', '“«‹›'       # quotes that open, or open elsewhere, close only before a space
_CLASS = {name: re.escape(signs) for name, signs in dict(
    plane='\n' + NARROW + ''.join(sign for sign in WIDE if sign < '\U00010000'), narrow=NARROW, wide=WIDE, dot=DOTS, close=CLOSING,
    quote=CLOSING + QUOTES, space=' \t\r\n\xa0\u3000').items()}
_NAME = ''.join(rf'(?<!\b{name}\.)' for name in ('Mr', 'Mrs', 'Ms', 'Dr', 'St', '[A-Z]'))
END = re.compile('[%(plane)s\U00010000-\U0010ffff]'  # what an end begins with (a table of one plane makes the search fast), and then:
                 r'(?:(?<=\n)|(?<=[%(narrow)s])%(name)s[%(narrow)s]*[%(quote)s]*(?=[%(space)s]|\Z)'
                 r'|(?<=[%(wide)s])(?!(?<=[%(dot)s])[0-9０-９])[%(narrow)s%(wide)s]*[%(close)s]*)'
                 r'(?:[ \t\r]*\n)*' % {**_CLASS, 'name': _NAME}, re.ASCII)


ENDED = re.compile('[%(narrow)s%(wide)s][%(quote)s]*$' % _CLASS)


def separated(text: str) -> bool:
    """Whether `text` has one sentence a line and blank lines between documents, as BERT's published input has: at least three, two
    lines each or more, and an end of a sentence at 9 lines of 10."""
    documents = [document.splitlines() for document in re.split(r'\n\s*\n', text.strip())]
    lines = [line.rstrip() for document in documents for line in document]
    return 3 <= len(documents) <= len(lines) / 2 and sum(bool(ENDED.search(line)) for line in lines) >= 0.9 * len(lines)


def starts(text: bytes) -> np.ndarray:
    """int64[s]: byte offsets in the UTF-8 `text` where sentences start, 0 first; none is white space alone."""
    characters = text.decode()
    ends = np.fromiter((match.end() for match in END.finditer(characters)), np.int64)
    ends = ends[ends < len(characters.rstrip())]
    if len(characters) < len(text):
        ends = np.flatnonzero(np.frombuffer(text, np.int8) >= -64)[ends]  # bytes of the form 10xxxxxx begin no character
    return np.concatenate([np.zeros(1, np.int64), ends])


def token_starts(text: bytes, ids: np.ndarray, token_bytes: np.ndarray) -> np.ndarray:
    """int64[s]: positions in `ids` (the tokens of `text`) where sentences start. A sentence that starts inside a token starts with the next
    one. Exact for a lossless tokenizer; for others, whose token_bytes do not sum to the text, offsets are scaled."""
    begins = np.concatenate([[0], np.cumsum(token_bytes[ids], dtype=np.int64)])
    where = starts(text)
    if begins[-1] != len(text):
        where = where * begins[-1] // max(1, len(text))
    tokens = np.searchsorted(begins, where)
    return tokens[(tokens < len(ids)) & (np.diff(tokens, prepend=-1) > 0)]
