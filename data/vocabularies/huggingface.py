"""Tokenizers of published models, from Hugging Face folders: the ids that `transformers` gives, and no id more.

The package `tokenizers` runs the pipeline of the folder's files (data/vocabularies/folders.py). Text in the spelling of a special
token stays text, here as in all of this project: special ids enter by objectives alone. `transformers` does the same with
split_special_tokens=True, but for SentencePiece's pieces <pad>, </s> and <unk>, which no text gives here.
"""
import hashlib
import json

import numpy as np

from data import errors
from data.text import files as locations
from data.vocabularies import folders, pipelines, roles, vocabulary

TOGETHER = 1 << 16    # characters of texts that are encoded on all cores
MOST = 1 << 23        # characters in flight: bounds the memory, some 100 bytes a character
CLOSING = frozenset('.,;:!?)]}%\u2019\u201d\u2026\'')  # signs of WordPiece that are shown without a space before them


class Tokenizer(vocabulary.Vocabulary):
    """The tokenizer of a folder's files, {name: bytes}.

    special: vocabulary.Special when it is known (a saved tokenizer); None = found in the files (data/vocabularies/roles.py).
    `lossless` is False where the tokenizer normalises, or puts a space before every text.
    """

    def __init__(self, files, special=None):
        import tokenizers
        pipeline, settings = folders.load(files)
        self.files, spellings = files, pipelines.spellings(pipeline)
        if not 0 <= min(spellings) <= max(spellings) < 2 * len(spellings) + 1024:
            raise pipelines.FilesError(f'expected ids from 0 on, got {len(spellings)} tokens with ids from '
                                               f'{min(spellings)} to {max(spellings)}')
        added = {token['id']: bool(token.get('special')) for token in pipeline['added_tokens']}
        self.special = special or roles.find(spellings, [i for i, marked in added.items() if marked], settings)
        if self.special is None:
            raise pipelines.FilesError('expected a token that ends a text, got none; '
                                               'name it eos_token in tokenizer_config.json')
        reserved = set(self.special.reserved.tolist())
        self.names = {i: spellings[i] for i in reserved if i in spellings}
        run = runnable(pipeline, self.names)
        try:
            self.engine = tokenizers.Tokenizer.from_str(json.dumps(run))
        except Exception as error:  # the package raises nothing more special
            raise pipelines.FilesError(f'expected a tokenizer that the package tokenizers runs, got '
                                               f'{str(error).partition(" at line")[0]}') from None
        for token in run['added_tokens']:  # the package numbers those behind the vocabulary itself
            if (i := self.engine.token_to_id(token['content'])) != token['id']:
                raise pipelines.FilesError(f'expected added tokens whose ids follow the vocabulary, got {token["id"]} for '
                                                   f'{spellings[token["id"]]!r}, which is {i} in transformers; give it that id')
        self.engine.encode_special_tokens = True
        text = reader(pipeline, added)
        self.table = [b'' if i in reserved or i not in spellings else text(i, spellings[i]) for i in range(self.vocab_size)]
        self.definition = hashlib.sha256(json.dumps(pipeline, sort_keys=True).encode()).digest()
        self._continues = continuations(pipeline, spellings)
        self.prefix = b' ' if self._bytes('a')[:1] == b' ' else b''
        self.lossless = not self.prefix and self._bytes(vocabulary.PROBE) == vocabulary.PROBE.encode()

    def _bytes(self, text):
        return b''.join([self.table[i] for i in self.encode(text).tolist()])

    @property
    def word_starts(self):
        """bool[V]; of WordPiece as its marks say: what is not ##... begins a word, and so does each Chinese character."""
        if self._continues is None:
            return super().word_starts
        if not hasattr(self, '_starts'):
            self._starts = np.array([i not in self._continues or bool(vocabulary.UNSPACED.search(text.decode()))
                                     for i, text in enumerate(self.table)], bool)
        return self._starts

    def encode(self, text):
        """int32[n], no special ids added."""
        return np.array(self.engine.encode(vocabulary.valid(text), add_special_tokens=False).ids, np.int32)

    def encode_batch(self, texts):
        """list of int32[n], on all cores when it pays."""
        texts = [vocabulary.valid(text) for text in texts]
        if sum(map(len, texts)) <= TOGETHER:  # no threads: processes that are forked later stay quiet
            return [self.encode(text) for text in texts]
        rows, begin = [], 0
        for end in _ends(texts):
            found = self.engine.encode_batch_fast(texts[begin:end], add_special_tokens=False)
            rows += [np.array(one.ids, np.int32) for one in found]
            begin = end
        return rows

    def decode(self, ids, skip_special=False):
        text = super().decode(ids, skip_special)
        return text[1:] if self.prefix and text[:1] == ' ' else text

    def name(self, i):
        """Special ids are shown as their own vocabulary spells them."""
        return self.names.get(i)

    def save(self, folder):
        """Writes the folder's own files into original/, and tokenizer.json: what was found in them."""
        folder = locations.path(folder)
        (folder / 'original').mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (folder / 'original' / name).write_bytes(data)
        definition = {'kind': 'huggingface', 'special': self.special.as_dict(), 'hash': self.hash}
        (folder / 'tokenizer.json').write_text(json.dumps(definition, indent=1) + '\n', encoding='utf-8')


def load(folder, special=None):
    """The Tokenizer of a folder's files; DataError names the file that is wrong."""
    folder = locations.path(folder)
    names = [*folders.SETTINGS, *folders.VOCABULARIES, *sorted(path.name for path in folder.glob('*.model'))]
    try:
        return Tokenizer({name: (folder / name).read_bytes() for name in names if (folder / name).exists()}, special)
    except pipelines.FilesError as error:
        raise errors.DataError(f'{folder}: {error}') from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # JSON of another shape
        raise errors.DataError(f'{folder}: expected tokenizer files in the form that transformers writes, got '
                               f'{type(error).__name__} ({error})') from error
    except OSError as error:
        raise errors.DataError(f'{folder}: expected files that can be read, got {error.strerror}') from None


def holds(folder):
    """Whether a folder has a tokenizer of Hugging Face. A SentencePiece model alone is none: it does not say whose it is."""
    there = {name for name in (*folders.SETTINGS, *folders.VOCABULARIES) if (folder / name).exists()}
    said = {'tokenizer_config.json', 'config.json'} & there and any(folder.glob('*.model'))
    return bool({'tokenizer.json', 'vocab.txt', 'vocab.json'} & there or said)


def runnable(pipeline, names):
    """The pipeline without the special tokens `names` {id: spelling}: it gives these ids for no text.

    Their spellings become ones that no text has (spaces and control characters never reach a model), and merges that make
    them go. Ids stay what they are.
    """
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
    hide = {'special': True, 'normalized': False}
    added = [{**token, 'content': rename(token['content']), **hide} if token['content'] in hidden else {**token, 'special': False}
             for token in pipeline['added_tokens']]
    before = pipeline['pre_tokenizer']
    if model['type'] == 'Unigram' and not any(step['type'] == 'Metaspace' for step in pipelines.parts(before)):
        cut = {'type': 'Split', 'pattern': {'String': '\0'}, 'behavior': 'Isolated', 'invert': False}  # here spaces reach the model
        before = {'type': 'Sequence', 'pretokenizers': [cut, *pipelines.parts(before)]}
    return {**pipeline, 'model': model, 'pre_tokenizer': before, 'added_tokens': added, 'post_processor': None, 'decoder': None}


def reader(pipeline, added):
    """f(id, spelling) -> the bytes of text that a piece stands for."""
    model, keys = pipeline['model'], ('normalizer', 'pre_tokenizer', 'decoder')
    steps = [step for key in keys for step in pipelines.parts(pipeline[key])]
    letters = byte_letters() if any(step['type'] == 'ByteLevel' for step in steps) else None
    signs = [(step.get('replacement'), step.get('content'), (step.get('pattern') or {}).get('String')) for step in steps]
    spaces = any(pipelines.SPACE in sign for sign in signs)
    prefix = model.get('continuing_subword_prefix') or '##'

    def text(i, piece):
        if i in added:
            return piece.encode()
        if model['type'] == 'WordPiece':
            return piece.removeprefix(prefix).encode() if piece.startswith(prefix) and piece != prefix else _word(piece)
        if model['type'] == 'WordLevel':
            return _word(piece)
        if model.get('byte_fallback') and len(piece) == 6 and piece.startswith('<0x') and piece.endswith('>'):
            return bytes.fromhex(piece[3:5])
        if letters:
            return b''.join([letters[letter] if letter in letters else letter.encode() for letter in piece])
        return (piece.replace(pipelines.SPACE, ' ') if spaces else piece).encode()

    return text


def continuations(pipeline, spellings):
    """Ids of WordPiece's pieces that go on with a word; None for the others, whose pieces say it by their text."""
    model = pipeline['model']
    if model['type'] != 'WordPiece':
        return None
    prefix = model.get('continuing_subword_prefix') or '##'
    return {i for i, text in spellings.items() if text.startswith(prefix) and text != prefix}


def byte_letters():
    """{letter: byte} of GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{chr(byte): bytes([byte]) for byte in plain}, **{chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}}


def _word(piece):
    """A whole word's bytes, with the space that the tokenizer dropped, where there is likely to have been one."""
    bare = not piece or piece[0] in CLOSING or vocabulary.UNSPACED.match(piece)
    return (piece if bare else ' ' + piece).encode()


def _ends(texts):
    """Where to cut a list of texts so that no part has many more than MOST characters."""
    size = 0
    for i, text in enumerate(texts, 1):
        size += len(text)
        if size >= MOST or i == len(texts):
            yield i
            size = 0
