"""Small published models with tokenizers, as folders: the stored cases of tests/fixtures/huggingface with another vocabulary.

Every tokenizer spells letters one by one: it knows all text and no words.
"""
import copy
import json
import string

from tests.helpers import huggingface_folder as folders

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
OLD = 99                                      # tokens of the stored cases
IDS = {                                       # what config.json says of special ids
    'gpt2': dict(bos_token_id=0, eos_token_id=0, pad_token_id=0),
    'bart': dict(bos_token_id=0, pad_token_id=1, eos_token_id=4, decoder_start_token_id=4, forced_eos_token_id=4),
    'xlnet': dict(bos_token_id=None, eos_token_id=1, pad_token_id=0),
}


def write(name, folder, size):
    """The folder of a stored case with `size` tokens, and with the files of a tokenizer where its family has one here."""
    case = resized(folders.read(name)[0], size)
    case['config'].update(IDS.get(name, {}))
    made = folders.write(case, folder)
    {'gpt2': byte_level, 'llama': byte_level, 'bert': wordpiece, 'electra': wordpiece, 'xlnet': sentinels, 't5': sentinels,
     'bart': masked_byte_level}[name.partition('_')[0]](made)
    return made


def resized(case, size):
    """A case whose tables have `size` rows."""
    case = copy.deepcopy(case)
    case['config']['vocab_size'] = size
    case['tensors'] = {name: [size if length == OLD else length for length in shape] for name, shape in case['tensors'].items()}
    return case


def byte_level(folder, special=('<|endoftext|>',)):
    """GPT-2's files without a merge: 256 bytes and the special tokens."""
    printable = [*range(ord('!'), ord('~') + 1), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]
    vocabulary = {text: i for i, text in enumerate([*special, *characters])}
    (folder / 'vocab.json').write_text(json.dumps(vocabulary))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    (folder / 'tokenizer_config.json').write_text(json.dumps({'tokenizer_class': 'GPT2Tokenizer', 'eos_token': special[-1]}))


def masked_byte_level(folder):
    """BART's."""
    byte_level(folder, ('<s>', '<pad>', '<unk>', '<mask>', '</s>'))
    names = {'bos': '<s>', 'cls': '<s>', 'eos': '</s>', 'sep': '</s>', 'pad': '<pad>', 'unk': '<unk>', 'mask': '<mask>'}
    said = {'tokenizer_class': 'BartTokenizer', **{f'{role}_token': text for role, text in names.items()}}
    (folder / 'tokenizer_config.json').write_text(json.dumps(said))


def wordpiece(folder):
    """BERT's."""
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *CHARACTERS, *(f'##{c}' for c in string.ascii_letters + string.digits)]
    (folder / 'vocab.txt').write_text('\n'.join(words) + '\n')
    (folder / 'tokenizer_config.json').write_text(json.dumps({'tokenizer_class': 'BertTokenizer', 'do_lower_case': False}))


def sentinels(folder, count=100):
    """T5's: pieces of one letter, and sentinels; beside them what XLNet needs."""
    special = ['<pad>', '</s>', '<unk>', '<mask>', '<cls>', '<sep>']
    pieces = [*special, '\u2581', *CHARACTERS, *(f'<extra_id_{i}>' for i in reversed(range(count)))]
    added = [{'id': i, 'content': text, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
             for i, text in enumerate(pieces) if text in special or text.startswith('<extra')]
    space = {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}
    model = {'type': 'Unigram', 'unk_id': 2, 'byte_fallback': False,
             'vocab': [[text, 0.0 if text in special else -2.0] for text in pieces]}
    (folder / 'tokenizer.json').write_text(json.dumps({
        'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': added, 'normalizer': None, 'pre_tokenizer': space,
        'post_processor': None, 'decoder': space, 'model': model}))
