"""What a run is told about the words of its text."""
import json

import pytest

from data import corpus, tokenizer
from data.text import cache
from train import inspect


def test_chinese_by_character_is_said():
    vocabulary = tokenizer.Bytes()
    said = []
    for text in ('话说天下大势，分久必合。' * 9, 'It was the best of times. ' * 99, '話' + 'a' * 300):
        tokens = cache.Tokens.from_arrays([vocabulary.encode(text)], vocabulary.special, tokenizer=vocabulary)
        said.append(corpus.words_of_chinese(tokens))
    assert said == ['whole words: each Chinese character (83% of the text) is one; with data.words=jieba the words of the package jieba '
                    'are, as in BERT-wwm', None, None]
    tokens.segment = list
    assert corpus.words_of_chinese(tokens) is None


@pytest.mark.parametrize('command', [tokenizer, inspect])
def test_a_name_with_terminal_escapes_is_shown_escaped(command, tmp_path, capsys):
    """Exit 3; the name of a file clears no screen."""
    text, flags = f'{tmp_path}/\x1b[2Jb.txt', ['--config=configs/tiny.py', f'--config.data.cache={tmp_path}/cache']
    flags = ['train', f'--input={text}', f'--out={tmp_path}/out'] if command == tokenizer else [*flags, f'--config.data.train={text}']
    assert command.main(flags) == 3
    shown = capsys.readouterr()
    assert shown.err.startswith('data: ') and r'\x1b[2Jb.txt: expected ' in shown.err and '\x1b' not in shown.out + shown.err


@pytest.mark.parametrize('content', ['[' * 100_000, '(a+)+$'])
def test_a_strangers_tokenizer_is_one_message(content, tmp_path, capsys):
    pipeline = {'model': {'type': 'BPE', 'vocab': {'</s>': 0}, 'merges': []}, 'pre_tokenizer': {
        'type': 'Split', 'pattern': {'Regex': content}, 'behavior': 'Isolated', 'invert': False}}
    (tmp_path / 'tokenizer.json').write_text(json.dumps(pipeline) if '+' in content else content)
    flags = ['--config=configs/tiny.py', f'--config.tokenizer.path={tmp_path}', f'--config.data.cache={tmp_path}/cache']
    assert inspect.main(flags) == 3
    said = capsys.readouterr().err
    assert said.startswith(f'data: {tmp_path}') and said.count('\n') == 1 and 'expected ' in said
