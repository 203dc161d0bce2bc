"""Our tokenizers as Hugging Face files that give the same ids: tokenizer.json and tokenizer_config.json.

No normalisation and no U+2581: pieces contain plain spaces, so that a U+2581 in a text is spelt in bytes as here. Special tokens get the
names that this project shows: <pad>, <eos>, <mask>, <cls>, <sep>, <extra_0>, ... In `transformers` such a name in a text is the special
token; with split_special_tokens=True it is text, as here. Two limits: in runs of some 60 spaces and more a unigram model may cut elsewhere
(equal sums, 32 bits here and 64 there), and AutoTokenizer of transformers 5 overrides the class beside a config.json of Qwen2: load such a
folder by PreTrainedTokenizerFast.
"""
import json
import os
import re

from data import errors, places
from data.vocabularies import huggingface, pieces, pipelines, vocabulary

UNK = '<unk>'


def save(tokenizer: vocabulary.Vocabulary, folder: str | os.PathLike, before: tuple = (), after: tuple = ()) -> list[str]:
    """Writes the files of Hugging Face that `transformers` loads to the same ids; those of a published model unchanged. Their names.

    before, after: roles of special tokens ('cls', ...) that `transformers` puts around a text, for a tokenizer of ours; between two texts
    it puts those in `after`. DataError for a SentencePiece model that is not ours and normalises: `transformers` has no such pipeline.
    """
    if isinstance(tokenizer, huggingface.Tokenizer):
        made = {name: data for name, data in tokenizer.originals.items() if name != 'config.json'}
    else:
        values = own(tokenizer, before, after)
        made = {name: (json.dumps(value, ensure_ascii=False, indent=1) + '\n').encode() for name, value in values.items()}
    folder = places.path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return sorted(made)


def own(tokenizer: vocabulary.Vocabulary, before: tuple = (), after: tuple = ()) -> dict[str, dict]:
    """{file name: JSON value} of a byte vocabulary or a SentencePiece model without normalisation. before, after: as in `save`."""
    if not tokenizer.lossless or getattr(tokenizer, 'byte_ids', True) is None:
        raise errors.DataError('expected a tokenizer that reads every text as it is, got a SentencePiece model that normalises or has no '
                               'bytes to fall back on: it has no equal in transformers; keep its .model file, or train a tokenizer')
    special = tokenizer.special
    names = {int(i): special.name(i) for i in special.reserved}
    if hasattr(tokenizer, 'model'):
        found = pieces.read(tokenizer.definition)
        names[found.trainer_spec.unk_id] = UNK
        pipeline = _pieces(found, names)
    else:
        pipeline = _bytes(tokenizer, names)
    pipeline['added_tokens'] = [pipelines.added_token(i, name, True) for i, name in sorted(names.items())]
    if before or after:
        around = ({names[i]: i for i in (getattr(special, role) for role in roles)} for roles in (before, after))
        pipeline['post_processor'] = pipelines.frame(*around)
    return {'tokenizer.json': pipeline, 'tokenizer_config.json': _config(special, names)}


def _config(special, names):
    roles = {f'{role}_token': names[getattr(special, role)] for role in ('bos', 'cls', 'eos', 'mask', 'pad', 'sep')}
    unknown = {'unk_token': UNK} if UNK in names.values() else {}
    rest = [name for _, name in sorted(names.items(), reverse=True) if name not in {*roles.values(), UNK}]  # <extra_0> first
    return {'tokenizer_class': 'PreTrainedTokenizerFast', 'clean_up_tokenization_spaces': False, **roles, **unknown,
            'extra_special_tokens': rest, 'model_max_length': int(1e30)}


def _bytes(tokenizer, names):
    """A byte-level BPE without merges."""
    letters = {byte: letter for letter, byte in huggingface.byte_letters().items()}
    vocab = {letters[text] if text else names[i]: i for i, text in enumerate(tokenizer.table)}
    level = pipelines.byte_level(False, False)
    return pipelines.form(pipelines.bpe(vocab, [], False), None, level, level)


def _pieces(found, names):
    """A Unigram or BPE model with byte fallback over the whole text; symbols after the pieces are only added tokens."""
    texts = [names.get(i) or piece.piece.replace(pipelines.SPACE, ' ') for i, piece in enumerate(found.pieces)]
    decoder = {'type': 'Sequence', 'decoders': [{'type': 'ByteFallback'}, {'type': 'Fuse'}]}
    if found.trainer_spec.model_type == found.trainer_spec.BPE:
        normal = [(text, piece.score) for text, piece in zip(texts, found.pieces) if piece.type == piece.NORMAL]
        order = sorted(dict(normal).items(), key=lambda pair: -pair[1])
        merges = pipelines.merges({text: rank for rank, (text, _) in enumerate(order)})
        vocab = {text: i for i, text in enumerate(texts)}
        return pipelines.form(pipelines.bpe(vocab, merges, True, unknown=UNK), None, None, decoder)
    vocab = [[text, piece.score] for text, piece in zip(texts, found.pieces)]
    model = {'type': 'Unigram', 'unk_id': found.trainer_spec.unk_id, 'vocab': vocab, 'byte_fallback': True}
    # A Unigram model finds every piece in a text, also <pad> and the byte <0x0A>, which are no text: they are cut in two.
    plain = [re.escape(text[1:]) for i, text in enumerate(texts) if i in names and text[0] == '<']
    cut = pipelines.split({'Regex': f'<(?=0x[0-9A-F]{{2}}>|{"|".join(plain)})'}, 'MergedWithPrevious')
    return pipelines.form(model, None, cut, decoder)
