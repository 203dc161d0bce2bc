"""The tokenizer classes of `transformers` 5: which files they have, and the steps that they apply to a text.

Another class is an error, because its ids would be wrong without notice.
"""
from data import errors
from data.vocabularies import pipelines

# Classes by the kind of their files; None: a folder that names no class. By model_type where there is no tokenizer_class.
WORDPIECE = (None, 'Bert', 'DistilBert', 'Electra', 'MobileBert', 'ConvBert', 'SqueezeBert', 'LayoutLM', 'Lxmert')
BYTE_LEVEL = (None, 'GPT2', 'Roberta', 'Bart', 'Longformer', 'LED', 'CodeGen', 'Qwen2')
SENTENCEPIECE = ('T5', 'Albert', 'XLNet', 'Llama')
CLASSES = {name.lower(): name for name in (*WORDPIECE, *BYTE_LEVEL, *SENTENCEPIECE) if name} | {'mt5': 'T5', 'MT5': 'T5'}
# Special tokens of a class whose files do not name them.
GPT2 = dict.fromkeys(('eos_token', 'bos_token', 'unk_token'), '<|endoftext|>')
DEFAULTS = {'GPT2': GPT2, 'CodeGen': GPT2, 'Qwen2': dict.fromkeys(('eos_token', 'pad_token', 'unk_token'), '<|endoftext|>')}
GENERIC = ('PreTrained', 'PreTrainedTokenizerFast', 'TokenizersBackend')


def of(settings: dict[str, dict]) -> str | None:
    """'Bert' of BertTokenizerFast; None where no file names it."""
    name = _name(settings)
    if isinstance(name, str) and name not in GENERIC:
        name = name.removesuffix('Fast').removesuffix('Tokenizer')
        return CLASSES.get(name, name)
    return CLASSES.get(settings['config.json'].get('model_type'))


def rebuilt(settings: dict[str, dict]) -> str | None:
    """The class whose own steps `transformers` applies, whatever tokenizer.json contains; None where the file's steps count."""
    name, kind = _name(settings), of(settings)
    return None if name in GENERIC or not name and kind == 'Llama' else kind


def _name(settings):
    return settings['tokenizer_config.json'].get('tokenizer_class') or settings['config.json'].get('tokenizer_class')


def known(name: str, kind: str | None, kinds: tuple) -> None:
    """DataError unless the class of file `name` is one of `kinds`."""
    if kind not in kinds:
        raise errors.DataError(f'{name}: expected the tokenizer of one of {", ".join(filter(None, kinds))}, got '
                               f'{kind or "no tokenizer_class"}; load it with transformers, call save_pretrained and use the '
                               'tokenizer.json that it writes')


def overrule(pipeline: dict, kind: str | None, config: dict) -> None:
    """Changes the steps of a tokenizer.json to those of the class and tokenizer_config.json, defaults included, as `transformers` does."""
    if kind is None:
        return
    steps = [step for key in ('normalizer', 'pre_tokenizer') for step in pipelines.parts(pipeline[key])]
    types, unigram = {step['type'] for step in steps}, pipeline['model']['type'] == 'Unigram'
    if kind in SENTENCEPIECE and unigram == (kind != 'Llama') and 'ByteLevel' not in types:
        charsmap = next((step['precompiled_charsmap'] for step in steps if step['type'] == 'Precompiled'), None)
        pipeline['normalizer'], pipeline['pre_tokenizer'] = text_steps(kind, config, charsmap)
    for step in steps:
        if kind in WORDPIECE and step['type'] == 'BertNormalizer':
            step.update(bert_normalizer(config))
        if kind in BYTE_LEVEL and step['type'] == 'ByteLevel':
            step['add_prefix_space'] = bool(config.get('add_prefix_space'))


def bert_normalizer(config: dict) -> dict:
    """BERT's normalizer with the options of tokenizer_config.json."""
    return {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': config.get('tokenize_chinese_chars', True),
            'strip_accents': config.get('strip_accents'), 'lowercase': config.get('do_lower_case', True)}


def text_steps(kind: str, config: dict, charsmap: str | None) -> tuple[dict | None, dict]:
    """(normalizer, pre-tokenizer) of one of SENTENCEPIECE; charsmap: base64."""
    if kind == 'Llama':
        scheme = 'never' if config.get('add_prefix_space') is False else 'always' if config.get('legacy') else 'first'
        return None, {**pipelines.metaspace(scheme), 'split': False}
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
            {'type': 'Sequence', 'pretokenizers': [{'type': 'WhitespaceSplit'}, pipelines.metaspace('always')]})
