"""Converts values of config.json to values of our settings and back: by a table, an offset, or a named function.

`transformers` 5 writes rotary settings as `rope_parameters`, older versions as `rope_theta` and `rope_scaling`; both are read, and
the older form is written, because all versions read it.
"""
import typing

from model import config as model_config

LLAMA3 = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')


def ours(how, value, given):
    """The value of our setting for a value of config.json. ValueError with what was expected."""
    if how is None:
        return value
    if isinstance(how, dict):
        if not isinstance(value, str) or value not in how:
            raise ValueError(' or '.join(map(repr, how)))
        return how[value]
    if value is None and isinstance(how, int):
        raise ValueError('a number')
    return value + how if isinstance(how, int) else CONVERSIONS[how][0](value, given)


def theirs(how, value, config):
    """The value of config.json for one of our settings; not for tables, where several settings may follow from one key."""
    if how is None or value is None and isinstance(how, int):
        return value
    return value - how if isinstance(how, int) else CONVERSIONS[how][1](value, config)


def checked(setting, value):
    """The value, if its type is that of the setting. ValueError with what was expected."""
    kinds = typing.get_type_hints(model_config.Config)[setting]
    kinds = typing.get_args(kinds) or (kinds,)
    if value is None and type(None) in kinds:
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if int in kinds and not (whole and value >= (setting not in ('types', 'position_offset'))):
        raise ValueError('a whole number above 0')
    if float in kinds and not (whole or isinstance(value, float)):
        raise ValueError('a number')
    if bool in kinds and not isinstance(value, bool):
        raise ValueError('true or false')
    return value


def older(raw):
    """config.json with `rope_parameters` as `rope_theta` and `rope_scaling`; where both are, `transformers` reads `rope_scaling`."""
    raw = dict(raw)
    newer, rope = raw.pop('rope_parameters', None), raw.get('rope_scaling')
    rope = rope or newer or {}
    if isinstance(rope, dict):
        raw.update({key: value for key, value in rope.items() if key == 'rope_theta'})
        rope = {key: value for key, value in rope.items() if key != 'rope_theta'}
        rope = None if rope.get('rope_type', rope.get('type', 'default')) == 'default' else rope
    raw['rope_scaling'] = rope
    return raw


def llama3(scaling, given):
    """Llama 3's scaling of the rotary frequencies as a tuple; other kinds of scaling are errors."""
    if scaling is None:
        return None
    if not isinstance(scaling, dict) or scaling.get('rope_type', scaling.get('type')) != 'llama3' or not set(LLAMA3) <= set(scaling):
        raise ValueError(f'none, or rope_type llama3 with {", ".join(LLAMA3)}')
    return tuple(scaling[key] for key in LLAMA3)


def from_llama3(scaling, config):
    return None if scaling is None else {'rope_type': 'llama3', **dict(zip(LLAMA3, scaling))}


def t5_tied(value, given):
    """`transformers` 5 writes tie_word_embeddings = true for every T5; an untied one has scale_decoder_outputs = false."""
    return value and given.get('scale_decoder_outputs', True)


def t5_scale(value, given):
    return given['d_model'] ** -0.5 if t5_tied(value, given) else None


def bart_scale(value, given):
    return given['d_model'] ** 0.5 if value else None


def after_padding(rows, given):
    """The number of positions of RoBERTa, whose table has them after the row of padding."""
    return rows and rows - (given['pad_token_id'] or 0) - 1


# {name: (their value, all of config.json -> ours; our value, Config -> theirs)}
CONVERSIONS = {
    'llama3': (llama3, from_llama3),
    't5_tied': (t5_tied, lambda tied, config: tied),
    't5_scale': (t5_scale, lambda scale, config: config.tied),
    'after_padding': (after_padding, lambda length, config: length and length + config.position_offset),
    'bart_scale': (bart_scale, lambda scale, config: scale is not None),
}
