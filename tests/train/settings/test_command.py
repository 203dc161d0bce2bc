"""Flags that name a file or a folder: what cannot be there is refused with exit code 2, before anything is made."""
import os
import pathlib

import pytest

from data import tokenizer
from train import convert, evaluate, generate, inspect, main, report

WORKDIR = str(pathlib.Path(__file__).resolve().parents[2] / 'fixtures/workdirs/causal_lm')
COMMANDS = [
    (main, '--config=configs/tiny.py --workdir=PLACE'), (evaluate, '--workdir=PLACE'), (generate, '--workdir=PLACE'),
    (convert, 'import --hf=PLACE --out=new'), (convert, 'import --hf=. --out=PLACE'), (convert, 'export --workdir=PLACE --hf=new'),
    (convert, f'export --workdir={WORKDIR} --hf=PLACE'), (report, 'PLACE'), (report, f'{WORKDIR} --out=PLACE'),
    (main, '--config=configs/continue.py --workdir=new --config.init.from=PLACE'),
    (tokenizer, 'train --input=bundled:sotu --kind=bytes --out=PLACE')]


def refused(command, flags, capsys):
    """What a command that ends with exit code 2 says."""
    try:
        code = command.main(flags)
    except SystemExit as error:               # argparse
        code = error.code
    assert code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize('place, message', [
    ('~nobody-here/w', 'expected the home folder of ~nobody-here, got none; write the path in full'),
    ('https://b/w', 'expected a path of this machine, gs://, s3://, az://, got https://; download it first'),
    ('az://b/w', 'expected the package adlfs, which opens az://, got none; pip install adlfs')])
@pytest.mark.parametrize('command, flags', COMMANDS)
def test_places(command, flags, place, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    error = refused(command, flags.replace('PLACE', place).split(), capsys)
    assert message in error and place in error and error.count(message) == 1 and 'missing' not in error
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('command, flags', [(inspect, '--config=configs/tiny.py --html='), (report, f'{WORKDIR} --out=')])
def test_a_file_to_write(command, flags, tmp_path, capsys):
    for name, text in ((tmp_path, 'is a folder; name a file in it.'), (tmp_path / 'a' / 'x.html', 'no such folder; make it first.')):
        error = refused(command, f'{flags}{name}'.split(), capsys)
        assert f"  1. {flags.split()[-1].rstrip('=')} = {name}   {text}\n" in error


def test_a_seed_past_32_bits(capsys):
    error = refused(generate, [f'--workdir={WORKDIR}', '--seed=99999999999999999999'], capsys)
    assert '  1. --seed = 99999999999999999999   expected 0 to 4294967295.\n' in error


@pytest.mark.parametrize('flags, code, message', [
    ('--kind=bytes --vocab_size=7', 2, 'tokenizer: --vocab_size = 7: nothing reads it: --kind=bytes trains nothing\n'),
    ('--kind=bytes --sample_bytes=7', 2, 'tokenizer: --sample_bytes = 7: nothing reads it: --kind=bytes trains nothing\n'),
    ('--sentinels=-3', 3, 'data: sentinels: expected 0 to 16777216, got -3\n'),
    ('--kind=bytes --sentinels=99999999999', 3, 'data: sentinels: expected 0 to 16777216, got 99999999999\n'),
    ('--vocab_size=99999999999', 3, 'data: tokenizer.vocab_size: expected 0 to 16777216, got 99999999999\n'),
    ('--kind=wordpiece --vocab_size=99999999999', 3, 'data: tokenizer.vocab_size: expected 0 to 16777216, got 99999999999\n'),
    ('--sample_bytes=-1', 3, 'data: tokenizer.sample_bytes: expected 0 to 4611686018427387904, got -1\n'),
    ('--kind=bytes --out=file', 3, 'data: file: expected a folder to write to, got File exists; set --out\n'),
    ('--kind=bpe --out=file/x', 3, 'data: file/x: expected a folder to write to, got Not a directory; set --out\n')])
def test_flags_of_the_tokenizer(flags, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    assert tokenizer.main(['train', '--input=bundled:sotu', '--out=new', *flags.split()]) == code
    assert capsys.readouterr().err == message
