"""Values by type: from the text of a flag, from a Python file or JSON, and back to JSON.

Types are the annotations of `train/settings/schema.py`: int, float, bool, str, `X | None`, tuple, Any, and `Annotated` (data/ranges.py).
A value that does not fit raises ValueError('expected ...'), to which the caller adds the name of the setting.
Lists are read with `ast.literal_eval`: no code is run.
"""
import ast
import dataclasses
import math
import types
from typing import Annotated, Any, get_args, get_origin, Union

from data import ranges
from train.settings import errors

NAMES = {int: ('an integer', 'integers'), float: ('a number', 'numbers'), bool: ('true or false', 'booleans'),
         str: ('a string', 'strings'), Any: ('a value', 'values')}
WORDS = {'true': True, 'false': False, 'yes': True, 'no': False, 'on': True, 'off': False, '1': True, '0': False}


@dataclasses.dataclass(frozen=True)
class Given:
    """A setting as it was given, before its type is known."""
    key: str
    value: Any                                # of a file; of a flag its text, None if it has none
    origin: str                               # 'set in configs/tiny.py'
    flag: bool = False                        # whether a flag set it
    taken: bool = False                       # whether it comes from the run of init.from

    def read(self, kind: Any) -> Any:
        """The value as `kind`; a flag without a value is True. ValueError(text, value) if it does not fit."""
        if self.flag and self.value is None and parts(kind)[0] is not bool:
            raise ValueError(f'has no value; expected {describe(kind)}, as --config.{self.key}=VALUE.')
        value = read(kind, 'true' if self.value is None else self.value) if self.flag else convert(kind, self.value)
        own = self.key.startswith('objective.') and not self.key.endswith('.name')  # an objective checks its own
        if not own and (text := ranges.outside(kind, value)):
            raise ValueError(text, value)
        return value

    def problem(self, text: str, value: Any = None) -> errors.Problem:
        """The problem with a text about the value, or about what `read` made of it."""
        if self.flag and self.value is None:
            return errors.Problem(f'--config.{self.key}', text)
        return errors.Problem(f'{self.key} = {errors.shown(self.value if value is None else value)}', text, self.origin)


def parts(kind: Any) -> tuple[Any, bool, tuple | None, bool]:
    """(the type without Annotated and None, may it be None, element types of a tuple or None, any number of elements?)."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    optional = get_origin(kind) in (Union, types.UnionType)
    if optional:
        kind, = (k for k in get_args(kind) if k is not types.NoneType)
    elements = get_args(kind) if get_origin(kind) is tuple else None
    many = bool(elements) and elements[-1] is Ellipsis
    return kind, optional, elements[:1] if many else elements, many


def describe(kind: Any, plural: bool = False) -> str:
    """What is expected, in words: 'an integer or None', 'a list of (string, number) pairs'."""
    kind, optional, elements, many = parts(kind)
    if elements and many:
        text = f'a list of {describe(elements[0], plural=True)}'
    elif elements:
        form = {2: 'pair', 3: 'triple'}.get(len(elements), 'tuple')
        text = f'({", ".join(describe(e).split(" ", 1)[-1] for e in elements)}) {form}'
        text = f'{text}s' if plural else f'a {text}'
    else:
        text = NAMES[kind][plural]
    return text + (', or None' if ' or ' in text else ' or None') * optional


def convert(kind: Any, value: Any) -> Any:
    """A Python value as `kind`: lists become tuples, floats without a fraction integers, numpy scalars numbers. Or ValueError."""
    base, optional, elements, many = parts(kind)
    if getattr(value, 'ndim', None) == 0:
        value = value.item()
    if value is None and optional:
        return None
    if base is Any:
        return freeze(value)
    if elements and isinstance(value, (list, tuple)):
        try:
            return tuple(convert(e, v) for e, v in zip(elements * len(value) if many else elements, value, strict=True))
        except ValueError:
            pass                               # the message below names the whole type, not the element's
    elif base is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    elif base is int and type(value) in (int, float) and value == value // 1:
        if abs(value) >= 2**63:
            raise ValueError('expected an integer below 2**63.')
        return int(value)
    elif base in (bool, str) and type(value) is base:
        return value
    raise ValueError(f'expected {describe(kind)}.')


def read(kind: Any, text: str) -> Any:
    """The text of a flag as `kind`. ValueError if it does not read as one."""
    base, optional, elements, many = parts(kind)
    text = text.strip()
    if optional and text.lower() in ('none', 'null'):
        return None
    if base is str:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' else text
    if not elements:
        return convert(kind, WORDS.get(text.lower(), text) if base is bool else literal(text))
    value = literal(text) if text[:1] in ('(', '[', '"', "'") else text
    if value is not text:
        return convert(kind, value if isinstance(value, (list, tuple)) else (value,))
    items = [item for item in (text[1:-1] if text[:1] + text[-1:] in ('()', '[]') else text).split(',') if item.strip()]
    try:
        return tuple(read(e, item) for e, item in zip(elements * len(items) if many else elements, items, strict=True))
    except ValueError:
        raise ValueError(f'expected {describe(kind)}.') from None


def literal(text: str) -> Any:
    """The Python literal that a text is, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def freeze(value: Any) -> Any:
    """A JSON-like value with tuples for lists, hashable. ValueError for anything else."""
    if isinstance(value, (list, tuple)):
        return tuple(freeze(v) for v in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError('expected numbers, strings, None and lists of them.')


def to_json(value: Any) -> Any:
    """Lists for tuples, so that json.dumps and json.loads give back an equal value through `convert`."""
    return [to_json(v) for v in value] if isinstance(value, (list, tuple)) else value
