"""No name of an objective is special: a copy of permuted LM, data and loss, under another name does all that permuted LM does."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Everything that asks an objective, in one process; prints {name: what came out}.
CODE = r'''
import contextlib, io, json, os, pathlib, re, sys
from train import convert, generate, inspect, main
from train.settings import errors, parse

def outputs(command, *argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command.main(list(argv))
    return [code, out.getvalue(), err.getvalue()]

def all_of(name):
    flags = ['--config=configs/tiny.py:permuted_lm', f'--config.objective.name={name}', '--config.objective.memory_length=48',
             f'--config.data.cache={sys.argv[1]}/cache']
    run, found = f'{sys.argv[1]}/{name}', {}
    try:
        parse.parse([*flags, '--config.model.positions=learned', '--config.model.types=2'], devices=False)
    except errors.Error as error:
        found['problems'] = str(error)
    found['inspected'] = outputs(inspect, *flags, '--num_examples=3')
    found['record'] = outputs(inspect, *flags, '--num_examples=2', '--json')
    trained = outputs(main, *flags, f'--workdir={run}', '--config.steps=3', '--config.log_every=1', '--config.eval_batches=1')
    found['trained'] = [trained[0], re.findall('state sha256 .*', ''.join(trained[1:]))]
    found['samples'] = pathlib.Path(run, 'samples.jsonl').read_text()
    lines = map(json.loads, pathlib.Path(run, 'metrics.jsonl').read_text().splitlines())
    found['metrics'] = [{key: value for key, value in line.items() if key not in ('seconds', 'tokens_per_second')} for line in lines]
    found['filled'] = outputs(generate, f'--workdir={run}', '--prompt=Call me <mask>.')
    found['exported'] = outputs(convert, 'export', f'--workdir={run}', f'--hf={run}/hf')[0]
    found['folder'] = {path.name: path.read_bytes().hex() for path in sorted(pathlib.Path(run, 'hf').iterdir())
                       if path.suffix in ('.json', '.safetensors')}
    return found

print(json.dumps({name: all_of(name) for name in ('permuted_lm', 'renamed_lm')}))
'''


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp('renamed')
    for package in ('configs', 'data', 'model', 'train'):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns('__pycache__'))
    for package in ('data', 'train'):
        shutil.copy(folder / package / 'objectives' / 'permuted_lm.py', folder / package / 'objectives' / 'renamed_lm.py')
    environment = {**os.environ, 'PYTHONPATH': str(folder)}
    result = subprocess.run([sys.executable, '-c', CODE, str(folder)], cwd=folder, env=environment, capture_output=True, text=True,
                            timeout=900)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_it_does_all_that_the_original_does(found):
    one, other = found['permuted_lm'], json.loads(json.dumps(found['renamed_lm']).replace('renamed_lm', 'permuted_lm'))
    assert one['trained'][0] == one['inspected'][0] == one['filled'][0] == one['exported'] == 0, one
    assert one['problems'].count('absolute') == 2 and 'tells 3 types apart' in one['problems']
    assert one['trained'][1] and 'query stream' in one['inspected'][1] and 'model.safetensors' in one['folder']
    for what in one:
        assert one[what] == other[what], what
