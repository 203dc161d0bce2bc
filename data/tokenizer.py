"""Text to ids and back: a byte vocabulary that needs no training, SentencePiece, WordPiece, and the tokenizers of published models.

Every tokenizer is a data/vocabularies/vocabulary.py `Vocabulary`. Trains one from a terminal:

    python -m data.tokenizer train --input=bundled:novels --kind=unigram --vocab_size=4096 --out=runs/tokenizer
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
from typing import Any, Iterable

if not __package__:
    print('use python -m data.tokenizer', file=sys.stderr)
    sys.exit(2)

import numpy as np

from data import atomic, errors, places, special_tokens
from data.text import formats
from data.vocabularies import folders, huggingface, pieces, vocabulary, wordpiece

KINDS = ('unigram', 'bpe', 'wordpiece', 'bytes')
MOST = 1 << 24      # ids of a vocabulary that is trained: the largest published ones have 2**20
FORMAT = 1          # raise it when training changes, so that tokenizers in caches are trained again


class Bytes(vocabulary.Vocabulary):
    """One id a UTF-8 byte, as ByT5 (Xue et al. 2021): pad 0, eos 1, mask 2, byte b is b + 3, cls, sep, sentinels. special, hash: of a saved
    tokenizer."""
    OFFSET = 3
    kind, definition = 'bytes', b'bytes'

    def __init__(self, sentinels: int = special_tokens.SENTINELS, special: special_tokens.Special | None = None, hash: str | None = None):
        text_end = self.OFFSET + 256
        size = text_end + 2 + sentinels
        self.special = special or special_tokens.Special(pad=0, eos=1, mask=2, cls=text_end, sep=text_end + 1, vocab_size=size,
                                                         sentinels=(size - 1, size - sentinels))
        self.check(hash)
        self.table = [b''] * self.OFFSET + [bytes([b]) for b in range(256)] + [b''] * (self.vocab_size - text_end)

    def encode(self, text: str) -> np.ndarray:
        """int32[n], no special ids added."""
        return np.frombuffer(vocabulary.utf8(text), np.uint8).astype(np.int32) + self.OFFSET


def load(path: str | os.PathLike) -> vocabulary.Vocabulary:
    """A tokenizer from a folder that `save` wrote, a folder (or a file in it) of Hugging Face, or a SentencePiece .model.

    A folder of Hugging Face has a tokenizer.json, vocab.txt, vocab.json and merges.txt, or a .model beside a config.json or
    tokenizer_config.json: a published model's vocabulary, to which no id is added. A .model by itself gets the symbols that it lacks.
    A file that is named is what is loaded, whatever else its folder has. DataError when there is none, or files do not belong together.
    """
    path = places.path(path)
    folder = path if path.is_dir() else path.parent
    if path in (folder, folder / 'tokenizer.json', folder / 'tokenizer.model') and (
            definition := _definition(folder / 'tokenizer.json')) is not None:
        return _saved(folder, definition)
    if path == folder and huggingface.holds(path):
        return huggingface.load(path)
    models = sorted(path.glob('*.model')) if path == folder else [path] if path.exists() else []
    if len(models) != 1:
        raise errors.DataError(f'{path}: expected {folders.FORMATS}, or a folder with one, got '
                               f'{", ".join(model.name for model in models) or "none"}; check tokenizer.path')
    if path != folder and (path.suffix != '.model' or huggingface.configured(folder)):
        return huggingface.load(path)
    try:
        return pieces.SentencePiece(models[0].read_bytes())
    except errors.DataError as error:
        raise errors.DataError(f'{models[0]}: {error}') from None


def _definition(path):
    """What `save` wrote to tokenizer.json; None without the file or when another program wrote it."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    definition = folders.read_json(path, data)
    return definition if {'kind', 'special', 'hash'} <= set(definition) else None


def _saved(folder, definition):
    """The tokenizer of a folder that `save` wrote; DataError for any other one than that."""
    file, kind, hash = folder / 'tokenizer.json', definition['kind'], str(definition['hash'])
    try:
        special = special_tokens.read(definition['special'])
    except ValueError:
        raise errors.DataError(f'{file}: expected the special ids that were saved, got {str(definition["special"])[:200]}; '
                               'copy the whole folder again') from None
    if kind == 'huggingface':
        return huggingface.load(folder / 'original', special, hash)
    if kind == 'sentencepiece':
        file = folder / 'tokenizer.model'
        if not file.exists():
            raise errors.DataError(f'{file}: expected the SentencePiece model of tokenizer.json, got none')
    elif kind != 'bytes':
        raise errors.DataError(f'{file}: expected the kind huggingface, sentencepiece or bytes, got {str(kind)[:80]}; '
                               'copy the whole folder again')
    try:
        return Bytes(special=special, hash=hash) if kind == 'bytes' else pieces.SentencePiece(file.read_bytes(), special, hash=hash)
    except errors.DataError as error:
        raise errors.DataError(f'{file}: {error}') from None


def train(texts: Iterable[str], kind: str = 'unigram', vocab_size: int = 4096, path: str | os.PathLike | None = None, sample_bytes: int = 0,
          sentinels: int = special_tokens.SENTINELS) -> vocabulary.Vocabulary:
    """A tokenizer for `texts`, saved to the folder `path` if given.

    vocab_size counts every id, reserved ones too; small texts give fewer. sample_bytes: text to read, evenly spread over all; 0 = all.
    Deterministic. DataError when there is no text, or too small a vocabulary.
    """
    if kind not in KINDS:
        raise errors.DataError(f'tokenizer.kind: expected one of {", ".join(KINDS)}, got {kind!r}')
    for name, value, most in (('tokenizer.vocab_size', vocab_size, MOST), ('tokenizer.sample_bytes', sample_bytes, 2**62),
                              ('sentinels', sentinels, MOST)):
        if not 0 <= value <= most:
            raise errors.DataError(f'{name}: expected 0 to {most}, got {value}')
    if kind == 'bytes':
        result = Bytes(sentinels)
    else:
        from data.vocabularies import training  # imports SentencePiece
        texts = training.sample(texts, sample_bytes)
        if kind == 'wordpiece':
            result = huggingface.Tokenizer(wordpiece.train(texts, vocab_size, sentinels))
        else:
            result = pieces.SentencePiece(training.train(texts, kind, vocab_size, sentinels), sentinels=sentinels)
    if path is not None:
        result.save(path)
    return result


def build(settings: Any, source: Any, cache: pathlib.Path | str) -> vocabulary.Vocabulary:
    """The tokenizer of the settings (train.settings.schema.Tokenizer). `path` is loaded, 'bytes' is made, anything else is trained on
    `source` (data/text/sources.py) and saved in cache/tokenizers/KEY, where KEY is the hash of the text and the settings."""
    if settings.path:
        return load(settings.path)
    if settings.kind == 'bytes':
        return Bytes()
    identity = [FORMAT, source.fingerprint, settings.kind, settings.vocab_size, settings.sample_bytes]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    folder = places.path(cache) / 'tokenizers' / key
    try:
        return load(folder)
    except errors.DataError:
        pass  # not there, or damaged
    result = train(source, settings.kind, settings.vocab_size, sample_bytes=settings.sample_bytes)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with atomic.folder(folder) as made:
            result.save(made)
    except OSError as error:
        if not folder.exists():  # otherwise another process was faster, with the same result
            raise errors.DataError(f'{folder.parent}: expected a folder to write to, got {error.strerror}; set data.cache') from None
    return result


def _wrong(flags, command):
    """What is wrong with the flags by themselves, in the words of train/settings/command.py."""
    if found := places.wrong(flags.out):
        yield f'--out = {flags.out}: {found}'
    for name in ('vocab_size', 'sample_bytes') if flags.kind == 'bytes' else ():
        if getattr(flags, name) != command.get_default(name):
            yield f'--{name} = {getattr(flags, name)}: nothing reads it: --kind=bytes trains nothing'


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code (2: wrong flags, 3: bad data)."""
    parser = argparse.ArgumentParser(prog='python -m data.tokenizer', description='Trains a tokenizer.')
    command = parser.add_subparsers(dest='command', required=True).add_parser('train', help='train one and save it')
    command.add_argument('--input', required=True, help='bundled:NAME, files, folders and globs, tfds:NAME:SPLIT')
    formats.add_flags(command)
    command.add_argument('--kind', choices=KINDS, default='unigram', help='default: %(default)s')
    command.add_argument('--vocab_size', type=int, default=4096, help='reserved ids included; default: %(default)s')
    command.add_argument('--sample_bytes', type=int, default=10_000_000, help='text to read; 0 = all; default: %(default)s')
    command.add_argument('--sentinels', type=int, default=special_tokens.SENTINELS, help='default: %(default)s')
    command.add_argument('--out', required=True, help='folder to write')
    flags = parser.parse_args(arguments)
    if wrong := [*_wrong(flags, command)]:
        print(errors.printable(f'tokenizer: {"; ".join(wrong)}'), file=sys.stderr)
        return 2
    from data.text import sources
    try:
        source = sources.open(flags.input, flags.field, flags.format, flags.documents)
        places.path(flags.out).mkdir(parents=True, exist_ok=True)  # before training, which takes time
        result = train(source, flags.kind, flags.vocab_size, flags.out, flags.sample_bytes, flags.sentinels)
    except errors.DataError as error:
        print(errors.printable(f'data: {error}'), file=sys.stderr)
        return 3
    except OSError as error:
        print(errors.printable(f'data: {flags.out}: expected a folder to write to, got {error.strerror}; set --out'), file=sys.stderr)
        return 3
    for line in [*source.listing(), *source.notices]:
        print(errors.printable(line))
    print(f'{flags.out}: {result.vocab_size:,} ids, hash {result.hash[:12]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
