"""Ranges and choices of settings, as an annotation states them: `Annotated[type, range in words or tuple of choices, meaning]`."""
from collections.abc import Iterable
import difflib
from typing import Annotated, Any, get_origin

RANGES = {
    'at least 1': lambda v: v >= 1,
    'at least 0': lambda v: v >= 0,
    'more than 0': lambda v: v > 0,
    '0 to 1': lambda v: 0 <= v <= 1,
    '0.1 to 50': lambda v: 0.1 <= v <= 50,
    'at least 0 and below 1': lambda v: 0 <= v < 1,
    'more than 0 and below 1': lambda v: 0 < v < 1,
    'more than 0 and at most 0.5': lambda v: 0 < v <= 0.5,
    'more than 0 and at most 1': lambda v: 0 < v <= 1,
    '0 to 4294967295': lambda v: 0 <= v < 2**32,
}


def stated(kind: Any) -> tuple[str | tuple | None, str]:
    """(range in words, choices or None; meaning) that an annotation states."""
    *rule, meaning = kind.__metadata__ if get_origin(kind) is Annotated else ('',)
    return rule[0] if rule else None, meaning


def outside(kind: Any, value: Any) -> str | None:
    """What is wrong with a value of the right type by itself, as a sentence; None if nothing is."""
    rule, _ = stated(kind)
    if value is None or rule is None or (RANGES[rule](value) if isinstance(rule, str) else value in rule):
        return None
    return f'expected {rule}.' if isinstance(rule, str) else f'expected {", ".join(map(str, rule[:-1]))} or {rule[-1]}.{near(value, rule)}'


def near(value: Any, names: Iterable) -> str:
    """' Did you mean NAME?', or '' when no name is like the value."""
    found = difflib.get_close_matches(str(value).lower(), map(str, names), 1)
    return f' Did you mean {found[0]}?' if found else ''
