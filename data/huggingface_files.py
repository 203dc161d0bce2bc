"""A Hugging Face folder's tokenizer files as one pipeline: what its tokenizer.json says or would say.

The pipelines of the older files (vocab.txt; vocab.json and merges.txt; a SentencePiece .model) are those of the classes of
`transformers` 5, which differ from the original programs in corners (WhitespaceSplit for T5, XLNet and ALBERT): a model that
enters or leaves reads the same ids on both sides. A class that is not here is refused: its ids would be wrong in silence.
"""
import base64
import json

from data import sentencepiece_model

SETTINGS = ('tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'config.json')
VOCABULARIES = ('tokenizer.json', 'vocab.txt', 'vocab.json', 'merges.txt')  # and *.model
SPACE = '\u2581'
# Whose files are of which kind; None: of a folder that does not say. By model_type where there is no tokenizer_class.
WORDPIECE = (None, 'Bert', 'DistilBert', 'Electra', 'MobileBert', 'ConvBert', 'SqueezeBert', 'LayoutLM', 'Lxmert')
BYTE_LEVEL = (None, 'GPT2', 'Roberta', 'Bart', 'Longformer', 'LED', 'CodeGen', 'Qwen2')
SENTENCEPIECE = ('T5', 'Albert', 'XLNet', 'Llama')
CLASSES = {name.lower(): name for name in (*WORDPIECE, *BYTE_LEVEL, *SENTENCEPIECE) if name} | {'mt5': 'T5', 'MT5': 'T5'}
# What tokens a class means when its files do not say.
GPT2 = dict.fromkeys(('eos_token', 'bos_token', 'unk_token'), '<|endoftext|>')
DEFAULTS = {'GPT2': GPT2, 'CodeGen': GPT2, 'Qwen2': dict.fromkeys(('eos_token', 'pad_token', 'unk_token'), '<|endoftext|>')}
GENERIC = ('PreTrained', 'PreTrainedTokenizerFast', 'TokenizersBackend')
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class FilesError(ValueError):
    """`str(error)` says what is wrong with a folder's files, without its name."""


def load(files):
    """(pipeline, settings): a dict in the form of tokenizer.json, and {file name: dict} of SETTINGS, 'class' what that implies.

    files: {name: bytes}, of SETTINGS, VOCABULARIES and at most one .model. The first of tokenizer.json, .model, vocab.txt,
    vocab.json counts. FilesError says what is wrong.
    """
    settings = {name: _json(name, files[name]) if name in files else {} for name in SETTINGS}
    kind, models = _class(settings), sorted(name for name in files if name.endswith('.model'))
    if 'tokenizer.json' in files:
        found = _checked(_json('tokenizer.json', files['tokenizer.json']))
        _overrule(found, _rebuilt(settings), settings['tokenizer_config.json'])
    elif models:
        found = _sentencepiece(files[models[0]], models[0], kind, settings['tokenizer_config.json'])
    elif 'vocab.txt' in files:
        found = _wordpiece(files['vocab.txt'], kind, settings['tokenizer_config.json'])
    else:
        found = _byte_level(files, kind, settings['tokenizer_config.json'])
    return _with_added(found, settings), {**settings, 'class': DEFAULTS.get(kind, {})}


def spellings(pipeline):
    """{id: spelling} of a pipeline, added tokens included."""
    vocab = pipeline['model']['vocab']
    found = dict(enumerate(piece for piece, _ in vocab)) if isinstance(vocab, list) else {i: piece for piece, i in vocab.items()}
    return {**found, **{token['id']: token['content'] for token in pipeline['added_tokens']}}


def parts(step):
    """Every step of a normalizer, pre-tokenizer or decoder, which may be None, one step or a sequence."""
    if not step:
        return []
    inner = next((step[key] for key in ('normalizers', 'pretokenizers', 'decoders') if key in step), None)
    return [step] if inner is None else [part for one in inner for part in parts(one)]


def form(model, normalizer=None, pre_tokenizer=None, decoder=None, added=()):
    """A tokenizer.json without what pads, cuts or adds special tokens."""
    return {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': list(added), 'normalizer': normalizer,
            'pre_tokenizer': pre_tokenizer, 'post_processor': None, 'decoder': decoder, 'model': model}


def added_token(i, content, special):
    """An entry of added_tokens."""
    return {'id': i, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False,
            'special': special}


def _json(name, data):
    try:
        value = json.loads(data.decode())
    except ValueError as error:
        raise FilesError(f'{name}: expected JSON, got {error}') from None
    if not isinstance(value, dict):
        raise FilesError(f'{name}: expected a JSON object, got {type(value).__name__}')
    return value


def _class(settings):
    """'Bert' of BertTokenizerFast; None where no file says it."""
    name = settings['tokenizer_config.json'].get('tokenizer_class') or settings['config.json'].get('tokenizer_class')
    if isinstance(name, str) and name not in GENERIC:
        name = name.removesuffix('Fast').removesuffix('Tokenizer')
        return CLASSES.get(name, name)
    return CLASSES.get(settings['config.json'].get('model_type'))


def _rebuilt(settings):
    """The class that `transformers` gives its own steps, whatever a tokenizer.json says; None where the file's steps count."""
    name = settings['tokenizer_config.json'].get('tokenizer_class') or settings['config.json'].get('tokenizer_class')
    kind = _class(settings)
    return None if name in GENERIC or not name and kind == 'Llama' else kind


def _known(name, kind, kinds):
    if kind not in kinds:
        raise FilesError(f'{name}: expected the tokenizer of one of {", ".join(filter(None, kinds))}, got '
                         f'{kind or "no tokenizer_class"}; load it with transformers, call save_pretrained and use the '
                         'tokenizer.json that it writes')


def _checked(pipeline):
    """A tokenizer.json as written by any version: with the type of its model, and with all keys that are read here."""
    model = pipeline.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('vocab'), (dict, list)):
        raise FilesError('tokenizer.json: expected a model with a vocab, got none')
    kind = model.get('type') or ('Unigram' if isinstance(model['vocab'], list) else 'BPE' if 'merges' in model else 'WordPiece')
    if kind not in ('Unigram', 'BPE', 'WordPiece', 'WordLevel') or model.get('end_of_word_suffix'):
        raise FilesError(f'tokenizer.json: expected a model of type Unigram, BPE, WordPiece or WordLevel, got {kind}'
                         + ' with end_of_word_suffix' * bool(model.get('end_of_word_suffix')))
    return form({**model, 'type': kind}, pipeline.get('normalizer'), pipeline.get('pre_tokenizer'), pipeline.get('decoder'),
                     [dict(token) for token in pipeline.get('added_tokens') or ()])


def _overrule(pipeline, kind, config):
    """What tokenizer_config.json and the class say beside a tokenizer.json counts, as in `transformers`, defaults too."""
    if kind is None:
        return
    steps = [step for key in ('normalizer', 'pre_tokenizer') for step in parts(pipeline[key])]
    types, unigram = {step['type'] for step in steps}, pipeline['model']['type'] == 'Unigram'
    if kind in SENTENCEPIECE and unigram == (kind != 'Llama') and 'ByteLevel' not in types:
        charsmap = next((step['precompiled_charsmap'] for step in steps if step['type'] == 'Precompiled'), None)
        pipeline['normalizer'], pipeline['pre_tokenizer'] = _steps(kind, config, charsmap)
    for step in steps:
        if kind in WORDPIECE and step['type'] == 'BertNormalizer':
            step.update(_bert_normalizer(config))
        if kind in BYTE_LEVEL and step['type'] == 'ByteLevel':
            step['add_prefix_space'] = bool(config.get('add_prefix_space'))


def _bert_normalizer(config):
    return {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': config.get('tokenize_chinese_chars', True),
            'strip_accents': config.get('strip_accents'), 'lowercase': config.get('do_lower_case', True)}


def _wordpiece(data, kind, config):
    _known('vocab.txt', kind, WORDPIECE)
    vocab = {line.rstrip(): i for i, line in enumerate(_text('vocab.txt', data).removesuffix('\n').split('\n'))}
    unk = _content(config.get('unk_token')) or '[UNK]'
    if unk not in vocab:
        raise FilesError(f'vocab.txt: expected a line {unk}, the token of unknown words, got none')
    model = {'type': 'WordPiece', 'unk_token': unk, 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100,
             'vocab': vocab}
    return form(model, _bert_normalizer(config), {'type': 'BertPreTokenizer'},
                {'type': 'WordPiece', 'prefix': '##', 'cleanup': True})


def _byte_level(files, kind, config):
    for name in ('vocab.json', 'merges.txt'):
        if name not in files:
            raise FilesError('expected tokenizer.json, a SentencePiece .model, vocab.txt, or vocab.json with merges.txt, '
                             f'got no {name}')
    _known('vocab.json', kind, BYTE_LEVEL)
    lines = _text('merges.txt', files['merges.txt']).split('\n')
    merges = [line.split(' ') for line in lines if line.strip() and not line.startswith('#version')]
    if odd := [merge for merge in merges if len(merge) != 2]:
        raise FilesError(f'merges.txt: expected two pieces a line, got {" ".join(odd[0])[:80]!r}')
    model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': '', 'end_of_word_suffix': '',
             'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, 'vocab': _json('vocab.json', files['vocab.json']),
             'merges': merges}
    steps = {'type': 'ByteLevel', 'add_prefix_space': bool(config.get('add_prefix_space')), 'trim_offsets': True,
             'use_regex': kind != 'Qwen2'}
    if kind == 'Qwen2':
        split = {'type': 'Split', 'pattern': {'Regex': QWEN2}, 'behavior': 'Isolated', 'invert': False}
        steps = {'type': 'Sequence', 'pretokenizers': [split, steps]}
    return form(model, {'type': 'NFC'} if kind == 'Qwen2' else None, steps, {'type': 'ByteLevel'})


def _sentencepiece(data, name, kind, config):
    _known(name, kind, SENTENCEPIECE)
    try:
        found = sentencepiece_model.read(data)
    except ValueError as error:
        raise FilesError(f'{name}: expected a SentencePiece model, got {len(data)} bytes that are none ({error})') from None
    wanted = sentencepiece_model.BPE if kind == 'Llama' else sentencepiece_model.UNIGRAM
    if found.kind != wanted:
        raise FilesError(f'{name}: expected a model of type {("unigram", "bpe")[wanted - 1]}, as {kind} has, got another')
    kinds = {sentencepiece_model.CONTROL: True, sentencepiece_model.USER_DEFINED: False}
    added = [added_token(i, text, kinds[what]) for i, (text, _, what) in enumerate(found.pieces) if what in kinds]
    vocab = [[text, score] for text, score, _ in found.pieces]
    charsmap = base64.b64encode(found.charsmap).decode() if found.charsmap else None
    normalizer, pre_tokenizer = _steps(kind, config, charsmap)
    if kind == 'Llama':
        vocab = {text: i for i, (text, _) in enumerate(vocab)}
        model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
                 'fuse_unk': True, 'byte_fallback': True, 'ignore_merges': False, 'vocab': vocab, 'merges': merges(vocab)}
        return form(model, normalizer, pre_tokenizer, None, added)
    if kind == 'T5':
        names = [f'<extra_id_{j}>' for j in reversed(range(config.get('extra_ids', 100)))]
        added += [added_token(len(vocab) + i, text, True) for i, text in enumerate(names)]
        vocab += [[text, 0.0] for text in names]
    unk = {'T5': 2, 'Albert': 1}.get(kind, found.unk_id)
    return form({'type': 'Unigram', 'unk_id': unk, 'vocab': vocab, 'byte_fallback': False}, normalizer, pre_tokenizer, None, added)


def _steps(kind, config, charsmap):
    """(normalizer, pre-tokenizer) of one of SENTENCEPIECE; charsmap: base64 or None."""
    if kind == 'Llama':
        scheme = 'never' if config.get('add_prefix_space') is False else 'always' if config.get('legacy') else 'first'
        return None, {**_metaspace(scheme), 'split': False}
    normalizers = []
    if kind != 'T5':
        normalizers = [{'type': 'Replace', 'pattern': {'String': quotes}, 'content': '"'} for quotes in ('``', "''")]
        if kind == 'XLNet' or not config.get('keep_accents', False):
            normalizers += [{'type': 'NFKD'}, {'type': 'StripAccents'}]
        if config.get('do_lower_case', kind == 'Albert'):
            normalizers.append({'type': 'Lowercase'})
    if charsmap:
        normalizers.append({'type': 'Precompiled', 'precompiled_charsmap': charsmap})
    return ({'type': 'Sequence', 'normalizers': normalizers},
            {'type': 'Sequence', 'pretokenizers': [{'type': 'WhitespaceSplit'}, _metaspace('always')]})


def merges(vocab):
    """[[left, right]] that make the pieces {piece: id} of a SentencePiece BPE, in the order of their ids."""
    found = []
    for piece, i in vocab.items():
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]
        found += [(i, len(left), left, right) for left, right in splits]
    return [[left, right] for _, _, left, right in sorted(found)]


def _metaspace(scheme):
    return {'type': 'Metaspace', 'replacement': SPACE, 'prepend_scheme': scheme, 'split': True}


def _with_added(pipeline, settings):
    """The pipeline with the tokens that only tokenizer_config.json or added_tokens.json has."""
    there = spellings(pipeline)
    listed = {int(i): token for i, token in settings['tokenizer_config.json'].get('added_tokens_decoder', {}).items()}
    listed |= {i: text for text, i in settings['added_tokens.json'].items() if i not in listed}
    for i, token in sorted(listed.items()):
        if i not in there:
            token = token if isinstance(token, dict) else {'content': token, 'special': True}
            pipeline['added_tokens'].append({**added_token(i, token['content'], True), **token, 'id': i})
    return pipeline


def _content(token):
    """The text of a token in a settings file: a string or an object with `content`."""
    return token.get('content') if isinstance(token, dict) else token


def _text(name, data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FilesError(f'{name}: expected UTF-8, got {error}') from None
