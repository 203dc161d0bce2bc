"""SentencePiece vocabularies (Kudo and Richardson 2018), our own and foreign, as exact maps between text and ids.

Our own models use no normalisation, no dummy prefix and byte fallback, so that `decode(encode(text)) == text` for every
text, and newlines, tabs and NUL are one byte piece each. Whatever symbol a model lacks is appended after its pieces:
first pad, eos, mask, cls, sep, then the sentinels at the very top.
"""
import json
import os

import numpy as np
import sentencepiece

from data import errors, special_tokens
from data.text import files
from data.vocabularies import vocabulary

CHUNK = 16384       # characters SentencePiece sees at once: bounds its memory, which is about 20 bytes a character
SPACE = '\u2581'    # how SentencePiece writes a space
SYMBOLS = {         # what other people's models call our symbols
    'pad': ('<pad>', '[PAD]'),
    'eos': ('</s>', '<eos>', '[EOS]', '<|endoftext|>'),
    'mask': ('<mask>', '[MASK]'),
    'cls': ('[CLS]', '<cls>'),
    'sep': ('[SEP]', '<sep>'),
}

sentencepiece.set_min_log_level(2)  # errors only


class SentencePiece(vocabulary.Vocabulary):
    """A SentencePiece model and the symbols that it lacks.

    model: the bytes of a .model file. special: vocabulary.Special when the layout is known (a saved tokenizer);
    None = what the model has, the rest appended, with `sentinels` sentinels.
    `lossless` is False for models that normalise (T5's, for instance): then `token_bytes` only approximates the text.
    """

    def __init__(self, model, special=None, sentinels=special_tokens.SENTINELS):
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_proto=model or b'-')
        except (RuntimeError, ValueError) as error:
            raise errors.DataError(f'expected a SentencePiece model, got {len(model)} bytes that are none') from error
        self.definition = model
        size = self.model.get_piece_size()
        self.special = special or layout(self.model, sentinels)
        reserved = set(self.special.reserved.tolist())
        self.table = [b'' if i in reserved else self._text(i) for i in range(size)] + [b''] * (self.vocab_size - size)
        byte_ids = [self.model.piece_to_id(f'<0x{b:02X}>') for b in range(256)]
        self.byte_ids = np.array(byte_ids, np.int32) if all(map(self.model.is_byte, byte_ids)) else None
        self.lossless, self.prefix = True, b''
        self.prefix = b' ' if self._bytes('a')[:1] == b' ' else b''
        self.lossless = not self.prefix and self._bytes(vocabulary.PROBE) == vocabulary.PROBE.encode()

    def _text(self, i):
        if self.model.is_byte(i):
            return bytes([int(self.model.id_to_piece(i)[3:5], 16)])
        return self.model.id_to_piece(i).replace(SPACE, ' ').encode()

    def _bytes(self, text):
        return b''.join([self.table[i] for i in self.encode(text).tolist()])

    def encode(self, text):
        """int32[n], no special ids added. Text in, say, `<mask>`'s spelling stays text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts):
        """list of int32[n], on all cores when it pays. A long text is encoded in chunks, see `chunks`."""
        parts, owner = [], []  # strings without U+2581; the text each belongs to, or ~text before an escaped U+2581
        for i, text in enumerate(texts):
            for chunk in chunks(vocabulary.valid(text), CHUNK):
                if self.prefix and owner and owner[-1] == i and chunk[:1] == ' ':
                    chunk = chunk[1:]  # the model puts a space before every text
                first, *rest = chunk.split(SPACE) if self.lossless else (chunk,)
                parts.append(first)
                owner.append(i)
                parts += rest
                owner += [~i] * len(rest)
        threads = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
        threads = threads if sum(map(len, parts)) > 4 * CHUNK else 1
        encoded = self.model.encode(parts, num_threads=threads, return_type='numpy')
        rows = [[] for _ in texts]
        for i, ids in zip(owner, encoded):
            if i < 0:  # SentencePiece would read U+2581 as a space: spell it
                i = ~i
                rows[i].append(self.byte_ids[list(SPACE.encode())])
            rows[i].append(ids)
        return [np.concatenate(row).astype(np.int32, copy=False) if row else np.zeros(0, np.int32) for row in rows]

    def decode(self, ids, skip_special=False):
        text = super().decode(ids, skip_special)
        return text[1:] if self.prefix and text[:1] == ' ' else text

    def save(self, folder):
        """Writes tokenizer.model (a plain SentencePiece model) and tokenizer.json (the layout around it)."""
        folder = files.path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'tokenizer.model').write_bytes(self.definition)
        definition = {'kind': 'sentencepiece', 'special': self.special.as_dict(), 'hash': self.hash}
        (folder / 'tokenizer.json').write_text(json.dumps(definition, indent=1) + '\n', encoding='utf-8')


def layout(model, sentinels):
    """Special of a SentencePieceProcessor: ids the model has, then what it lacks, sentinels last."""
    pieces = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    size = len(pieces)
    ids = {'pad': model.pad_id(), 'eos': model.eos_id()}
    for role, names in SYMBOLS.items():
        found = [pieces[name] for name in names if name in pieces]
        if ids.get(role, -1) < 0:
            ids[role] = found[0] if found else size
            size += not found
    extra = [pieces.get(f'{space}<extra_id_{j}>') for space in ('', SPACE) for j in (0, 1)]
    first, second = extra[:2] if extra[0] else extra[2:]  # T5's own sentinels, if they descend as T5's do
    if first and second == first - 1:
        mark = model.id_to_piece(first).replace('_0>', '_{}>')
        last = first
        while pieces.get(mark.format(first - last + 1)) == last - 1:
            last -= 1
    else:
        size += sentinels
        first, last = size - 1, size - sentinels
    others = [i for i in range(len(pieces)) if model.is_unknown(i) or model.is_control(i) or model.is_unused(i)]
    named = {*ids.values(), model.bos_id()}
    return special_tokens.Special(**ids, bos=model.bos_id(), sentinels=(first, last), vocab_size=size,
                              others=tuple(i for i in others if i not in named))


def chunks(text, size):
    """`text` as strings of at most `size` characters that join to it.

    Cut before a space, where no piece of our vocabularies crosses, so that the ids are those of the whole text; in a
    stretch of `size` characters without one, after a newline; without that, anywhere.
    """
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
