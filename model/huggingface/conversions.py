"""Converts values of config.json to values of our settings and back: by a table, an offset, or a named function.

`transformers` 5 writes rotary settings as `rope_parameters`, older versions as `rope_theta` and `rope_scaling`; both are read, and
the older form is written, because all versions read it.
"""
import typing
from typing import Any

from model import config as model_config

LLAMA3 = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')


def from_json(how: Any, value: Any, given: dict) -> Any:
    """The value of our setting for a value of config.json, all of which is `given`. ValueError with what was expected.

    how: None, or the second entry of a row of `families.Family.settings`.
    """
    if isinstance(how, dict):
        if not isinstance(value, str) or value not in how:
            raise ValueError(' or '.join(map(repr, how)))
        return how[value]
    if isinstance(how, int):
        if value is None:
            raise ValueError('a number')
        return value + how
    return value if how is None else CONVERSIONS[how][0](value, given)


def to_json(how: Any, value: Any, config: model_config.Config) -> Any:
    """The value of config.json for one of our settings; not for tables, where several settings may follow from one key."""
    if isinstance(how, int):
        return None if value is None else value - how
    return value if how is None else CONVERSIONS[how][1](value, config)


def checked(setting: str, value: Any) -> Any:
    """The value, if its type is that of the setting. ValueError with what was expected."""
    kinds = typing.get_type_hints(model_config.Config)[setting]
    kinds = typing.get_args(kinds) or (kinds,)
    if value is None and type(None) in kinds:
        return value
    integer = isinstance(value, int) and not isinstance(value, bool)
    if int in kinds and not (integer and value >= (setting not in ('types', 'position_offset'))):
        raise ValueError('a whole number above 0')
    if float in kinds and not (integer or isinstance(value, float)):
        raise ValueError('a number')
    if bool in kinds and not isinstance(value, bool):
        raise ValueError('true or false')
    return value


def older(raw: dict) -> dict:
    """config.json with `rope_parameters` as `rope_theta` and `rope_scaling`; where both are, `transformers` reads `rope_scaling`."""
    rope = raw.get('rope_scaling') or raw.get('rope_parameters') or {}
    base = {}
    if isinstance(rope, dict):
        base = {key: value for key, value in rope.items() if key == 'rope_theta'}
        rope = {key: value for key, value in rope.items() if key != 'rope_theta'}
        rope = None if rope.get('rope_type', rope.get('type', 'default')) == 'default' else rope
    return {**{key: value for key, value in raw.items() if key != 'rope_parameters'}, **base, 'rope_scaling': rope}


def llama3(scaling, given):
    """Llama 3's scaling of the rotary frequencies as a tuple; other kinds of scaling are errors."""
    if scaling is None:
        return None
    if not isinstance(scaling, dict) or scaling.get('rope_type', scaling.get('type')) != 'llama3' or not set(LLAMA3) <= set(scaling):
        raise ValueError(f'none, or rope_type llama3 with {", ".join(LLAMA3)}')
    return tuple(scaling[key] for key in LLAMA3)


def t5_tied(value, given):
    """`transformers` 5 writes tie_word_embeddings = true for every T5; an untied one has scale_decoder_outputs = false."""
    return value and given.get('scale_decoder_outputs', True)


# {name: (function of a key's value and all of config.json -> the value of our setting, function of that value and our Config -> the key's)}
CONVERSIONS = {
    'llama3': (llama3, lambda scaling, config: scaling and {'rope_type': 'llama3', **dict(zip(LLAMA3, scaling))}),
    't5_tied': (t5_tied, lambda tied, config: tied),
    't5_scale': (lambda value, given: given['d_model'] ** -0.5 if t5_tied(value, given) else None, lambda scale, config: config.tied),
    'bart_scale': (lambda value, given: given['d_model'] ** 0.5 if value else None, lambda scale, config: scale is not None),
    # RoBERTa's table of positions begins after the row of padding.
    'after_padding': (lambda rows, given: rows and rows - (given['pad_token_id'] or 0) - 1,
                      lambda length, config: length and length + config.position_offset),
}
