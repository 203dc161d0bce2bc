"""A Hugging Face folder's tokenizer files as one pipeline: what its tokenizer.json contains, or would contain.

The pipelines of the older files (vocab.txt; vocab.json and merges.txt; a SentencePiece .model) are those of the classes of `transformers`
5, which differ from the original programs in details (WhitespaceSplit for T5, XLNet and ALBERT): an imported or exported model gets the
same ids on both sides.
"""
import base64
from typing import Any

from data import errors, json_text
from data.vocabularies import classes, pieces, pipelines, roles

SETTINGS = ('tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'config.json')
VOCABULARIES = ('tokenizer.json', 'vocab.txt', 'vocab.json', 'merges.txt')  # and *.model
FORMATS = 'tokenizer.json, a SentencePiece .model, vocab.txt, or vocab.json with merges.txt'
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def load(files: dict[str, bytes]) -> tuple[dict, dict[str, dict]]:
    """(pipeline, settings): a dict in the form of tokenizer.json, and {file name: dict} of SETTINGS, 'class' the defaults of the class.

    files: of SETTINGS, VOCABULARIES and at most one .model. The first of tokenizer.json, .model, vocab.txt, vocab.json counts.
    DataError, without the folder's name, for what is wrong.
    """
    settings = {name: read_json(name, files[name]) if name in files else {} for name in SETTINGS}
    kind, model = classes.of(settings), min((name for name in files if name.endswith('.model')), default=None)
    config = settings['tokenizer_config.json']
    if 'tokenizer.json' in files:
        found = _checked(read_json('tokenizer.json', files['tokenizer.json']))
        classes.overrule(found, classes.rebuilt(settings), config)
    elif model:
        found = _sentencepiece(files[model], model, kind, config)
    elif 'vocab.txt' in files:
        found = _wordpiece(files['vocab.txt'], kind, config)
    else:
        found = _byte_level(files, kind, config)
    return _with_added(found, settings), {**settings, 'class': classes.DEFAULTS.get(kind, {})}


def read_json(name: Any, data: bytes) -> dict:
    """The JSON object of a file; DataError with its name."""
    try:
        value = json_text.value(data.decode())
    except ValueError as error:
        raise errors.DataError(f'{name}: expected JSON, got {error}') from None
    if not isinstance(value, dict):
        raise errors.DataError(f'{name}: expected a JSON object, got {type(value).__name__}')
    return value


def _checked(pipeline):
    """A tokenizer.json as written by any version: with the type of its model, and with all keys that are read here."""
    model = pipeline.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('vocab'), (dict, list)):
        raise errors.DataError('tokenizer.json: expected a model with a vocab, got none')
    kind = model.get('type') or ('Unigram' if isinstance(model['vocab'], list) else 'BPE' if 'merges' in model else 'WordPiece')
    suffix = ' with end_of_word_suffix' if model.get('end_of_word_suffix') else ''
    if kind not in ('Unigram', 'BPE', 'WordPiece', 'WordLevel') or suffix:
        raise errors.DataError(f'tokenizer.json: expected a model of type Unigram, BPE, WordPiece or WordLevel, got {kind}{suffix}')
    return pipelines.form({**model, 'type': kind}, *(pipeline.get(step) for step in ('normalizer', 'pre_tokenizer', 'decoder')),
                          [dict(token) for token in pipeline.get('added_tokens') or ()])


def _wordpiece(data, kind, config):
    classes.known('vocab.txt', kind, classes.WORDPIECE)
    vocab = {line.rstrip(): i for i, line in enumerate(_text('vocab.txt', data).removesuffix('\n').split('\n'))}
    unk = roles.content(config.get('unk_token')) or '[UNK]'
    if unk not in vocab:
        raise errors.DataError(f'vocab.txt: expected a line {unk}, the token of unknown words, got none')
    model = {'type': 'WordPiece', 'unk_token': unk, 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100, 'vocab': vocab}
    return pipelines.form(model, classes.bert_normalizer(config), {'type': 'BertPreTokenizer'},
                          {'type': 'WordPiece', 'prefix': '##', 'cleanup': True})


def _byte_level(files, kind, config):
    for name in ('vocab.json', 'merges.txt'):
        if name not in files:
            raise errors.DataError(f'expected {FORMATS}, got no {name}')
    classes.known('vocab.json', kind, classes.BYTE_LEVEL)
    lines = _text('merges.txt', files['merges.txt']).split('\n')
    merges = [line.split(' ') for line in lines if line.strip() and not line.startswith('#version')]
    if odd := [merge for merge in merges if len(merge) != 2]:
        raise errors.DataError(f'merges.txt: expected two pieces a line, got {" ".join(odd[0])[:80]!r}')
    model = pipelines.bpe(read_json('vocab.json', files['vocab.json']), merges, False, '')
    normalizer, steps = None, pipelines.byte_level(bool(config.get('add_prefix_space')), kind != 'Qwen2')
    if kind == 'Qwen2':
        normalizer, steps = {'type': 'NFC'}, {'type': 'Sequence', 'pretokenizers': [pipelines.split({'Regex': QWEN2}), steps]}
    return pipelines.form(model, normalizer, steps, {'type': 'ByteLevel'})


def _sentencepiece(data, name, kind, config):
    classes.known(name, kind, classes.SENTENCEPIECE)
    try:
        found = pieces.read(data)
    except errors.DataError as error:
        raise errors.DataError(f'{name}: {error}') from None
    wanted = found.trainer_spec.BPE if kind == 'Llama' else found.trainer_spec.UNIGRAM
    if found.trainer_spec.model_type != wanted:
        raise errors.DataError(f'{name}: expected a model of type {"bpe" if kind == "Llama" else "unigram"}, as {kind} has, got another')
    added = [pipelines.added_token(i, piece.piece, piece.type == piece.CONTROL) for i, piece in enumerate(found.pieces)
             if piece.type in (piece.CONTROL, piece.USER_DEFINED)]
    vocab = [[piece.piece, piece.score] for piece in found.pieces]
    charsmap = base64.b64encode(found.normalizer_spec.precompiled_charsmap).decode()
    normalizer, pre_tokenizer = classes.text_steps(kind, config, charsmap)
    if kind == 'Llama':
        vocab = {text: i for i, (text, _) in enumerate(vocab)}
        return pipelines.form(pipelines.bpe(vocab, pipelines.merges(vocab), True), normalizer, pre_tokenizer, None, added)
    if kind == 'T5':
        names = [f'<extra_id_{j}>' for j in reversed(range(config.get('extra_ids', 100)))]
        added += [pipelines.added_token(len(vocab) + i, text, True) for i, text in enumerate(names)]
        vocab += [[text, 0.0] for text in names]
    unk = {'T5': 2, 'Albert': 1}.get(kind, found.trainer_spec.unk_id)
    model = {'type': 'Unigram', 'unk_id': unk, 'vocab': vocab, 'byte_fallback': False}
    return pipelines.form(model, normalizer, pre_tokenizer, None, added)


def _with_added(pipeline, settings):
    """The pipeline with the tokens that only tokenizer_config.json or added_tokens.json has."""
    there = pipelines.spellings(pipeline)
    listed = {int(i): token for i, token in settings['tokenizer_config.json'].get('added_tokens_decoder', {}).items()}
    listed |= {i: text for text, i in settings['added_tokens.json'].items() if i not in listed}
    for i, token in sorted(listed.items()):
        if i not in there:
            token = token if isinstance(token, dict) else {'content': token, 'special': True}
            pipeline['added_tokens'].append({**pipelines.added_token(i, token['content'], True), **token, 'id': i})
    return pipeline


def _text(name, data):
    """The text of a file, without a byte order mark."""
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise errors.DataError(f'{name}: expected UTF-8, got {error}') from None
