"""JSON that can be walked, and a ValueError for any other text."""
import json

import pytest

from data import json_text


@pytest.mark.parametrize('text', ['{}', '[1, {"a": [null, "曹操"]}]', '"text"', '1.5', '[' * 200 + ']' * 200])
def test_a_value(text):
    assert json_text.value(text) == json.loads(text)


@pytest.mark.parametrize('levels', [202, 900, 1500, 200_000])
@pytest.mark.parametrize('begin, end', [('[', ']'), ('{"a":', '}'), ('[{"a":', '}]'), ('[1,[],', ']')])
def test_too_deep(levels, begin, end):
    with pytest.raises(ValueError, match='nesting too deep'):
        json_text.value(begin * levels + '1' + end * levels)


@pytest.mark.parametrize('text', ['', '{', '{"a"', 'nul', '[1,]'])
def test_no_json(text):
    with pytest.raises(json.JSONDecodeError):
        json_text.value(text)
