"""Our tokenizers as Hugging Face files that give the same ids: tokenizer.json and tokenizer_config.json.

No normalisation and no U+2581: pieces hold plain spaces, so that a U+2581 in a text is spelt in bytes as we spell it. Special
tokens get the names that this project shows: <pad>, <eos>, <mask>, <cls>, <sep>, <extra_0>, ... As everywhere in `transformers`
these names mean the special token when a text holds them; split_special_tokens=True reads them as text, as we do. Two limits: in
runs of some 60 spaces and more a unigram model may cut elsewhere (equal sums, 32 bits here and 64 there), and AutoTokenizer of
transformers 5 overrides the class beside a config.json of Qwen2: load such a folder by PreTrainedTokenizerFast.
"""
import json
import re

from data import errors
from data.text import files as locations
from data.vocabularies import huggingface, pipelines, sentencepiece_model

UNK = '<unk>'


def save(tokenizer, folder, before=(), after=()):
    """Writes the files of a tokenizer of any kind; those of a published model are its own, as they came. The names written.

    before, after: roles of special tokens ('cls', ...) that `transformers` puts around a text of ours; between two texts stand those
    after. DataError for a SentencePiece model that is not ours and normalises: `transformers` has no such pipeline.
    """
    if isinstance(tokenizer, huggingface.Tokenizer):
        made = {name: data for name, data in tokenizer.files.items() if name != 'config.json'}
    else:
        made = {name: (json.dumps(value, ensure_ascii=False, indent=1) + '\n').encode()
                for name, value in own(tokenizer, before, after).items()}
    folder = locations.path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return sorted(made)


def own(tokenizer, before=(), after=()):
    """{file name: JSON value} of a byte vocabulary or a SentencePiece model without normalisation. before, after: as in `save`."""
    if not tokenizer.lossless or getattr(tokenizer, 'byte_ids', True) is None:
        raise errors.DataError('expected a tokenizer that reads every text as it is, got a SentencePiece model that normalises '
                               'or has no bytes to fall back on: it has no equal in transformers; keep its .model file, or '
                               'train a tokenizer')
    names = {int(i): tokenizer.special.name(i) for i in tokenizer.special.reserved}
    if hasattr(tokenizer, 'model'):
        found = sentencepiece_model.read(tokenizer.definition)
        names[found.unk_id] = UNK
        pipeline = _pieces(found, names)
    else:
        pipeline = _bytes(tokenizer, names)
    pipeline['added_tokens'] = [pipelines.added_token(i, name, True) for i, name in sorted(names.items())]
    if before or after:
        pipeline['post_processor'] = _frame(*([getattr(tokenizer.special, role) for role in roles] for roles in (before, after)), names)
    return {'tokenizer.json': pipeline, 'tokenizer_config.json': _config(tokenizer.special, names)}


def _frame(before, after, names):
    """What puts special tokens around a text, or two: those `after` also between them."""
    def token(i, side=0):
        return {'SpecialToken': {'id': names[i], 'type_id': side}}

    single = [*(token(i) for i in before), {'Sequence': {'id': 'A', 'type_id': 0}}, *(token(i) for i in after)]
    second = [{'Sequence': {'id': 'B', 'type_id': 1}}, *(token(i, 1) for i in after)]
    return {'type': 'TemplateProcessing', 'single': single, 'pair': single + second,
            'special_tokens': {names[i]: {'id': names[i], 'ids': [i], 'tokens': [names[i]]} for i in {*before, *after}}}


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
    level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': False}
    return pipelines.form(_bpe(vocab, [], False), None, level, level)


def _pieces(found, names):
    """A Unigram or BPE model with byte fallback over the whole text; symbols behind the pieces are added tokens alone."""
    pieces = [names.get(i) or text.replace(pipelines.SPACE, ' ') for i, (text, _, _) in enumerate(found.pieces)]
    decoder = {'type': 'Sequence', 'decoders': [{'type': 'ByteFallback'}, {'type': 'Fuse'}]}
    if found.kind == sentencepiece_model.BPE:
        vocab = {text: i for i, text in enumerate(pieces)}
        normal = {pieces[i]: i for i, (_, _, kind) in enumerate(found.pieces) if kind == sentencepiece_model.NORMAL}
        order = dict(sorted(normal.items(), key=lambda pair: -found.pieces[pair[1]][1]))
        merges = pipelines.merges({text: rank for rank, text in enumerate(order)})
        return pipelines.form(_bpe(vocab, merges, True), None, None, decoder)
    vocab = [[text, score] for text, (_, score, _) in zip(pieces, found.pieces)]
    model = {'type': 'Unigram', 'unk_id': found.unk_id, 'vocab': vocab, 'byte_fallback': True}
    # A Unigram model finds every piece in a text, also <pad> and the byte <0x0A>, which are no text: they are cut in two.
    plain = [re.escape(text[1:]) for i, text in enumerate(pieces) if i in names and text[0] == '<']
    cut = {'type': 'Split', 'pattern': {'Regex': f'<(?=0x[0-9A-F]{{2}}>|{"|".join(plain)})'}, 'behavior': 'MergedWithPrevious',
           'invert': False}
    return pipelines.form(model, None, cut, decoder)


def _bpe(vocab, merges, fallback):
    return {'type': 'BPE', 'dropout': None, 'unk_token': UNK if UNK in vocab else None, 'continuing_subword_prefix': None,
            'end_of_word_suffix': None, 'fuse_unk': fallback, 'byte_fallback': fallback, 'ignore_merges': False, 'vocab': vocab,
            'merges': merges}
