"""Which ids of a published vocabulary are pad, eos, mask, cls, sep, bos and sentinels, when nothing may be appended to it.

The files' settings come first, then the usual spellings of such tokens. A role that the vocabulary lacks is taken by the nearest one
(GPT-2's <|endoftext|> is everything, BERT's [SEP] also ends a text). A mask and sentinels have no substitute: objectives that need them
report an error.
"""
import re

from data import errors, special_tokens

SPELLINGS = {
    'pad': ('<pad>', '[PAD]', '<|pad|>'),
    'eos': ('</s>', '<eos>', '[EOS]', '<|endoftext|>', '<|end_of_text|>', '<|eot_id|>', '<|im_end|>'),
    'mask': ('<mask>', '[MASK]', '<|mask|>'),
    'cls': ('[CLS]', '<cls>'),
    'sep': ('[SEP]', '<sep>'),
    'bos': ('<s>', '<bos>', '[BOS]', '<|begin_of_text|>', '<|startoftext|>'),
    'unk': ('<unk>', '[UNK]', '<|unk|>'),
}
SENTINELS = ('<extra_id_{}>', '\u2581<extra_id_{}>', '<extra_{}>')  # T5's, mT5's, ours
UNUSED = re.compile(r'(\[unused\d+\]|<unused\d+>|<\|reserved_special_token_\d+\|>)\Z')


def find(spellings: dict[int, str], marked: list[int], settings: dict[str, dict]) -> special_tokens.Special | None:
    """Special of a vocabulary; None if no token ends a text, DataError if the mask has another role too. spellings: {id: spelling}.
    marked: ids of added tokens that are special. settings: {file name: dict}, see data/vocabularies/folders.py."""
    ids = {text: i for i, text in spellings.items()}
    found = {role: _role(role, ids, settings) for role in SPELLINGS}
    if role := next((role for role in found if role != 'mask' and found[role] == found['mask'] is not None), None):
        raise errors.DataError(f'expected a token for the mask alone, got {spellings[found["mask"]]!r} as mask and as {role}; '
                               f'set {role}_token or mask_token in tokenizer_config.json')
    marks = sentinels(ids)
    started = _valid(settings.get('config.json', {}).get('decoder_start_token_id'), spellings)
    eos = _first(found['eos'], found['sep'])
    if eos is None:
        return None
    pad = _first(found['pad'], eos)
    t5 = marks and found['cls'] is None  # whose decoder reads pad first
    bos = _first(started, found['bos'], pad if t5 else None, found['cls'], eos)
    single = {'pad': pad, 'eos': eos, 'mask': _first(found['mask'], -1), 'bos': bos, 'cls': _first(found['cls'], found['bos'], eos),
              'sep': _first(found['sep'], eos)}
    size = max(spellings) + 1
    kept = {*single.values(), *(range(marks[1], marks[0] + 1) if marks else ())}
    unused = (i for i, text in spellings.items() if UNUSED.match(text))
    others = {*marked, *unused, found['unk'], found['bos']} - kept - {None}
    return special_tokens.Special(**single, sentinels=marks or (size - 1, size), vocab_size=size, others=tuple(sorted(others)))


def sentinels(ids: dict[str, int]) -> tuple[int, int] | None:
    """(first, last) of the sentinels of {spelling: id}, at least two, whose ids descend; None without any."""
    for spelling in SENTINELS:
        first, count = ids.get(spelling.format(0)), 1
        while first is not None and ids.get(spelling.format(count)) == first - count:
            count += 1
        if count > 1:
            return first, first - count + 1
    return None


def content(token: str | dict | None) -> str | None:
    """The text of a token in a settings file, where it is a string or an object."""
    return token.get('content') if isinstance(token, dict) else token


def _role(role, ids, settings):
    """What the settings name, first by spelling, then by id; else a token with one of the usual SPELLINGS."""
    for name in ('tokenizer_config.json', 'special_tokens_map.json', 'class'):
        if (text := content(settings.get(name, {}).get(f'{role}_token'))) in ids:
            return ids[text]
    named = _valid(settings.get('config.json', {}).get(f'{role}_token_id'), ids.values())
    return _first(named, *(ids[text] for text in SPELLINGS[role] if text in ids))


def _valid(value, ids):
    """An id of config.json, the first of a list (Llama 3 has several ends); None when there is no such id."""
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) and value in ids else None


def _first(*values):
    return next((value for value in values if value is not None), None)
