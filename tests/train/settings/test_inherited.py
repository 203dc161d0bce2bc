"""A damaged config.json in the folder of init.from, or in the workdir, is one message and no traceback."""
import pytest

from train.settings import parse

GROUPS = 'expected JSON in its config.json, got no groups of settings.'
OBJECT = 'expected JSON in its config.json, got no JSON object.'
DAMAGED = {
    '': 'expected JSON in its config.json, got Expecting value: line 1 column 1 (char 0).',
    '{': 'expected JSON in its config.json, got Expecting property name enclosed in double quotes: line 1 column 2 (char 1).',
    '[]': OBJECT, '[1]': OBJECT, '3': OBJECT, 'null': OBJECT,
    '[' * 100_000: 'expected JSON in its config.json, got nesting too deep.',
    '{"model": 3}': GROUPS, '{"model": [1]}': GROUPS,
    '{"objective": "none"}': GROUPS,
    '{"model": {"dim": "wide"}}': "model.dim = 'wide'   expected an integer.   (taken from run)",
    '{"model": {"positions": "spiral"}}': "model.positions = 'spiral'   expected learned, ",
    '{"model": {}, "objective": {"name": "none"}}': "objective.name = 'none'   expected alternation, "}


@pytest.mark.parametrize('text', DAMAGED)
def test_in_the_folder_of_init_from(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ('run/checkpoints', 'run/tokenizer'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'run/config.json').write_text(text)
    with pytest.raises(parse.Error) as error:
        parse.parse(['--config=configs/continue.py', '--config.init.from=run', '--workdir=/nowhere'], devices=False)
    assert DAMAGED[text] in str(error.value)


@pytest.mark.parametrize('text', DAMAGED)
def test_in_the_workdir_it_is_left_to_who_opens_it(text, tmp_path):
    (tmp_path / 'config.json').write_text(text)
    request = parse.parse(['--config=configs/tiny.py:masked_lm', f'--workdir={tmp_path}', '--config.sample.top_k=3'], devices=False)
    assert request.config.model.architecture == 'encoder' and len(request.notices) == 1
