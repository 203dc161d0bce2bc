"""Texts that a tokenizer may change: what is tried before it counts as lossless."""
from typing import Iterable, Iterator

TEXTS = (
    # Every byte that UTF-8 has.
    ''.join(map(chr, [*range(0x800), *range(0x800, 0xD800, 0x40), *range(0xE000, 0x10000, 0x40), *range(0x10000, 0x110000, 0x8000)])),
    # Spaces: several, at both ends, no-break and wide ones, line ends of all kinds, SentencePiece's own.
    ' ', '  ', '\n', '\t', ' a', 'a ', '   a  b\t\tc \n\n d\r\ne\rf\v\f\x85g\u2028h\u2029 ', 'a\u00a0b\u2003c\u3000d\u202fe',
    'a \u2581b\u2581 c\u2581',
    # Compatibility, composed and decomposed characters, and those that normalisation replaces.
    '\ufb01\u2460\uff21\u33a1\u00bd\u00b5\u212b\u2126\u0958', 'caf\u00e9 cafe\u0301', '\uac00 \u1100\u1161',
    '\u1e9b\u0323 q\u0307\u0323 q\u0323\u0307',
    # Case and accents.
    'aB CD Ef \u00c9\u00e9 \u0130\u0131 \u00df\u1e9e \u017f \u03a3\u03c3\u03c2 \u0416\u0436 \u01c5',
    # What is not seen: joiners, marks, byte order marks, soft hyphens, replacement and non-characters.
    'a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\ufe0fh\ufffdi\ufffej\uffffk\u202el',
    '\U0001f469\u200d\U0001f4bb\U0001f1ea\U0001f1f8 \u0e19\u0e49\u0e33',
    # Signs that decoders and old corpora clean: spaces before them, quotes, ellipses.
    "do n't , it 's . we 'm ! 've ? a-b ``c'' \u201cd\u201d \u2018e\u2019 f...g\u2026 h -- i", '(a)[b]{c}<d>/e\\f|g',
    # Digits, and a text longer than what some models cut.
    '0123456789 12,345.67 \u0663\u0967 2024', 'abcdefghij' * 30,
    # Spellings of special tokens and of bytes.
    '<s></s><pad><unk><mask>[CLS][SEP][UNK][PAD] <0x0A> <|endoftext|> ##a \u0120b \u010ac <extra_id_0>',
)
CONTEXTS = ('{}', 'x {} y', 'x{}y', '  {}  ', '\n{}\n', '{0}{0}')


def texts(own: Iterable[str]) -> Iterator[str]:
    """All texts to try. own: strings that mean something to the tokenizer (added tokens, what its steps replace)."""
    own = list(own)
    yield from TEXTS
    for context in CONTEXTS:
        yield ''.join(map(context.format, own))
