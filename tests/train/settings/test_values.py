"""Values by type: texts of flags, Python values, JSON and back."""
import json
from typing import Any, Optional, Tuple

import numpy as np
import pytest

from data import ranges
from train.settings import schema, values

INTS = Optional[Tuple[Optional[int], ...]]
PAIRS = Tuple[Tuple[str, float], ...]
RULES = Tuple[Tuple[str, Any], ...]
STRINGS = Tuple[str, ...]
SCALING = Optional[Tuple[float, float, float, int]]


@pytest.mark.parametrize('kind, text, value', [
    (int, '3', 3), (int, '-3', -3), (int, '1_000', 1000), (int, '1e6', 10**6), (int, '2.0', 2),
    (Optional[int], 'None', None),
    (Optional[int], 'null', None), (float, '1e-3', 1e-3), (float, '3', 3.0), (float, ' .5 ', 0.5),
    (Optional[float], 'none', None),
    (bool, 'true', True), (bool, 'False', False), (bool, '1', True), (bool, 'off', False),
    (str, 'a b', 'a b'), (str, '"None"', 'None'), (str, '3', '3'), (str, '', ''), (Optional[str], 'None', None),
    (Optional[str], "'None'", 'None'),
    (INTS, '64,None', (64, None)), (INTS, '(64, None)', (64, None)), (INTS, '[64, null]', (64, None)),
    (INTS, 'None', None), (INTS, '8', (8,)),
    (STRINGS, 'a,b', ('a', 'b')), (STRINGS, "['a, b', 'c']", ('a, b', 'c')), (STRINGS, '[a, b]', ('a', 'b')),
    (STRINGS, '', ()),
    (STRINGS, r'bias$, \d+', ('bias$', r'\d+')), (STRINGS, '[a-z]+$', ('[a-z]+$',)),
    (STRINGS, '"Hello, you"', ('Hello, you',)), (STRINGS, '3', ('3',)),
    (PAIRS, "[('embed', 1), ('head', .5)]", (('embed', 1.0), ('head', 0.5))), (PAIRS, '()', ()),
    (SCALING, '8,1, 4,8192', (8.0, 1.0, 4.0, 8192)), (SCALING, '(8, 1, 4, 8192)', (8.0, 1.0, 4.0, 8192)), (SCALING, 'None', None),
    (RULES, "[('kernel$', ('fsdp', None, ['data', 'tensor']))]", (('kernel$', ('fsdp', None, ('data', 'tensor'))),)),
])
def test_texts(kind, text, value):
    result = values.read(kind, text)
    assert result == value and type(result) is type(value)
    assert values.convert(kind, json.loads(json.dumps(values.to_json(result)))) == value
    hash(result)


@pytest.mark.parametrize('kind, text', [
    (int, 'many'), (int, '1.5'), (int, ''), (int, 'None'), (int, 'true'), (int, '1e400'), (float, 'fast'),
    (float, 'nan'), (float, 'inf'),
    (float, ''), (bool, 'maybe'), (bool, ''), (INTS, 'a,b'), (INTS, '1.5'), (PAIRS, 'embed'),
    (PAIRS, "[('embed', 'x')]"), (PAIRS, "[('a', 1, 2)]"),
    (SCALING, '8,1,4'), (SCALING, '8,1,4,8192.5'), (SCALING, '8,1,4,8192,2'), (SCALING, '8'),
    (RULES, '__import__("os")'), (PAIRS, '(' * 500)])
def test_wrong_texts(kind, text):
    with pytest.raises(ValueError, match='expected'):
        values.read(kind, text)


@pytest.mark.parametrize('kind, value, result', [
    (int, 3.0, 3), (int, np.int64(3), 3), (float, 3, 3.0), (float, np.float32(0.5), 0.5), (bool, np.bool_(True), True),
    (STRINGS, ['a'], ('a',)),
    (PAIRS, [['a', 1]], (('a', 1.0),)), (INTS, None, None), (Optional[str], None, None)])
def test_python_values(kind, value, result):
    converted = values.convert(kind, value)
    assert converted == result and type(converted) is type(result)


@pytest.mark.parametrize('kind, value', [
    (int, True), (int, 2.5), (int, '3'), (int, None), (float, True), (float, '3'), (float, float('nan')), (bool, 1),
    (str, None), (str, 3),
    (STRINGS, 'a'), (STRINGS, {'a': 1}), (PAIRS, {'a': 1}), (RULES, [['a', object()]])])
def test_wrong_python_values(kind, value):
    with pytest.raises(ValueError, match='expected'):
        values.convert(kind, value)


@pytest.mark.parametrize('kind, text', [
    (int, 'an integer'), (Optional[float], 'a number or None'), (STRINGS, 'a list of strings'),
    (PAIRS, 'a list of (string, number) pairs'), (SCALING, 'a (number, number, number, integer) tuple or None'),
    (Tuple[Tuple[str, float, float], ...], 'a list of (string, number, number) triples'),
    (RULES, 'a list of (string, value) pairs'), (INTS, 'a list of integers or None, or None')])
def test_types_in_words(kind, text):
    assert values.describe(kind) == text


@pytest.mark.parametrize('key, good, bad', [
    ('steps', (1, 10**9), (0, -1)), ('seed', (0, 2**32 - 1), (-1, 2**32)),
    ('ema', (0.5, 0.9999), (0.0, 1.0, -1.0, 2.0)),
    ('model.dropout', (0.0, 0.9), (1.0, -0.1)), ('optimizer.b1', (0.0, 0.999), (1.0, -0.1)),
    ('optimizer.learning_rate', (1e-9, 3.0), (0.0, -1.0)),
    ('optimizer.final', (0.0, 1.0), (1.1, -0.1)), ('sample.top_p', (1e-3, 1.0), (0.0, 1.01)),
    ('eval_every', (0, 5), (-1,)),
    ('data.eval_fraction', (0.0, 0.5), (1.0, -0.1)), ('epochs', (0.1, 7.0), (0.0,)),
    ('model.logit_scale', (0.1,), (0.0,)),
    ('dtype', schema.DTYPES, ('float16', '')), ('tensorboard', (True, False), ())])
def test_ranges_and_choices(key, good, bad):
    for value in good:
        assert ranges.outside(schema.kinds()[key], value) is None
    for value in bad:
        assert ranges.outside(schema.kinds()[key], value).startswith('expected ')
