"""SentencePiece vocabularies (Kudo and Richardson 2018), our own and published ones, as exact maps between text and ids.

Our own models use no normalisation, no dummy prefix and byte fallback, so that `decode(encode(text)) == text` for every text; newlines,
tabs and NUL are one byte piece each, and so is a space where the training text had none. Symbols that a model lacks are appended after
its pieces: first pad, eos, mask, cls, sep, then the sentinels at the very top.
"""
import os
import re
from typing import Any, Iterator

import numpy as np

from data import errors, special_tokens
from data.vocabularies import pipelines, roles, vocabulary

CHUNK = 16384       # characters SentencePiece sees at once: bounds its memory, which is about 20 bytes a character
SPACE = pipelines.SPACE


class SentencePiece(vocabulary.Vocabulary):
    """A SentencePiece model and the symbols that it lacks.

    model: the bytes of a .model file. special, hash: of a saved tokenizer; None = what the model has, the rest appended, with `sentinels`
    sentinels. DataError for a damaged model. `lossless` is False for models that normalise (T5's, for instance): then `token_bytes` is
    approximate.
    """
    kind = 'sentencepiece'

    def __init__(self, model: bytes, special: special_tokens.Special | None = None, sentinels: int = special_tokens.SENTINELS,
                 hash: str | None = None):
        import sentencepiece  # only here: neither --help nor bytes need it
        sentencepiece.set_min_log_level(2)  # errors only
        self.definition = model
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_proto=model or b'-')
            self.special = special or layout(self.model, sentinels)
            self.check(hash)
            self._read()
        except (RuntimeError, ValueError) as error:  # some damage shows in the model, some in a piece that is no UTF-8
            raise errors.DataError(f'expected a SentencePiece model, got {len(model)} bytes that are none') from error

    def _read(self):
        """The text and the bytes of every id, once model and special are known."""
        size, reserved = self.model.get_piece_size(), set(self.special.reserved.tolist())
        self.table = [b'' if i in reserved else self._text(i) for i in range(size)] + [b''] * (self.vocab_size - size)
        byte_ids = [self.model.piece_to_id(f'<0x{b:02X}>') for b in range(256)]
        self.byte_ids = np.array(byte_ids, np.int32) if all(map(self.model.is_byte, byte_ids)) else None
        # SentencePiece writes a space as U+2581: it reads the one as the other, and spells U+2581 where it has no piece for a space.
        self.spelt = SPACE if self.model.piece_to_id(SPACE) != self.model.unk_id() else SPACE + ' '
        self.lossless = self.byte_ids is not None
        self.probe()

    def _text(self, i):
        piece = self.model.id_to_piece(i)
        return bytes.fromhex(piece[3:5]) if self.model.is_byte(i) else piece.replace(SPACE, ' ').encode()

    def encode(self, text: str) -> np.ndarray:
        """int32[n], no special ids added. Text in, say, `<mask>`'s spelling stays text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        """int32[n] of each text, on all cores when it pays. A long text is encoded in chunks, see `chunks`."""
        parts, owner, before = [], [], []  # strings that SentencePiece encodes; the text each belongs to; the ids before it
        cut, none = re.compile(f'([{self.spelt}])'), np.zeros(0, np.int32)
        for i, text in enumerate(texts):
            for chunk in chunks(vocabulary.valid(text), CHUNK):
                if self.prefix and owner and owner[-1] == i and chunk[:1] == ' ':
                    chunk = chunk[1:]  # the model puts a space before every text
                found = cut.split(chunk) if self.lossless else [chunk]
                parts += found[::2]
                owner += [i] * len(found[::2])
                before += [none, *(self.byte_ids[list(sign.encode())] for sign in found[1::2])]
        threads = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
        threads = threads if sum(map(len, parts)) > 4 * CHUNK else 1
        rows = [[none] for _ in texts]
        for i, spelt, ids in zip(owner, before, self.model.encode(parts, num_threads=threads, return_type='numpy')):
            rows[i] += [spelt, ids]
        return [np.concatenate(row).astype(np.int32, copy=False) for row in rows]

    def files(self) -> dict[str, bytes]:
        """tokenizer.model: a plain SentencePiece model."""
        return {'tokenizer.model': self.definition}


def read(data: bytes) -> Any:
    """The protocol buffer ModelProto of a .model file: pieces, their scores and types, the normalisation. DataError when it is none."""
    from google.protobuf import message
    from sentencepiece import sentencepiece_model_pb2
    found = sentencepiece_model_pb2.ModelProto()
    try:
        found.ParseFromString(data)
    except message.DecodeError:
        found.Clear()
    if not (found.pieces and found.HasField('trainer_spec') and found.HasField('normalizer_spec')):
        raise errors.DataError(f'expected a SentencePiece model, got {len(data)} bytes that are none')
    return found


def layout(model: Any, sentinels: int) -> special_tokens.Special:
    """Special of a SentencePieceProcessor: ids the model has, then what it lacks, sentinels last."""
    size = model.get_piece_size()
    pieces = {model.id_to_piece(i): i for i in range(size)}
    others = [i for i in range(size) if model.is_unknown(i) or model.is_control(i) or model.is_unused(i)]
    ids = {'pad': model.pad_id(), 'eos': model.eos_id()}
    for role in ('pad', 'eos', 'mask', 'cls', 'sep'):
        if ids.get(role, -1) < 0:
            ids[role] = next((pieces[name] for name in roles.SPELLINGS[role] if name in pieces), size)
            size += ids[role] == size
    found = roles.sentinels(pieces)
    size += 0 if found else sentinels
    named = {*ids.values(), model.bos_id()}
    return special_tokens.Special(**ids, bos=model.bos_id(), sentinels=found or (size - 1, size - sentinels), vocab_size=size,
                                  others=tuple(i for i in others if i not in named))


def chunks(text: str, size: int) -> Iterator[str]:
    """`text` as strings of at most `size` characters that join to it. Cut before a space, which no piece of our vocabularies crosses, so
    that the ids are those of the whole text; in a stretch of `size` characters without one, after a newline; without that, anywhere."""
    start = 0
    while len(text) - start > size:
        cut = text.rfind(' ', start + 1, start + size)
        while cut > start and text[cut - 1] == ' ':
            cut -= 1
        if cut <= start:
            cut = text.rfind('\n', start, start + size) + 1 or start + size
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]
