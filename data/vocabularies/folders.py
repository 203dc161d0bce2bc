"""A Hugging Face folder's tokenizer files as one pipeline: what its tokenizer.json says or would say.

The pipelines of the older files (vocab.txt; vocab.json and merges.txt; a SentencePiece .model) are those of the classes of
`transformers` 5, which differ from the original programs in corners (WhitespaceSplit for T5, XLNet and ALBERT): a model that
enters or leaves reads the same ids on both sides.
"""
import base64
import json

from data.vocabularies import classes, pipelines, sentencepiece_model

SETTINGS = ('tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'config.json')
VOCABULARIES = ('tokenizer.json', 'vocab.txt', 'vocab.json', 'merges.txt')  # and *.model
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def load(files):
    """(pipeline, settings): a dict in the form of tokenizer.json, and {file name: dict} of SETTINGS, 'class' what that implies.

    files: {name: bytes}, of SETTINGS, VOCABULARIES and at most one .model. The first of tokenizer.json, .model, vocab.txt,
    vocab.json counts. pipelines.FilesError says what is wrong.
    """
    settings = {name: _json(name, files[name]) if name in files else {} for name in SETTINGS}
    kind, models = classes.of(settings), sorted(name for name in files if name.endswith('.model'))
    if 'tokenizer.json' in files:
        found = _checked(_json('tokenizer.json', files['tokenizer.json']))
        classes.overrule(found, classes.rebuilt(settings), settings['tokenizer_config.json'])
    elif models:
        found = _sentencepiece(files[models[0]], models[0], kind, settings['tokenizer_config.json'])
    elif 'vocab.txt' in files:
        found = _wordpiece(files['vocab.txt'], kind, settings['tokenizer_config.json'])
    else:
        found = _byte_level(files, kind, settings['tokenizer_config.json'])
    return _with_added(found, settings), {**settings, 'class': classes.DEFAULTS.get(kind, {})}


def _json(name, data):
    try:
        value = json.loads(data.decode())
    except ValueError as error:
        raise pipelines.FilesError(f'{name}: expected JSON, got {error}') from None
    if not isinstance(value, dict):
        raise pipelines.FilesError(f'{name}: expected a JSON object, got {type(value).__name__}')
    return value


def _checked(pipeline):
    """A tokenizer.json as written by any version: with the type of its model, and with all keys that are read here."""
    model = pipeline.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('vocab'), (dict, list)):
        raise pipelines.FilesError('tokenizer.json: expected a model with a vocab, got none')
    kind = model.get('type') or ('Unigram' if isinstance(model['vocab'], list) else 'BPE' if 'merges' in model else 'WordPiece')
    if kind not in ('Unigram', 'BPE', 'WordPiece', 'WordLevel') or model.get('end_of_word_suffix'):
        raise pipelines.FilesError(f'tokenizer.json: expected a model of type Unigram, BPE, WordPiece or WordLevel, got {kind}'
                         + ' with end_of_word_suffix' * bool(model.get('end_of_word_suffix')))
    return pipelines.form({**model, 'type': kind}, pipeline.get('normalizer'), pipeline.get('pre_tokenizer'), pipeline.get('decoder'),
                     [dict(token) for token in pipeline.get('added_tokens') or ()])


def _wordpiece(data, kind, config):
    classes.known('vocab.txt', kind, classes.WORDPIECE)
    vocab = {line.rstrip(): i for i, line in enumerate(_text('vocab.txt', data).removesuffix('\n').split('\n'))}
    unk = _content(config.get('unk_token')) or '[UNK]'
    if unk not in vocab:
        raise pipelines.FilesError(f'vocab.txt: expected a line {unk}, the token of unknown words, got none')
    model = {'type': 'WordPiece', 'unk_token': unk, 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100,
             'vocab': vocab}
    return pipelines.form(model, classes.bert_normalizer(config), {'type': 'BertPreTokenizer'},
                {'type': 'WordPiece', 'prefix': '##', 'cleanup': True})


def _byte_level(files, kind, config):
    for name in ('vocab.json', 'merges.txt'):
        if name not in files:
            raise pipelines.FilesError('expected tokenizer.json, a SentencePiece .model, vocab.txt, or vocab.json with merges.txt, '
                             f'got no {name}')
    classes.known('vocab.json', kind, classes.BYTE_LEVEL)
    lines = _text('merges.txt', files['merges.txt']).split('\n')
    merges = [line.split(' ') for line in lines if line.strip() and not line.startswith('#version')]
    if odd := [merge for merge in merges if len(merge) != 2]:
        raise pipelines.FilesError(f'merges.txt: expected two pieces a line, got {" ".join(odd[0])[:80]!r}')
    model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': '', 'end_of_word_suffix': '',
             'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, 'vocab': _json('vocab.json', files['vocab.json']),
             'merges': merges}
    steps = {'type': 'ByteLevel', 'add_prefix_space': bool(config.get('add_prefix_space')), 'trim_offsets': True,
             'use_regex': kind != 'Qwen2'}
    if kind == 'Qwen2':
        split = {'type': 'Split', 'pattern': {'Regex': QWEN2}, 'behavior': 'Isolated', 'invert': False}
        steps = {'type': 'Sequence', 'pretokenizers': [split, steps]}
    return pipelines.form(model, {'type': 'NFC'} if kind == 'Qwen2' else None, steps, {'type': 'ByteLevel'})


def _sentencepiece(data, name, kind, config):
    classes.known(name, kind, classes.SENTENCEPIECE)
    try:
        found = sentencepiece_model.read(data)
    except ValueError as error:
        raise pipelines.FilesError(f'{name}: expected a SentencePiece model, got {len(data)} bytes that are none ({error})') from None
    wanted = sentencepiece_model.BPE if kind == 'Llama' else sentencepiece_model.UNIGRAM
    if found.kind != wanted:
        raise pipelines.FilesError(f'{name}: expected a model of type {("unigram", "bpe")[wanted - 1]}, as {kind} has, got another')
    kinds = {sentencepiece_model.CONTROL: True, sentencepiece_model.USER_DEFINED: False}
    added = [pipelines.added_token(i, text, kinds[what]) for i, (text, _, what) in enumerate(found.pieces) if what in kinds]
    vocab = [[text, score] for text, score, _ in found.pieces]
    charsmap = base64.b64encode(found.charsmap).decode() if found.charsmap else None
    normalizer, pre_tokenizer = classes.text_steps(kind, config, charsmap)
    if kind == 'Llama':
        vocab = {text: i for i, (text, _) in enumerate(vocab)}
        model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
                 'fuse_unk': True, 'byte_fallback': True, 'ignore_merges': False, 'vocab': vocab, 'merges': pipelines.merges(vocab)}
        return pipelines.form(model, normalizer, pre_tokenizer, None, added)
    if kind == 'T5':
        names = [f'<extra_id_{j}>' for j in reversed(range(config.get('extra_ids', 100)))]
        added += [pipelines.added_token(len(vocab) + i, text, True) for i, text in enumerate(names)]
        vocab += [[text, 0.0] for text in names]
    unk = {'T5': 2, 'Albert': 1}.get(kind, found.unk_id)
    return pipelines.form({'type': 'Unigram', 'unk_id': unk, 'vocab': vocab, 'byte_fallback': False}, normalizer, pre_tokenizer, None,
                          added)


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


def _content(token):
    """The text of a token in a settings file: a string or an object with `content`."""
    return token.get('content') if isinstance(token, dict) else token


def _text(name, data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise pipelines.FilesError(f'{name}: expected UTF-8, got {error}') from None
