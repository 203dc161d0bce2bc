"""Which ids of a foreign vocabulary are pad, eos, mask, cls, sep, bos and sentinels, when nothing may be appended to it.

What the files say counts, then how the field spells such tokens. A role that the vocabulary lacks is taken by the nearest
one (GPT-2's <|endoftext|> is everything, BERT's [SEP] ends a text too); a mask and sentinels have no stand-in and may be
absent: objectives that need them say so.
"""
import re

from data import special_tokens

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


def find(spellings, marked, settings):
    """vocabulary.Special of a vocabulary; None if nothing in it ends a text.

    spellings: {id: spelling}. marked: ids of added tokens that are special. settings: {file name: dict}
    (data/vocabularies/folders.py).
    """
    ids = {text: i for i, text in spellings.items()}
    found = {role: _role(role, ids, settings) for role in SPELLINGS}
    sentinels = _sentinels(ids, max(ids.values()))
    model = settings.get('config.json', {})
    started = _valid(model.get('decoder_start_token_id'), spellings)
    eos = _first(found['eos'], found['sep'])
    if eos is None:
        return None
    pad = _first(found['pad'], eos)
    t5 = sentinels and found['cls'] is None  # whose decoder reads pad first
    bos = _first(started, found['bos'], pad if t5 else None, found['cls'], eos)
    single = {'pad': pad, 'eos': eos, 'mask': _first(found['mask'], -1), 'bos': bos,
              'cls': _first(found['cls'], found['bos'], eos), 'sep': _first(found['sep'], eos)}
    size = max(spellings) + 1
    kept = {*single.values(), *(range(sentinels[1], sentinels[0] + 1) if sentinels else ())}
    unused = (i for i, text in spellings.items() if UNUSED.match(text))
    others = {*marked, *unused, found['unk'], found['bos']} - kept - {None}
    return special_tokens.Special(**single, sentinels=sentinels or (size - 1, size), vocab_size=size, others=tuple(sorted(others)))


def _role(role, ids, settings):
    """What the settings say, first by spelling, then by id; else what is spelt like one."""
    for name in ('tokenizer_config.json', 'special_tokens_map.json', 'class'):
        token = settings.get(name, {}).get(f'{role}_token')
        text = token.get('content') if isinstance(token, dict) else token
        if text in ids:
            return ids[text]
    given = _valid(settings.get('config.json', {}).get(f'{role}_token_id'), ids.values())
    return given if given is not None else next((ids[text] for text in SPELLINGS[role] if text in ids), None)


def _valid(value, ids):
    """An id of config.json, the first of a list (Llama 3 has several ends); None when there is no such id."""
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) and value in ids else None


def _sentinels(ids, last):
    """(first, last) of sentinels whose ids descend from the first, or None."""
    for spelling in SENTINELS:
        first, count = ids.get(spelling.format(0)), 1
        if first is None or ids.get(spelling.format(1)) != first - 1:
            continue
        while ids.get(spelling.format(count)) == first - count:
            count += 1
        return first, first - count + 1
    return None


def _first(*values):
    return next((value for value in values if value is not None), None)
