"""The command on a real run: the figures of the training's own evaluation, other text, another batch size, and messages."""
import json
import os
import shutil

import numpy as np
import pytest

from data import tokenizer
from train import convert, evaluate, generate, main
from train.checkpoints import workdir
from train.prediction import evaluation
from train.settings import parse


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Two steps of a causal LM; its last line holds what the loop measured."""
    folder = tmp_path_factory.mktemp('run')
    before = os.environ.copy()
    assert main.main(['--config=configs/tiny.py', f'--workdir={folder}/run', '--config.steps=2', '--config.mesh.data=8',
                      '--config.eval_batches=2', f'--config.data.cache={folder}/cache', '--config.sample.max_new_tokens=2']) == 0
    os.environ.clear()
    os.environ.update(before)
    return folder


def measured(run, capsys, *flags):
    assert evaluate.main([f'--workdir={run}/run', '--json', *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_is_the_evaluation_of_the_run(run, capsys):
    line = json.loads((run / 'run' / 'metrics.jsonl').read_text().splitlines()[-1])
    found = measured(run, capsys, '--batches=2')
    logged, again = ({name: value for name, value in one.items() if name.startswith('eval/')} for one in (line, found))
    assert logged == again
    assert (found['step'], found['examples']) == (2, 16)


def test_other_text_is_read_whole_whatever_the_batch_size(run, capsys, tmp_path):
    (tmp_path / 'text.txt').write_text('Call me Ishmael. ' * 60)
    eight, sixteen = (measured(run, capsys, f'--data={tmp_path}/text.txt', f'--batch_size={size}') for size in (8, 16))
    assert eight == pytest.approx(sixteen, rel=1e-6) and eight['examples'] == -(-1021 // 64)
    assert eight['eval/loss'] != measured(run, capsys, '--batches=2')['eval/loss']


def test_how_other_text_is_read(run, capsys, tmp_path):
    (tmp_path / 'text').write_text('Call me Ishmael.\n' * 60)
    (tmp_path / 'rows').write_text(''.join(json.dumps({'body': text}) + '\n' for text in ['Call me Ishmael.'] * 60))
    read = lambda *flags: measured(run, capsys, *flags)['examples']
    lines = read(f'--data={tmp_path}/text', '--format=text', '--documents=line')
    assert lines == read(f'--data={tmp_path}/rows', '--format=jsonl', '--field=body') != read(f'--data={tmp_path}/text', '--format=text')


def test_another_tokenizer_in_the_workdir_is_refused_by_every_command(run, capsys, tmp_path):
    shutil.copytree(run / 'run', tmp_path / 'run')
    shutil.rmtree(tmp_path / 'run' / 'tokenizer')
    tokenizer.Bytes(100).save(tmp_path / 'run' / 'tokenizer')
    there = f'--workdir={tmp_path}/run'
    for command, flags in ((evaluate, ['--batches=1']), (generate, []), (convert, [f'--hf={tmp_path}/hf'])):
        assert command.main([*['export'] * (command is convert), there, *flags]) == 3
        assert 'the tokenizer has changed since this run was started' in capsys.readouterr().err
    assert not (tmp_path / 'hf').exists()


def test_a_sample_of_one_unit_says_that_it_has_no_error(run, capsys, monkeypatch):
    drawn = evaluation.sample                 # eight devices need eight rows: as if they were one unit

    def one(*arguments):
        draw = drawn(*arguments)
        return draw._replace(units=np.minimum(draw.units, 0), strata=((1, 99),))

    monkeypatch.setattr(evaluation, 'sample', one)
    code, (out, err) = evaluate.main([f'--workdir={run}/run', '--batches=1', '--json']), capsys.readouterr()
    assert code == 0 and 'standard_errors' not in json.loads(out)
    assert 'the sample has one unit of several, from which no standard error can be estimated; raise --batches' in err


def test_a_text_that_was_changed_is_told(run, capsys, tmp_path):
    shutil.copytree(run / 'run', tmp_path / 'run')
    (tmp_path / 'text.txt').write_text('Call me Ishmael. ' * 6000)
    flags = ['--config=configs/tiny.py', f'--workdir={tmp_path}/own', '--config.steps=1', '--config.optimizer.warmup=0',
             f'--config.data.train={tmp_path}/text.txt', f'--config.data.cache={tmp_path}/cache', '--config.sample.max_new_tokens=2']
    before = os.environ.copy()
    assert main.main(flags) == 0
    os.environ.clear()
    os.environ.update(before)
    told = 'the text has changed since this run was started: its own evaluations were of another one\n'
    for text, expected in (('Call me Ishmael. ' * 6000, False), ('Call me Ahab. ' * 7000, True)):
        (tmp_path / 'text.txt').write_text(text)
        capsys.readouterr()
        assert evaluate.main([f'--workdir={tmp_path}/own', '--batches=1']) == 0
        assert (told in capsys.readouterr().err) == expected


def test_what_follows_from_the_batch_size_follows(run, tmp_path, capsys):
    """XLNet's rows go on from batch to batch, half of them backwards: their objective knows the size that is evaluated."""
    request = parse.parse(['--config=configs/tiny.py:permuted_lm', f'--workdir={tmp_path}', f'--config.data.cache={run}/cache'],
                          devices=False)
    workdir.write(tmp_path, request.config, tokenizer.Bytes(), 0)
    assert evaluate.main([f'--workdir={tmp_path}', '--batch_size=3', '--data=bundled:sotu']) == 2
    assert '1. batch_size = 3   expected an even number, as half of the rows read backwards' in capsys.readouterr().err


def test_the_table(run, capsys):
    assert evaluate.main([f'--workdir={run}/run', '--batches=1']) == 0
    name, *values = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith('eval/loss'))
    assert float(values[0]) > 0 and values[1] == '±' and 0 < float(values[2]) < float(values[0])


def test_a_sample_has_standard_errors_and_the_whole_has_none(run, capsys, tmp_path):
    (tmp_path / 'text.txt').write_text(' '.join(f'Call me Ishmael, {i} times.' for i in range(200)))
    part, whole = (measured(run, capsys, f'--data={tmp_path}/text.txt', *more) for more in (['--batches=2'], []))
    assert 'standard_errors' not in whole and abs(part['eval/loss'] - whole['eval/loss']) < 4 * part['standard_errors']['eval/loss']
    assert part['standard_errors'].keys() == {name for name in part if name.startswith('eval/')}


@pytest.mark.parametrize('flags, message, code', [
    (['--workdir=nowhere', '--batches=0', '--batch_size=-1'], '''evaluate: 3 problems
  1. --batches = 0       expected at least 1.
  2. --batch_size = -1   expected at least 1.
  3. --workdir = nowhere   no run there: expected a folder with config.json, as python -m train.main --workdir=DIR writes.
nothing was evaluated
''', 2),
    (['--workdir=RUN/run', '--field=body', '--format=jsonl', '--documents=line'], '''evaluate: 3 problems
  1. --field = body       nothing reads it: the text that the run held out is read as the run reads it.
  2. --format = jsonl     nothing reads it: the text that the run held out is read as the run reads it.
  3. --documents = line   nothing reads it: the text that the run held out is read as the run reads it.
nothing was evaluated
''', 2),
    (['--workdir=RUN/run', '--data=RUN/none.txt'], 'data: RUN/none.txt: expected a file, got none; check data.train, data.eval\n', 3),
])
def test_messages(run, capsys, flags, message, code):
    assert evaluate.main([flag.replace('RUN', str(run)) for flag in flags]) == code
    squeeze = lambda text: ' '.join(text.split())
    assert squeeze(capsys.readouterr().err.replace(str(run), 'RUN')) == squeeze(message)
