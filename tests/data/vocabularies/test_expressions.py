"""Regular expressions of strangers: published ones are known, others are tried in a process that is ended when they explode."""
import json

import pytest

from data import errors, tokenizer
from data.vocabularies import expressions, trial
from tests.data.vocabularies.test_huggingface_tokenizers import lay

EXPLODING = ('(a+)+$', '(a|aa)+$', r'(\s*\s*)*x', '(.*a){25}', '(é|é?)+!!', '((ab)*c?)*d', '(?:a{1000}){1000}', r'(?=(a+))\1*b',
             r"[^\W\d_]+(?='s)|.")
LIMITS = ' characters in 2 s and 2 GiB, got the regular expression '


def stranger(folder, pattern, step='pre_tokenizer'):
    """A folder with a byte-level tokenizer.json that cuts, or replaces, at a regular expression."""
    lay('gpt2_json', folder)
    pipeline = json.loads((folder / 'tokenizer.json').read_text(encoding='utf-8'))
    if step == 'normalizer':
        pipeline[step] = {'type': 'Replace', 'pattern': {'Regex': pattern}, 'content': 'x'}
    else:
        cut = {'type': 'Split', 'pattern': {'Regex': pattern}, 'behavior': 'Isolated', 'invert': False}
        pipeline[step] = {'type': 'Sequence', 'pretokenizers': [cut, pipeline[step]]}
    (folder / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    return folder


@pytest.mark.parametrize('pattern', EXPLODING)
@pytest.mark.parametrize('step', ['pre_tokenizer', 'normalizer'])
def test_one_that_explodes_is_refused(pattern, step, tmp_path):
    with pytest.raises(errors.DataError) as caught:
        tokenizer.load(stranger(tmp_path, pattern, step))
    assert str(caught.value) == f'{tmp_path}: expected steps that read runs of 30,000{LIMITS}{pattern!r}; use a tokenizer without'


@pytest.mark.parametrize('pattern', [r'\p{L}+|\d{2}', 'ab|cd?', r'[^\W\d_]+|.'])
def test_another_that_does_not_is_loaded(pattern, tmp_path):
    assert tokenizer.load(stranger(tmp_path, pattern)).vocab_size == 1000


def test_one_that_is_none_is_told_as_the_package_does(tmp_path):
    with pytest.raises(errors.DataError, match='expected a tokenizer that the package tokenizers runs, got '):
        tokenizer.load(stranger(tmp_path, '(a'))


@pytest.mark.parametrize('count, length, loads', [(40, 2, False), (1, 40, True)])
def test_replacing_that_makes_a_text_much_longer_is_tried_too(count, length, loads, tmp_path):
    lay('gpt2_json', tmp_path)
    pipeline = json.loads((tmp_path / 'tokenizer.json').read_text(encoding='utf-8'))
    step = {'type': 'Replace', 'pattern': {'String': 'a'}, 'content': 'a' * length}
    pipeline['normalizer'] = {'type': 'Sequence', 'normalizers': [step] * count}
    (tmp_path / 'tokenizer.json').write_text(json.dumps(pipeline), encoding='utf-8')
    if loads:
        assert not tokenizer.load(tmp_path).lossless
        return
    with pytest.raises(errors.DataError, match='got steps that replace; use a tokenizer without'):
        tokenizer.load(tmp_path)


def test_the_published_ones_pass_the_trial_and_start_no_process(tmp_path, monkeypatch):
    def cuts(patterns):
        steps = [{'type': 'Split', 'pattern': {'Regex': pattern}, 'behavior': 'Isolated', 'invert': False} for pattern in patterns]
        return {'type': 'Sequence', 'pretokenizers': steps}

    for pattern in expressions.PUBLISHED - {r'\s+$'}:  # its time grows with the square of a run of spaces
        expressions._try(json.dumps({'normalizer': None, 'pre_tokenizer': cuts([pattern])}), (pattern,))
    before = cuts(expressions.PUBLISHED)
    tried = []
    monkeypatch.setattr(expressions, '_try', lambda steps, patterns: tried.append(patterns))
    expressions.check({'normalizer': None, 'pre_tokenizer': before})
    assert tried == []
    before['pretokenizers'][0]['pattern'] = {'Regex': '(a|b)+c'}
    expressions.check({'normalizer': None, 'pre_tokenizer': before})
    assert len(tried) == 1


def test_the_texts_end_so_that_a_match_breaks():
    found = trial.texts(['(foo|fo+o)+$'])
    assert {'foo' * 166 + 'b', 'f' * 500 + '!', ' ' * 500, ')' * 500 + '\1(foo|fo+o)+$'} <= set(found)
