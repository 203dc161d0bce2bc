"""Text to ids and back: a byte vocabulary that needs no training, SentencePiece, and the tokenizers of published models.

Every tokenizer has `special`, `vocab_size`, `encode`, `encode_batch`, `decode`, `pieces`, `token_bytes`, `hash` and
`save`. Trains one from a terminal:

    python -m data.tokenizer train --input=bundled:novels --kind=unigram --vocab_size=4096 --out=runs/tokenizer
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

if not __package__:
    print('use python -m data.tokenizer', file=sys.stderr)
    sys.exit(2)

import numpy as np

from data import errors, special_tokens
from data.text import files
from data.vocabularies import vocabulary

Special = special_tokens.Special
KINDS = ('unigram', 'bpe', 'bytes')
FORMAT = 1          # raise it when training changes, so that tokenizers in caches are trained again


def load(path):
    """A tokenizer from a folder that `save` wrote, a folder (or a file in it) of Hugging Face, or a SentencePiece .model.

    A published model's vocabulary gets no id more than it has. That is a folder with a tokenizer.json of Hugging Face, with
    vocab.txt, with vocab.json and merges.txt, or with a .model beside a config.json or tokenizer_config.json; a .model by
    itself is somebody's vocabulary to train with, and gets the symbols that it lacks.
    DataError when there is none, or when its files do not belong together.
    """
    path = files.path(path)
    if path.exists() and not path.is_dir():
        if path.suffix != '.model' or _huggingface().holds(path.parent):
            return load(path.parent)
        return _pieces().SentencePiece(path.read_bytes())
    models = sorted(path.glob('*.model')) if path.is_dir() else []
    definition = _definition(path / 'tokenizer.json')
    if definition is None and path.is_dir() and _huggingface().holds(path):
        return _huggingface().load(path)
    if definition is None:
        if len(models) != 1:
            raise errors.DataError(f'{path}: expected a SentencePiece .model file or a folder with one, got '
                                   f'{", ".join(model.name for model in models) or "none"}; check tokenizer.path')
        return _pieces().SentencePiece(models[0].read_bytes())
    if definition['kind'] == 'huggingface':
        result = _huggingface().load(path / 'original', Special(**definition['special']))
        if result.hash != definition['hash']:
            raise errors.DataError(f'{path / "original"}: expected the files whose hash {path / "tokenizer.json"} holds, got '
                                   'others; copy the whole folder again')
        return result
    if definition['kind'] == 'bytes':
        return Bytes(sentinels=definition['special']['sentinels'][0] - definition['special']['sentinels'][1] + 1)
    model = path / 'tokenizer.model'
    if not model.exists():
        raise errors.DataError(f'{model}: expected the SentencePiece model of tokenizer.json, got none')
    result = _pieces().SentencePiece(model.read_bytes(), Special(**definition['special']))
    if result.hash != definition['hash']:
        raise errors.DataError(f'{model}: expected the model whose hash tokenizer.json holds, got another; '
                               'copy both files again')
    return result


def train(texts, kind='unigram', vocab_size=4096, path=None, sample_bytes=0, sentinels=special_tokens.SENTINELS):
    """A tokenizer for `texts` (iterable of str), saved to the folder `path` if given.

    vocab_size counts every id, reserved ones too; small texts give fewer. sample_bytes: text to read, evenly spread
    over all; 0 = everything. Deterministic. DataError when there is no text, or too small a vocabulary.
    """
    if kind not in KINDS:
        raise errors.DataError(f'tokenizer.kind: expected one of {", ".join(KINDS)}, got {kind!r}')
    if kind == 'bytes':
        result = Bytes(sentinels)
    else:
        from data.vocabularies import training
        blocks = training.sample(texts, sample_bytes)
        model = training.train(blocks, kind, vocab_size, sentinels)
        result = _pieces().SentencePiece(model, sentinels=sentinels)
    if path is not None:
        result.save(path)
    return result


def build(settings, source, cache):
    """The tokenizer that `settings` (train.settings.schema.Tokenizer) asks for.

    `path` is loaded, 'bytes' is made, anything else is trained on `source` (the training text) and kept in
    cache/tokenizers/KEY, where KEY is the hash of the text and the settings.
    """
    if settings.path:
        return load(settings.path)
    if settings.kind == 'bytes':
        return Bytes()
    identity = [FORMAT, source.fingerprint, settings.kind, settings.vocab_size, settings.sample_bytes]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    folder = pathlib.Path(cache).expanduser() / 'tokenizers' / key
    try:
        return load(folder)
    except errors.DataError:
        pass  # not there, or damaged
    result = train(source, settings.kind, settings.vocab_size, sample_bytes=settings.sample_bytes)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.mkdtemp(dir=folder.parent)
    except OSError as error:
        raise errors.DataError(f'{folder.parent}: expected a folder to write to, got {error.strerror}; set data.cache') from None
    result.save(beside)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rename(beside, folder)
    except OSError:  # another process was faster, with the same result
        shutil.rmtree(beside)
    return result


def export(tokenizer, folder, before=(), after=()):
    """Writes the files of Hugging Face that `transformers` loads to the same ids; a list of their names.

    before, after: roles of special tokens ('cls', 'sep', ...) that it then puts around texts, of a tokenizer of ours.
    DataError for a SentencePiece model that is not ours and normalises.
    """
    from data.vocabularies import export
    return export.save(tokenizer, folder, before, after)


def _pieces():
    from data.vocabularies import pieces  # imports SentencePiece, which neither --help nor bytes need
    return pieces


def _huggingface():
    from data.vocabularies import huggingface
    return huggingface


def _definition(path):
    """The saved tokenizer.json; None when there is none or it is another program's."""
    try:
        definition = json.loads(path.read_text(encoding='utf-8'))
    except OSError:
        return None
    except ValueError as error:
        raise errors.DataError(f'{path}: expected JSON, got {error}') from error
    return definition if isinstance(definition, dict) and {'kind', 'special', 'hash'} <= set(definition) else None


class Bytes(vocabulary.Vocabulary):
    """One id a UTF-8 byte, as ByT5 (Xue et al. 2021): pad 0, eos 1, mask 2, byte b is b + 3, cls, sep, sentinels."""
    OFFSET = 3

    def __init__(self, sentinels=special_tokens.SENTINELS):
        text_end = self.OFFSET + 256
        size = text_end + 2 + sentinels
        self.special = Special(pad=0, eos=1, mask=2, cls=text_end, sep=text_end + 1,
                               sentinels=(size - 1, size - sentinels), vocab_size=size)
        self.table = [b''] * self.OFFSET + [bytes([b]) for b in range(256)] + [b''] * (2 + sentinels)
        self.definition = b'bytes'

    def encode(self, text):
        """int32[n], no special ids added."""
        return np.frombuffer(vocabulary.utf8(text), np.uint8).astype(np.int32) + self.OFFSET

    def encode_batch(self, texts):
        """list of int32[n]."""
        return [self.encode(text) for text in texts]

    def save(self, folder):
        folder = files.path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        definition = {'kind': 'bytes', 'special': self.special.as_dict(), 'hash': self.hash}
        (folder / 'tokenizer.json').write_text(json.dumps(definition, indent=1) + '\n', encoding='utf-8')


def main(arguments=None):
    """The command line; returns the exit code (3: bad data)."""
    parser = argparse.ArgumentParser(prog='python -m data.tokenizer', description='Trains a tokenizer.')
    command = parser.add_subparsers(dest='command', required=True).add_parser('train', help='train one and save it')
    command.add_argument('--input', required=True,
                         help='bundled:NAME, a file or glob (.txt .jsonl .parquet, .gz .xz), tfds:NAME:SPLIT')
    command.add_argument('--field', default='text', help='column of JSON, parquet and TFDS rows (text)')
    command.add_argument('--kind', choices=KINDS, default='unigram', help='(unigram)')
    command.add_argument('--vocab_size', type=int, default=4096, help='reserved ids included (4096)')
    command.add_argument('--sample_bytes', type=int, default=10_000_000, help='text to read; 0 = all (10000000)')
    command.add_argument('--sentinels', type=int, default=special_tokens.SENTINELS, help=f'({special_tokens.SENTINELS})')
    command.add_argument('--out', required=True, help='folder to write')
    flags = parser.parse_args(arguments)
    from data.text import sources
    try:
        source = sources.open(flags.input, flags.field)
        result = train(source, flags.kind, flags.vocab_size, flags.out, flags.sample_bytes, flags.sentinels)
    except errors.DataError as error:
        print(f'data: {error}', file=sys.stderr)
        return 3
    for line in source.notices:
        print(line)
    print(f'{flags.out}: {result.vocab_size:,} ids, hash {result.hash[:12]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
