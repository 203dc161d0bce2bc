"""Tokenizers of published models, from Hugging Face folders: the ids that `transformers` gives, and no id more.

The package `tokenizers` runs the pipeline of the folder's files (data/vocabularies/folders.py). A special token's spelling in a text stays
text, here as in all of this project: only objectives add special ids. `transformers` does the same with split_special_tokens=True, except
for SentencePiece's pieces <pad>, </s> and <unk>, which no text gives here.
"""
import contextlib
import hashlib
import json
import os
from typing import Any, Callable, Iterator

import numpy as np

from data import errors, places, special_tokens
from data.vocabularies import expressions, folders, pipelines, roles, vocabulary, words

TOGETHER = 1 << 16    # characters of texts that are encoded on all cores
CLOSING = frozenset('.,;:!?)]}%\u2019\u201d\u2026\'')  # signs of WordPiece that are shown without a space before them


class Tokenizer(vocabulary.Vocabulary):
    """The tokenizer of a folder's files, {name: bytes}. special, hash: of a saved tokenizer; None = found in the files
    (data/vocabularies/roles.py). `lossless` is False where it normalises, drops something or puts a space before every text."""
    kind = 'huggingface'

    def __init__(self, originals: dict[str, bytes], special: special_tokens.Special | None = None, hash: str | None = None):
        import tokenizers
        pipeline, settings = folders.load(originals)
        self.originals, spellings = originals, pipelines.spellings(pipeline)
        if not 0 <= min(spellings) <= max(spellings) < 2 * len(spellings) + 1024:
            found = f'{len(spellings)} tokens with ids from {min(spellings)} to {max(spellings)}'
            raise errors.DataError(f'expected ids from 0 on, got {found}')
        added = {token['id']: bool(token.get('special')) for token in pipeline['added_tokens']}
        self.special = special or roles.find(spellings, [i for i, marked in added.items() if marked], settings)
        if self.special is None:
            raise errors.DataError('expected a token that ends a text, got none; name it eos_token in tokenizer_config.json')
        self.definition = hashlib.sha256(json.dumps(pipeline, sort_keys=True).encode()).digest()
        self.check(hash)
        reserved = set(self.special.reserved.tolist())
        self.names = {i: spellings[i] for i in reserved if i in spellings}
        run = runnable(pipeline, self.names)
        expressions.check(run)
        with refused():
            self.engine = tokenizers.Tokenizer.from_str(json.dumps(run))
        for token in run['added_tokens']:  # the package numbers those after the vocabulary itself
            if (i := self.engine.token_to_id(token['content'])) != token['id']:
                raise errors.DataError(f'expected added tokens whose ids follow the vocabulary, got {token["id"]} for '
                                       f'{spellings[token["id"]]!r}, which is {i} in transformers; give it that id')
        self.engine.encode_special_tokens = True
        text = reader(pipeline, added)
        self.table = [b'' if i in reserved or i not in spellings else text(i, spellings[i]) for i in range(self.vocab_size)]
        prefix = _continuing(pipeline['model'])
        self.continuing = {i for i, text in spellings.items() if text.startswith(prefix) and text != prefix} if prefix else ()
        with refused():
            self.probe(meaning(pipeline))

    def encode(self, text: str) -> np.ndarray:
        """int32[n], no special ids added."""
        return np.array(self.engine.encode(vocabulary.valid(text), add_special_tokens=False).ids, np.int32)

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        """int32[n] of each text, on all cores when it pays."""
        texts = [vocabulary.valid(text) for text in texts]
        if sum(map(len, texts)) <= TOGETHER:  # no threads, which could hold a lock while a process is forked later
            return super().encode_batch(texts)
        return [np.array(one.ids, np.int32) for one in self.engine.encode_batch_fast(texts, add_special_tokens=False)]

    def name(self, i: int) -> str | None:
        """Special ids are shown in the spelling of their own vocabulary."""
        return self.names.get(i)

    def files(self) -> dict[str, bytes]:
        """The folder's own files, in original/."""
        return {f'original/{name}': data for name, data in self.originals.items()}


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Whatever the package says against a tokenizer becomes a DataError."""
    try:
        yield
    except BaseException as error:  # the package has no class of its own; where it panics, the class is not even an Exception
        if not isinstance(error, Exception) and type(error).__name__ != 'PanicException':
            raise
        found = str(error).partition(' at line')[0]
        raise errors.DataError(f'expected a tokenizer that the package tokenizers runs, got {found}') from None


def load(path: str | os.PathLike, special: special_tokens.Special | None = None, hash: str | None = None) -> Tokenizer:
    """The Tokenizer of a folder's files, or of one file and the settings beside it; DataError names the file that is wrong."""
    path = places.path(path)
    folder = path if path.is_dir() else path.parent
    names = {name: folder / name for name in folders.SETTINGS}
    names |= {name: folder / name for name in (*folders.VOCABULARIES, *sorted(file.name for file in folder.glob('*.model')))
              } if folder == path else _named(path)
    try:
        return Tokenizer({name: file.read_bytes() for name, file in names.items() if file.exists()}, special, hash)
    except errors.DataError as error:
        named = next((f'{name}: ' for name, file in names.items() if file == path), '')
        raise errors.DataError(f'{path}: {_short(str(error).removeprefix(named))}') from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # JSON of another shape
        raise errors.DataError(f'{path}: expected tokenizer files in the form that transformers writes, got '
                               f'{type(error).__name__} ({_short(str(error))})') from error
    except OSError as error:
        raise errors.DataError(f'{path}: expected files that can be read, got {error.strerror}') from None


def _short(text, limit=500):
    """What a message shows of a stranger's text."""
    return text if len(text) <= limit else text[:limit - 1] + '\u2026'


def _named(path):
    """{name in a folder: file} of the vocabulary in a file that may have another name; DataError when its ending says of no format."""
    pair = ('vocab.json', 'merges.txt')
    if path.name in pair:
        return {name: path.parent / name for name in pair}
    name = {'.json': 'tokenizer.json', '.txt': 'vocab.txt', '.model': path.name}.get(path.suffix)
    if name is None or path.name in folders.SETTINGS:
        raise errors.DataError(f'{path}: expected {folders.FORMATS}, got another file; check tokenizer.path')
    return {name: path}


def holds(folder: Any) -> bool:
    """Whether a folder has a tokenizer of Hugging Face. A SentencePiece model alone is none, because its class is unknown."""
    there = {name for name in (*folders.SETTINGS, *folders.VOCABULARIES) if (folder / name).exists()}
    return bool({'tokenizer.json', 'vocab.txt', 'vocab.json'} & there or configured(folder) and any(folder.glob('*.model')))


def configured(folder: Any) -> bool:
    """Whether a folder has a file that may name the class of its tokenizer."""
    return any((folder / name).exists() for name in ('tokenizer_config.json', 'config.json'))


def runnable(pipeline: dict, names: dict[int, str]) -> dict:
    """The pipeline without the special tokens `names`, so that no text gives their ids. Their spellings become ones that no text has
    (spaces and control characters never reach a model), and merges that make them are left out. Ids do not change."""
    hidden = {text: f'\0 {i} \uffff' for i, text in names.items()}
    model, rename = dict(pipeline['model']), lambda text: hidden.get(text, text)
    if isinstance(model['vocab'], list):
        model['vocab'] = [[rename(text), score] for text, score in model['vocab']]
    else:
        model['vocab'] = {rename(text): i for text, i in model['vocab'].items()}
    if 'merges' in model:
        pairs = [merge.split(' ', 1) if isinstance(merge, str) else merge for merge in model['merges']]
        model['merges'] = [pair for pair in pairs if not {*pair, ''.join(pair)} & set(hidden)]
    if model.get('unk_token') is not None:
        model['unk_token'] = rename(model['unk_token'])
    if 'dropout' in model:
        model['dropout'] = None  # of merges, drawn anew for each text: ids are those of evaluation
    added = [{**token, 'content': hidden[token['content']], 'special': True, 'normalized': False} if token['content'] in hidden
             else {**token, 'special': False} for token in pipeline['added_tokens']]
    before = pipeline['pre_tokenizer']
    if model['type'] == 'Unigram' and not any(step['type'] == 'Metaspace' for step in pipelines.parts(before)):
        # Here spaces reach the model: cut before the hidden spellings.
        before = {'type': 'Sequence', 'pretokenizers': [pipelines.split({'String': '\0'}), *pipelines.parts(before)]}
    return {**pipeline, 'model': model, 'pre_tokenizer': before, 'added_tokens': added, 'post_processor': None, 'decoder': None}


def reader(pipeline: dict, added: dict) -> Callable[[int, str], bytes]:
    """f(id, spelling) -> the bytes of text that a piece stands for. added: ids of added tokens."""
    model, keys = pipeline['model'], ('normalizer', 'pre_tokenizer', 'decoder')
    steps = [step for key in keys for step in pipelines.parts(pipeline[key])]
    letters = byte_letters() if any(step['type'] == 'ByteLevel' for step in steps) else None
    signs = [(step.get('replacement'), step.get('content'), (step.get('pattern') or {}).get('String')) for step in steps]
    spaces = any(pipelines.SPACE in sign for sign in signs)
    prefix = _continuing(model)

    def text(i, piece):
        if i in added:
            return piece.encode()
        if model['type'] in ('WordPiece', 'WordLevel'):
            if prefix and piece.startswith(prefix) and piece != prefix:
                return piece.removeprefix(prefix).encode()
            # The tokenizer dropped spaces: most words had one before them.
            return (piece if not piece or piece[0] in CLOSING or words.UNSPACED[words.kinds()[ord(piece[0])]] else ' ' + piece).encode()
        if model.get('byte_fallback') and len(piece) == 6 and piece.startswith('<0x') and piece.endswith('>'):
            return bytes.fromhex(piece[3:5])
        if letters:
            return b''.join([letters[letter] if letter in letters else letter.encode() for letter in piece])
        return (piece.replace(pipelines.SPACE, ' ') if spaces else piece).encode()

    return text


def meaning(pipeline: dict) -> list[str]:
    """Strings that a pipeline treats unlike others: its added tokens, and what its steps replace, cut at or insert."""
    steps = [step for key in ('normalizer', 'pre_tokenizer') for step in pipelines.parts(pipeline[key])]
    found = [token['content'] for token in pipeline['added_tokens']]
    found += [step.get(key) for step in steps for key in ('content', 'prepend', 'replacement')]
    found += [pattern.get('String') for step in steps if isinstance(pattern := step.get('pattern'), dict)]
    return [text for text in found if isinstance(text, str)]


def byte_letters() -> dict[str, bytes]:
    """{letter: byte} of GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{chr(byte): bytes([byte]) for byte in plain}, **{chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}}


def _continuing(model):
    """What WordPiece's pieces begin with that continue a word; None of other models."""
    return (model.get('continuing_subword_prefix') or '##') if model['type'] == 'WordPiece' else None
