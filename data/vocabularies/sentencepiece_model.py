"""What a SentencePiece .model file says: its pieces with scores and types, and how text is normalised before them.

The library runs such a model; this reads the file, a protocol buffer (src/sentencepiece_model.proto of the original), because
a published model's is run with other rules (data/vocabularies/folders.py) and ours is written in another format.
"""
import struct
from typing import NamedTuple, Tuple

UNIGRAM, BPE = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


class Model(NamedTuple):
    """pieces: ((text, score, type), ...), one an id; kind: UNIGRAM, BPE or another number; charsmap: b'' = no normalisation."""
    pieces: Tuple[Tuple[str, float, int], ...]
    kind: int
    unk_id: int
    charsmap: bytes


def read(data):
    """The Model in the bytes of a file; ValueError when they are none."""
    pieces, trainer, normalizer = [], {}, {}
    try:
        for field, value in _fields(data):
            if field == 1:
                piece = dict(_fields(value))
                score = struct.unpack('<f', piece[2])[0] if 2 in piece else 0.0
                pieces.append((piece[1].decode(), score, piece.get(3, NORMAL)))
            elif field == 2:
                trainer.update(_fields(value))
            elif field == 3:
                normalizer.update(_fields(value))
    except (AttributeError, IndexError, KeyError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise ValueError('no SentencePiece model') from error
    if not (pieces and trainer and normalizer):
        raise ValueError('not whole')
    return Model(tuple(pieces), trainer.get(3, UNIGRAM), trainer.get(40, 0), normalizer.get(2, b''))


def _fields(data):
    """(field number, int or bytes) of a message; ValueError for what is none."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            if kind == 2:
                size, at = _varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f'wire type {kind}')
            value, at = data[at:at + size], at + size
            if at > len(data):
                raise ValueError('cut short')
        yield tag >> 3, value


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError('no number')
