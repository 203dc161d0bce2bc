"""Tokens as pieces of text with a kind, for colour: hidden tokens, what replaces them, specials, padding.

Neighbouring tokens that spell one character in bytes are one piece (a Chinese character is three ids of a byte vocabulary), unless they
differ in kind. Control characters never reach a terminal or a page: they are written out.
"""
from collections.abc import Sequence
import dataclasses
import difflib

import numpy as np

from data import example, special_tokens

# Kind: its legend.
KINDS = {
    'text': 'read or predicted as it is',
    'hidden': 'hidden from the model, which must predict it (numbers pair with sentinels)',
    'mask': 'replaces a hidden token',
    'random': 'a random token instead of the right one',
    'drawn': 'a network draws a token instead, and the label is 1 if it draws another one',
    'kept': 'must be predicted although it is there',
    'sentinel': 'replaces a hidden span, or names it in the targets',
    'special': 'marks: start, end, separators, modes',
    'given': 'read, does not count in the loss',
    'pad': 'padding',
}
SHOWN = {'\n': '⏎\n', '\t': '⇥\t', '\r': '␍'}


@dataclasses.dataclass(frozen=True)
class Piece:
    """Tokens start..stop-1 of a field, one character or more."""
    text: str
    kind: str
    number: int                               # of the sentinel or hidden span, else 0
    start: int
    stop: int


def original(ids: np.ndarray, fields: dict, special: special_tokens.Special) -> list[tuple[str, int]]:
    """[(kind, number)] for the ids before corruption: hidden where the model does not read them."""
    counted, real = np.asarray(fields['weights']) > 0, np.asarray(fields['segments']) != 0
    if 'slots' in fields:                      # the row is aligned with its original
        chosen = np.zeros(max(len(ids), len(real)), bool)
        chosen[np.asarray(fields['slots'])[counted]] = True
        hidden = chosen[:len(ids)]
    else:                                      # inputs: the encoder's, or what a decoder reads and need not predict
        given = fields['targets'][real & ~counted]
        if 'encoder_tokens' in fields:
            given = fields['encoder_tokens'][np.asarray(fields['encoder_segments']) != 0]
        hidden = np.full(len(ids), len(given) > 0)
        for start, _, size in _matches(ids, given):
            hidden[start:start + size] = False
    number = np.cumsum(np.diff(hidden.astype(int), prepend=0) == 1) - 1
    marked = set(special.reserved.tolist())
    return [('hidden', int(n)) if h else ('special', 0) if i in marked else ('text', 0)
            for i, h, n in zip(ids.tolist(), hidden.tolist(), number.tolist())]


def read(fields: dict, special: special_tokens.Special, side: str = '') -> list[tuple[str, int]]:
    """[(kind, number)] of `tokens` (or `encoder_tokens`)."""
    ids, segments = np.asarray(fields[side + 'tokens']), np.asarray(fields[side + 'segments'])
    kinds = [_kind(i, special) for i in ids.tolist()]
    if 'slots' in fields and not side:
        for slot, target, weight in zip(*(np.asarray(fields[name]).tolist() for name in ('slots', 'targets', 'weights'))):
            if weight > 0 and ids[slot] != special.mask:
                kinds[slot] = ('kept' if ids[slot] == target else 'random', 0)
    return [('pad', 0) if s == 0 else kind for kind, s in zip(kinds, segments.tolist())]


def targets(fields: dict, special: special_tokens.Special) -> list[tuple[str, int]]:
    """[(kind, number)] of `targets`."""
    real = np.asarray(fields['segments']) != 0
    at = np.asarray(fields['slots']) if 'slots' in fields else np.arange(len(fields['targets']))
    kinds = []
    for i, weight, there in zip(np.asarray(fields['targets']).tolist(), np.asarray(fields['weights']).tolist(), real[at].tolist()):
        unused = not there or ('slots' in fields and weight == 0)
        kinds.append(('pad', 0) if unused else ('given', 0) if weight == 0 else _kind(i, special))
    return kinds


def judged(ids: np.ndarray, labels: np.ndarray, special: special_tokens.Special) -> list[tuple[str, int]]:
    """[(kind, number)] of what a discriminator reads."""
    kinds = {1: ('random', 0), -1: ('drawn', 0)}
    return [kinds.get(label) or _kind(i, special) for i, label in zip(ids.tolist(), labels.tolist())]


def pieces(ids: np.ndarray, kinds: list[tuple[str, int]], tokenizer, breaks: Sequence[int] = ()) -> list[Piece]:
    """[Piece] of a row of ids, without its padding; `breaks`: positions where a piece must start (a new document)."""
    out, held, breaks = [], [], set(breaks)

    def flush():
        out.extend(Piece(tokenizer.piece(ids[j]), *kinds[j], j, j + 1) for j in held)
        held.clear()

    ids, special = np.asarray(ids).tolist(), tokenizer.special
    named = tokenizer.name if special.sentinels[1] + len(special_tokens.MARKS) in ids else lambda i: name(i, tokenizer)
    for at, i in enumerate(ids):
        if held and (kinds[at] != kinds[held[0]] or at in breaks or named(i)):
            flush()
        if kinds[at][0] == 'pad':
            continue
        if named(i):
            out.append(Piece(named(i), *kinds[at], at, at + 1))
            continue
        held.append(at)
        text = _text(tokenizer, (ids[j] for j in held))
        if text is None and len(held) > 1:     # what was held can never become a character: this token starts anew
            held.pop()
            flush()
            held.append(at)
            text = _text(tokenizer, [i])
        if text is None:
            flush()
        elif text:
            out.append(Piece(text, *kinds[at], held[0], at + 1))
            held.clear()
    flush()
    return [dataclasses.replace(piece, text=visible(piece.text)) for piece in out]


def name(i: int, tokenizer) -> str:
    """How a special id is shown; the last sentinels are marks of their own (a row that uses so many spans is an exception)."""
    special, mark = tokenizer.special, int(i) - tokenizer.special.sentinels[1]
    marked = 0 <= mark < len(special_tokens.MARKS) <= special.num_sentinels
    return f'<{special_tokens.MARKS[mark]}>' if marked else tokenizer.name(i)


def visible(text: str) -> str:
    """Text without control characters, newlines and tabs marked."""
    return ''.join(SHOWN.get(c) or (c if c.isprintable() else repr(c)[1:-1]) for c in text)


def runs(values: Sequence) -> str:
    """'0…33 0…19 0×10': a list of numbers as stretches that count up and stretches that stay."""
    values, parts, at = np.asarray(values).tolist(), [], 0
    while at < len(values):
        end = at + 1
        step = values[end] - values[at] if end < len(values) and values[end] - values[at] in (0, 1) else None
        while end < len(values) and step is not None and values[end] - values[end - 1] == step:
            end += 1
        size, first = end - at, number(values[at])
        parts.append(first if size == 1 else f'{first}×{size}' if step == 0 else f'{first}…{number(values[end - 1])}')
        at = end
    return ' '.join(parts)


def _text(tokenizer, ids):
    """The text of ids, '' where more bytes are awaited, None where it is no text whatever comes."""
    try:
        return b''.join(tokenizer.table[i] for i in ids).decode()
    except UnicodeDecodeError as error:
        return '' if error.reason == 'unexpected end of data' else None


def _matches(one, other):
    """[(start, start, size)] of the stretches that two rows of ids share, in order."""
    one, other = np.asarray(one).tolist(), np.asarray(other).tolist()
    if one == other[:len(one)]:
        return [(0, 0, len(one))]
    return difflib.SequenceMatcher(None, one, other, False).get_matching_blocks()


def number(value: float) -> str:
    return 'never' if value == example.NEVER_SEEN else f'{value:g}' if isinstance(value, float) else str(value)


def _kind(i, special):
    first, last = special.sentinels
    if i == special.mask:
        return 'mask', 0
    if last + len(special_tokens.MARKS) <= i <= first:
        return 'sentinel', first - i
    return ('special', 0) if special.name(i) else ('text', 0)
