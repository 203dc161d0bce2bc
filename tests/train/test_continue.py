"""Training from an imported model: what a config takes from init.from, and runs that start from it."""
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import rich.console

from data import corpus, tokenizer as tokenizers
from model import huggingface, paths
from model.huggingface import settings
from tests.helpers import huggingface_tokenizers as published, training
from train import convert, loop, objectives, program
from train.checkpoints import checkpoint, initial, workdir
from train.monitoring import display, metrics
from train.parallel import sharding
from train.settings import errors, parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAST = ('--config.sequence_length=32', '--config.batch_size=8', '--config.steps=12', '--config.log_every=1',
        '--config.eval_every=0', '--config.eval_batches=2',
        '--config.optimizer.learning_rate=3e-3', '--config.optimizer.warmup=1', '--config.sample.max_new_tokens=2')


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
    """imported(name) -> the workdir of a stored case with 300 tokens."""
    root = tmp_path_factory.mktemp('imported')
    sentence = 'It was the best of times, it was the worst of times; it was the age of wisdom. The dog barked at 12 men! '
    (root / 'text.txt').write_text('\n\n'.join(f'{i}. ' + sentence * (3 + i % 5) for i in range(200)))

    def get(name):
        if not (root / name).exists():
            folder = published.write(name, root / f'hf-{name}', 300)
            assert convert.main(['import', f'--hf={folder}', f'--out={root / name}']) == 0
        return root / name
    return get


def test_a_branch_goes_on_with_another_learning_rate(tmp_path):
    """With the same one it is the run itself; statistics, data and schedule go on."""
    flags = ['--config=configs/tiny.py', *FAST, f'--config.data.cache={tmp_path}/cache', '--config.tokenizer.kind=bytes',
             '--config.checkpoint.every=6', '--config.checkpoint.keep=3']
    _, whole = training.run(*flags, f'--workdir={tmp_path}/run')
    start = [f'--config.init.from={tmp_path}/run/checkpoints/6', '--config.init.optimizer=True']
    _, same = training.run(*flags, *start, f'--workdir={tmp_path}/same')
    _, other = training.run(*flags, *start, f'--workdir={tmp_path}/other', '--config.optimizer.learning_rate=1e-4')
    lines = {name: metrics.read(tmp_path / name) for name in ('run', 'same', 'other')}
    losses = {name: [line['train/loss'] for line in found if line['step'] > 6] for name, found in lines.items()}
    assert [line['step'] for line in lines['same']] == list(range(7, 13))
    np.testing.assert_allclose(losses['same'], losses['run'], rtol=1e-6)
    assert losses['other'][0] == pytest.approx(losses['run'][0], rel=1e-6) and losses['other'][-1] != losses['run'][-1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), (same.params, same.opt_state), (whole.params, whole.opt_state))
    _, again = training.run(*flags, *start, f'--workdir={tmp_path}/other', '--config.optimizer.learning_rate=1e-4')  # done: as it was
    assert int(again.step) == int(other.step) == 12
    log = (tmp_path / 'other' / 'train.log').read_text()
    assert ', after 48 examples, with another optimizer.learning_rate\n' in log and 'parameters\n' in log
    with pytest.raises(errors.Error) as error:
        training.run(*flags, *start, f'--workdir={tmp_path}/third', '--config.seed=1', '--config.batch_size=4', '--config.steps=6')
    assert str(error.value) == f'''config: 3 problems
  1. seed = 1         {tmp_path}/run/checkpoints/6 has 0; expected the same, since init.optimizer = True goes on where that run was in its data.
  2. batch_size = 4   {tmp_path}/run/checkpoints/6 has 8; expected the same, since init.optimizer = True goes on where that run was in its data.
  3. steps = 6        {tmp_path}/run/checkpoints/6 is at step 6, behind which a branch goes on; expected more.
nothing was run'''  # noqa: E501


def parsed(*argv):
    return parse.parse([*argv, '--workdir=runs/x', '--config.sequence_length=32'], devices=False)


@pytest.mark.parametrize('name, objective', [('gpt2', 'causal_lm'), ('bert', 'masked_lm'), ('t5', 'span_corruption')])
def test_a_config_takes_model_tokenizer_and_objective(imported, name, objective):
    folder = imported(name)
    request = parsed('--config=configs/continue.py', f'--config.init.from={folder}')
    own = workdir.read(folder)
    assert request.config.model == own.model and request.config.tokenizer.path == f'{folder}/tokenizer'
    assert type(request.config.objective) is type(own.objective) and request.config.objective.sequence_length == 32
    assert request.origins['model.dim'] == request.origins['tokenizer.path'] == request.origins['objective.name'] == f'taken from {folder}'
    assert request.origins['steps'] == 'set in configs/continue.py'


@pytest.mark.parametrize('length, expected', [(48, 64), (64, 64), (96, 96)])
def test_the_length_of_a_model_is_its_own_until_a_run_has_longer_rows(imported, length, expected):
    """Rotary positions have no table: a run may have shorter rows than the model was made for, or longer ones."""
    request = parse.parse(['--config=configs/continue.py', f'--config.init.from={imported("llama")}', '--workdir=runs/x',
                           f'--config.sequence_length={length}'], devices=False)
    assert request.config.sequence_length == length
    assert settings.to_json(settings.known()['llama'], request.config.model)['max_position_embeddings'] == expected


def test_the_dtype_of_an_import_is_that_of_the_run_that_continues_it(imported, tmp_path):
    assert convert.main(['import', f'--hf={imported("gpt2").parent}/hf-gpt2', f'--out={tmp_path}/half', '--dtype=bfloat16']) == 0
    continued = ('--config=configs/continue.py', f'--config.init.from={tmp_path}/half')
    assert parsed(*continued).config.dtype == 'bfloat16'
    assert parsed(*continued, '--config.dtype=float32').config.dtype == 'float32'
    assert parsed('--config=configs/continue.py', f'--config.init.from={imported("gpt2")}').config.dtype == 'float32'


def test_flags_win_over_what_is_taken_and_a_file_with_a_model_takes_nothing(imported):
    folder = imported('gpt2')
    request = parsed('--config=configs/continue.py', f'--config.init.from={folder}', '--config.model.dropout=0.3',
                     '--config.objective.documents=stream')
    assert request.config.model.dropout == 0.3 and request.config.model.dim == 32 and request.config.objective.documents == 'stream'
    request = parsed('--config=configs/continue.py', f'--config.init.from={folder}', '--config.tokenizer.kind=bytes')
    assert request.config.tokenizer.path is None and request.config.model.vocab_size is None
    request = parsed('--config=configs/tiny.py', f'--config.init.from={folder}')
    assert request.config.model.dim == 64 and request.config.tokenizer.kind == 'bytes'
    assert request.origins['model.dim'] == 'set in configs/tiny.py'


def test_a_run_and_its_checkpoints_are_as_good_as_an_import(imported):
    folder = imported('bert')
    for place in (folder / 'checkpoints', folder / 'checkpoints' / '0'):
        request = parsed('--config=configs/continue.py', f'--config.init.from={place}')
        assert request.config.model.dim == 32 and request.config.tokenizer.path == f'{folder}/tokenizer'


@pytest.mark.parametrize('damage, flags, message', [
    (lambda folder: None, ['--config.init.from=nowhere'], '''config: 1 problem
  1. init.from = 'nowhere'   no such folder; expected the workdir or the checkpoint of another run.   (set by --config.init.from)
nothing was run'''),
    (lambda folder: (folder / 'config.json').write_text('{'), ['--config.init.from=run'], '''config: 1 problem
  1. init.from = 'run'   expected JSON in its config.json, got Expecting property name enclosed in double quotes: line 1 column 2 (char 1).\
   (set by --config.init.from)
nothing was run'''),
    (lambda folder: None, ['--config.init.from=run'], '''config: 1 problem
  1. tokenizer.path   run has no tokenizer; set one, such as --config.tokenizer.path=DIR.
nothing was run'''),
    (lambda folder: (folder / 'tokenizer').mkdir(), ['--config.init.from=run', '--config.model.layers=0'], '''config: 1 problem
  1. model.layers = 0   expected at least 1.   (set by --config.model.layers)
nothing was run'''),
    (lambda folder: (folder / 'tokenizer').mkdir(), ['--config.init.from=run', '--config.batch_size=0'], '''config: 1 problem
  1. batch_size = 0   expected at least 1.   (set by --config.batch_size)
nothing was run'''),
])
def test_messages(tmp_path, monkeypatch, damage, flags, message):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'run'
    (folder / 'checkpoints').mkdir(parents=True)
    tree = parse.to_dict(parsed('--config=configs/tiny.py').config)
    (folder / 'config.json').write_text(json.dumps(tree))
    damage(folder)
    with pytest.raises(parse.Error) as error:
        parsed('--config=configs/continue.py', *flags)
    assert str(error.value) == message


def train(folder, out, *flags, run=loop.run):
    """(what is shown, train State) of a run on one device, or with run=begin of its start alone."""
    request = parse.parse(['--config=configs/continue.py', f'--config.init.from={folder}', f'--workdir={out}',
                             f'--config.data.cache={folder.parent}/cache',
                             f'--config.data.train={folder.parent}/text.txt', *FAST, *flags], devices=False)
    text = io.StringIO()
    with display.Display(console=rich.console.Console(file=text, width=400)) as screen:
        _, state = run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
    return text.getvalue(), state


def begin(config, folder, screen, origins, devices):
    """What loop.run does before its first step."""
    text = corpus.open(config.data, config.tokenizer, screen.notice)
    config, mesh = parse.with_vocabulary(config, text.tokenizer), sharding.mesh(config.mesh, devices)
    with jax.set_mesh(mesh):
        compiled = program.build(config, objectives.build(config), mesh, program.shapes(config, text.train))
        return None, loop.start(compiled.create(), config, screen)


@pytest.mark.parametrize('name', ['gpt2', *(pytest.param(name, marks=pytest.mark.slow) for name in ('bert', 't5'))])
def test_training_goes_on_from_an_imported_model(imported, tmp_path, name):
    """Every parameter is taken, the loss falls, and the run exports again with the tokenizer and the origin of the import."""
    folder = imported(name)
    shown, _ = train(folder, tmp_path / 'run')
    lines, count = metrics.read(tmp_path / 'run'), len(paths.flatten(checkpoint.load_params(folder)[0]))
    assert f'{count} of {count} parameters start from {folder}' in shown
    losses = [line['train/loss'] for line in lines]
    assert np.mean(losses[-3:]) < losses[0] - 0.15
    assert convert.main(['export', f'--workdir={tmp_path}/run', f'--hf={tmp_path}/out']) == 0
    module, variables = huggingface.load(tmp_path / 'out')
    assert module.config.vocab_size == 300 and tokenizers.load(tmp_path / 'out').hash == tokenizers.load(folder / 'tokenizer').hash
    assert f'Training started from hf-{name} (`model.safetensors`' in (tmp_path / 'out' / 'README.md').read_text()


@pytest.mark.parametrize('name, variant, aside, fresh', [
    ('electra', '', '', 'generator/'), ('bert_pooler', 'masked_lm', 'head/dense/', 'backbone/head/'),
    ('bert', 'replaced_token_detection', '(backbone/)?head/', '(head|generator)/'), ('electra', 'masked_lm', 'head/', 'backbone/head/'),
    ('gpt2_classes', 'causal_lm', 'head/', '')])
def test_objectives_and_heads(imported, tmp_path, name, variant, aside, fresh):
    folder = imported(name)
    named = [f'--config=configs/continue.py:{variant}'] * bool(variant)
    shown, state = train(folder, tmp_path / 'run', *named, *MEMORY.get(name, ()), run=begin)
    stored, params = paths.flatten(checkpoint.load_params(folder)[0]), paths.flatten(state.params)
    left = {path for path in stored if aside and re.match(aside, path)}
    assert ('; fresh: ' in shown) == bool(fresh)
    assert ('left aside' in shown) == bool(left) and params.keys() >= stored.keys() - left
    for path in stored.keys() - left:
        np.testing.assert_array_equal(params[path], stored[path], err_msg=path)
    assert {path for path in params if path not in stored or path in left} == {path for path in params if fresh and re.match(fresh, path)}


def test_heads_of_an_alternations_members_are_left_aside():
    stored = {'backbone/embed/embedding', 'members/pairs/head/labels/kernel'}
    assert list(initial._unused_heads(stored, {'backbone/embed/embedding': None}, None, None)) == ['members/']
    assert list(initial._unused_heads(stored, dict.fromkeys(stored), None, None)) == []


MEMORY = {'xlnet': ['--config.objective.memory_length=16']}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['electra', 'xlnet', 'bart'])
def test_two_steps_of_the_others(imported, tmp_path, name):
    train(imported(name), tmp_path / 'run', '--config.steps=2', *MEMORY.get(name, ()))
    assert all(np.isfinite(line['train/loss']) for line in metrics.read(tmp_path / 'run'))


def test_another_vocabulary_grows_the_tables(imported, tmp_path):
    """The run has a tokenizer of its own, with more ids."""
    folder = imported('gpt2')
    shown, state = train(folder, tmp_path / 'run', '--config.tokenizer.kind=bytes', run=begin)
    assert f'300 tokens in {folder}, 517 here: new ones start as the mean of the others' in shown
    new = np.asarray(state.params['backbone']['embed']['embedding'])
    old = np.asarray(checkpoint.load_params(folder)[0]['backbone']['embed']['embedding'])
    np.testing.assert_array_equal(new[:300], old[:300])
    np.testing.assert_allclose(new[300:517], np.broadcast_to(old[:300].mean(0), (217, 32)), atol=1e-6)
    assert not new[517:].any()


def command(workdir, folder, steps, *flags):
    environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
    flags = ('--config=configs/continue.py', f'--config.init.from={folder}', f'--workdir={workdir}',
             f'--config.data.cache={folder.parent}/cache', f'--config.data.train={folder.parent}/text.txt', *FAST,
             '--config.model.dropout=0.1', '--config.optimizer.schedule=constant', f'--config.steps={steps}', *flags)
    command = ['taskset', '-c', '0', sys.executable, '-m', 'train.main', *flags]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True,
                            timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_run_that_began_at_an_import_resumes_exactly(imported, tmp_path):
    folder = imported('t5')
    whole = command(tmp_path / 'whole', folder, 6)
    command(tmp_path / 'cut', folder, 3)
    again = command(tmp_path / 'cut', folder, 6)
    assert 'continuing at step 3 of 6' in again and 'parameters start from' not in again
    assert re.search(r'state sha256 (\w+)', again)[1] == re.search(r'state sha256 (\w+)', whole)[1]
    untimed = lambda lines: [{key: value for key, value in line.items() if not metrics.timed(key)} for line in lines if line['step'] > 3]
    assert untimed(metrics.read(tmp_path / 'cut')) == untimed(metrics.read(tmp_path / 'whole'))


def test_a_changed_source_is_refused_on_resume(imported, tmp_path):
    folder = imported('gpt2')
    copy = tmp_path / 'copy'
    (copy / 'checkpoints').mkdir(parents=True)
    tree = json.loads((folder / 'config.json').read_text())
    os.symlink(folder / 'tokenizer', copy / 'tokenizer')

    def claimed():
        (copy / 'config.json').write_text(json.dumps(tree))
        request = parsed('--config=configs/continue.py', f'--config.init.from={copy}')
        return request, workdir.claim(tmp_path / 'run', request.config, request.origins)

    request, notices = claimed()
    workdir.write(tmp_path / 'run', request.config, None, 0)
    assert notices == [] and claimed()[1] == []
    tree['model']['layers'] = 3
    with pytest.raises(parse.Error, match=f'model.layers = 3   the run in .* has 2. .*taken from {copy}'):
        claimed()


def test_a_run_that_began_is_its_own_source(imported, tmp_path):
    """The import that it started from may be moved: the same command goes on, with its own model and tokenizer."""
    folder = tmp_path / 'import'
    shutil.copytree(imported('gpt2'), folder)
    shutil.copyfile(imported('gpt2').parent / 'text.txt', tmp_path / 'text.txt')
    first, state = train(folder, tmp_path / 'run', '--config.steps=2')
    os.rename(folder, tmp_path / 'moved')
    again, later = train(folder, tmp_path / 'run', '--config.steps=4')
    assert 'parameters start from' in first and 'continuing at step 2 of 4' in again and int(later.step) == 4
    with pytest.raises(parse.Error, match='init.from = .*no such folder'):
        train(folder, tmp_path / 'another')
    with pytest.raises(parse.Error, match='model.dropout = 0.2   the run in .* has 0.1'):
        train(folder, tmp_path / 'run', '--config.model.dropout=0.2', '--config.steps=6')
