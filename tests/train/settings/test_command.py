"""Flags that name a file or a folder: what cannot be there is refused with exit code 2, before anything is made."""
import os
import pathlib

import pytest

from train import convert, evaluate, generate, main, report

WORKDIR = str(pathlib.Path(__file__).resolve().parents[2] / 'fixtures/workdirs/causal_lm')
COMMANDS = [
    (main, '--config=configs/tiny.py --workdir=PLACE'), (evaluate, '--workdir=PLACE'), (generate, '--workdir=PLACE'),
    (convert, 'import --hf=PLACE --out=new'), (convert, 'import --hf=. --out=PLACE'), (convert, 'export --workdir=PLACE --hf=new'),
    (convert, f'export --workdir={WORKDIR} --hf=PLACE'), (report, 'PLACE'), (report, f'{WORKDIR} --out=PLACE'),
    (main, '--config=configs/continue.py --workdir=new --config.init.from=PLACE')]


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
