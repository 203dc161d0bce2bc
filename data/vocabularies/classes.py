"""What the tokenizer classes of `transformers` 5 mean: which files they have, and the steps that they give a text.

A class that is not here is refused: its ids would be wrong in silence.
"""
from data.vocabularies import pipelines

# Whose files are of which kind; None: of a folder that does not say. By model_type where there is no tokenizer_class.
WORDPIECE = (None, 'Bert', 'DistilBert', 'Electra', 'MobileBert', 'ConvBert', 'SqueezeBert', 'LayoutLM', 'Lxmert')
BYTE_LEVEL = (None, 'GPT2', 'Roberta', 'Bart', 'Longformer', 'LED', 'CodeGen', 'Qwen2')
SENTENCEPIECE = ('T5', 'Albert', 'XLNet', 'Llama')
CLASSES = {name.lower(): name for name in (*WORDPIECE, *BYTE_LEVEL, *SENTENCEPIECE) if name} | {'mt5': 'T5', 'MT5': 'T5'}
# What tokens a class means when its files do not say.
GPT2 = dict.fromkeys(('eos_token', 'bos_token', 'unk_token'), '<|endoftext|>')
DEFAULTS = {'GPT2': GPT2, 'CodeGen': GPT2, 'Qwen2': dict.fromkeys(('eos_token', 'pad_token', 'unk_token'), '<|endoftext|>')}
GENERIC = ('PreTrained', 'PreTrainedTokenizerFast', 'TokenizersBackend')


def of(settings):
    """'Bert' of BertTokenizerFast; None where no file says it."""
    name = settings['tokenizer_config.json'].get('tokenizer_class') or settings['config.json'].get('tokenizer_class')
    if isinstance(name, str) and name not in GENERIC:
        name = name.removesuffix('Fast').removesuffix('Tokenizer')
        return CLASSES.get(name, name)
    return CLASSES.get(settings['config.json'].get('model_type'))


def rebuilt(settings):
    """The class that `transformers` gives its own steps, whatever a tokenizer.json says; None where the file's steps count."""
    name = settings['tokenizer_config.json'].get('tokenizer_class') or settings['config.json'].get('tokenizer_class')
    kind = of(settings)
    return None if name in GENERIC or not name and kind == 'Llama' else kind


def known(name, kind, kinds):
    if kind not in kinds:
        raise pipelines.FilesError(f'{name}: expected the tokenizer of one of {", ".join(filter(None, kinds))}, got '
                         f'{kind or "no tokenizer_class"}; load it with transformers, call save_pretrained and use the '
                         'tokenizer.json that it writes')


def overrule(pipeline, kind, config):
    """What tokenizer_config.json and the class say beside a tokenizer.json counts, as in `transformers`, defaults too."""
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


def bert_normalizer(config):
    return {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': config.get('tokenize_chinese_chars', True),
            'strip_accents': config.get('strip_accents'), 'lowercase': config.get('do_lower_case', True)}


def text_steps(kind, config, charsmap):
    """(normalizer, pre-tokenizer) of one of SENTENCEPIECE; charsmap: base64 or None."""
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
