"""Converts values of config.json to values of our settings and back: by a table, an offset, or a named function.

`transformers` 5 writes rotary settings as `rope_parameters`, older versions as `rope_theta` and `rope_scaling`; both are read, and
the older form is written, because all versions read it.
"""
import typing
from typing import Any

from model import config as model_config

LLAMA3 = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')
ROTARY = {'rope_type', 'type', *LLAMA3}       # keys inside `rope_scaling`
FLOATS = {'more than 0': lambda v: v > 0, 'at least 1': lambda v: v >= 1, 'at least 0 and below 1': lambda v: 0 <= v < 1,
          'more than 0 and below 1': lambda v: 0 < v < 1}  # the ranges of settings that are no whole numbers


def from_json(how: Any, value: Any, given: dict) -> Any:
    """The value of our setting for a value of config.json, all of which is `given`. ValueError with what was expected.

    how: None, or the second entry of a row of `families.Family.settings`.
    """
    if isinstance(how, dict):
        if not isinstance(value, str) or value not in how:
            raise ValueError(' or '.join(map(repr, how)))
        return how[value]
    if isinstance(how, int):
        if not isinstance(value, int) or not number(value):
            raise ValueError('a number')
        return value + how
    return value if how is None else CONVERSIONS[how][0](value, given)


def to_json(how: Any, value: Any, config: model_config.Config) -> Any:
    """The value of config.json for one of our settings; not for tables, where several settings may follow from one key."""
    if isinstance(how, int):
        return None if value is None else value - how
    return value if how is None else CONVERSIONS[how][1](value, config)


def checked(setting: str, value: Any) -> Any:
    """The value, if its type and range are those of the setting. ValueError with what was expected."""
    annotated = typing.get_type_hints(model_config.Config, include_extras=True)[setting]
    kind, rule, *_ = typing.get_args(annotated)
    kinds = typing.get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return value
    least = 0 if rule == 'at least 0' else 1
    if int in kinds and not (isinstance(value, int) and number(value) and least <= value < 2 ** 31):
        raise ValueError(f'a whole number above {least - 1} and below 2**31')
    if float in kinds:
        if not (number(value) and FLOATS[rule](value)):
            raise ValueError(f'a number {rule}')
        return float(value)                    # JAX takes no integer above 2**63
    return boolean(value) if bool in kinds else value


def number(value: Any) -> bool:
    """Whether a value of config.json is a number, finite and of a size that numbers of settings have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def older(raw: dict) -> dict:
    """config.json with `rope_parameters` as `rope_theta` and `rope_scaling`; where both are, `transformers` reads `rope_scaling`."""
    rope = raw.get('rope_scaling') or raw.get('rope_parameters') or {}
    base = {}
    if isinstance(rope, dict):
        base = {key: value for key, value in rope.items() if key == 'rope_theta'}
        rope = {key: value for key, value in rope.items() if key != 'rope_theta'}
        rope = None if rope.get('rope_type', rope.get('type', 'default')) == 'default' and rope.keys() <= ROTARY else rope
    return {**{key: value for key, value in raw.items() if key != 'rope_parameters'}, **base, 'rope_scaling': rope}


def full_attention(layers, given):
    """No windows; `layer_types` names the attention of each layer, and None is full attention."""
    wanted = ['full_attention'] * len(layers) if isinstance(layers, list) else None
    if layers != wanted or wanted is not None and len(layers) != given.get('num_hidden_layers'):
        raise ValueError("'full_attention' for each layer")


def llama3(scaling, given):
    """Llama 3's scaling of the rotary frequencies as a tuple; other kinds of scaling are errors."""
    if scaling is None:
        return None
    if not isinstance(scaling, dict) or scaling.get('rope_type', scaling.get('type')) != 'llama3' or not (
            set(LLAMA3) <= scaling.keys() <= ROTARY and all(number(scaling[key]) and scaling[key] > 0 for key in LLAMA3)
            and scaling['factor'] >= 1 and int(scaling[LLAMA3[-1]]) == scaling[LLAMA3[-1]] < 2 ** 31):
        raise ValueError(f'none, or rope_type llama3 with {", ".join(LLAMA3)}: factor at least 1, the last one whole')
    return *(float(scaling[key]) for key in LLAMA3[:-1]), int(scaling[LLAMA3[-1]])


def t5_tied(value, given):
    """`transformers` 5 writes tie_word_embeddings = true for every T5; an untied one has scale_decoder_outputs = false."""
    return boolean(value) and given['scale_decoder_outputs'] is not False


def t5_scale(value, given):
    """States are scaled by 1 / sqrt(D) unless config.json says no; files before `transformers` 5 say so by tie_word_embeddings."""
    scaled = given['tie_word_embeddings'] is not False if value is None else boolean(value)
    return root(given.get('d_model'), -0.5) if scaled else None


def bart_scale(value, given):
    """Token embeddings are scaled by sqrt(D) where config.json says so."""
    return root(given.get('d_model'), 0.5) if boolean(value) else None


def boolean(value):
    if not isinstance(value, bool):
        raise ValueError('true or false')
    return value


def root(width, power):
    """The width to a power of a half, None if it is no width: another message says so."""
    return width ** power if number(width) and width > 0 else None


def after_padding(rows, given):
    """RoBERTa's table of positions begins after the row of padding."""
    pad = given['pad_token_id']
    return rows - pad - 1 if isinstance(rows, int) and isinstance(pad, int) else rows


# {name: (function of a key's value and all of config.json -> the value of our setting, function of that value and our Config -> the key's)}
CONVERSIONS = {
    'full_attention': (full_attention, lambda windows, config: ['full_attention'] * config.layers),
    'llama3': (llama3, lambda scaling, config: scaling and {'rope_type': 'llama3', **dict(zip(LLAMA3, scaling))}),
    't5_tied': (t5_tied, lambda tied, config: tied and config.logit_scale is not None),
    't5_scale': (t5_scale, lambda scale, config: config.tied and scale is not None),
    'bart_scale': (bart_scale, lambda scale, config: scale is not None),
    'after_padding': (after_padding, lambda length, config: length and length + config.position_offset),
}
