"""The loop as a function: every config takes two steps, and the switches that change how a run goes."""
import dataclasses
import io
import math
import re
import runpy

import jax
import numpy as np
import pytest
import rich.console

from model import paths
from train import loop
from train.checkpoints import arrays, checkpoint, manifest, workdir
from train.monitoring import display, early_stopping, memory, metrics
from train.objectives import loss
from train.prediction import samples
from train.settings import command_line, errors, parse, schema

TINY = [(path, variant) for path in command_line.configs() for variant in runpy.run_path(str(command_line.ROOT / path))['VARIANTS']
        if variant == 'tiny' or path.endswith('/tiny.py') and variant not in ('', 'tiny')]


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('cache')


@pytest.fixture
def train(tmp_path, cache):
    """train(config, *flags, workdir=...) -> (reason, State, what was shown), on one device."""
    def run(name, *overrides, workdir='run'):
        request = parse.parse([f'--config={name}', f'--workdir={workdir if "/" in workdir else tmp_path / workdir}',
                               f'--config.data.cache={cache}', '--config.sample.max_new_tokens=4', '--config.eval_batches=2', *overrides],
                              devices=False)
        text = io.StringIO()
        with display.Display(console=rich.console.Console(file=text, width=200)) as screen:
            reason, state = loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
        return reason, state, text.getvalue()
    return run


def losses(folder, name='train/loss'):
    return [line[name] for line in metrics.read(folder) if name in line]


def equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b))


@pytest.mark.parametrize('path, variant', TINY)
def test_every_config_takes_two_steps(train, tmp_path, path, variant):
    reason, state, shown = train(f'{path}:{variant}', '--config.steps=2')
    assert reason is None and int(state.step) == 2
    lines = metrics.read(tmp_path / 'run')
    assert [line['step'] for line in lines] == [1, 2] and all(math.isfinite(line['train/loss']) for line in lines)
    assert 'eval/loss' in lines[-1] and 'first loss' in shown and 'far off' not in shown and 'state sha256' in shown
    assert {path.name for path in (tmp_path / 'run').iterdir()} >= {
        'config.json', 'environment.json', 'metrics.jsonl', 'samples.jsonl', 'checkpoints', 'report.html', 'tokenizer'}


def test_evaluation_samples_and_checkpoints_change_nothing_of_the_training(train, tmp_path):
    _, plain, _ = train('configs/tiny.py', '--config.steps=6', '--config.log_every=1', '--config.model.dropout=0.1')
    _, busy, _ = train('configs/tiny.py', '--config.steps=6', '--config.log_every=1', '--config.model.dropout=0.1', '--config.eval_every=1',
                       '--config.sample_every=2', '--config.checkpoint.every=2', workdir='busy')
    assert losses(tmp_path / 'run') == losses(tmp_path / 'busy')
    assert equal(plain.params, busy.params) and equal(plain.opt_state, busy.opt_state)
    evaluations = losses(tmp_path / 'busy', 'eval/loss')
    assert len(evaluations) == 6 and evaluations[-1] == losses(tmp_path / 'run', 'eval/loss')[-1]


def test_more_steps_continue_a_finished_run_and_the_same_steps_say_it_is_done(train, tmp_path):
    train('configs/tiny.py', '--config.steps=3', '--config.log_every=1', '--config.optimizer.schedule=constant')
    reason, state, shown = train('configs/tiny.py', '--config.steps=5', '--config.log_every=1', '--config.optimizer.schedule=constant')
    assert 'continuing at step 3 of 5' in shown and int(state.step) == 5
    assert [line['step'] for line in metrics.read(tmp_path / 'run')] == [1, 2, 3, 4, 5]
    _, _, shown = train('configs/tiny.py', '--config.steps=5', '--config.log_every=1', '--config.optimizer.schedule=constant')
    assert 'is done: step 5 of 5. To train on: --config.steps=10' in shown
    _, whole, _ = train('configs/tiny.py', '--config.steps=5', '--config.log_every=1', '--config.optimizer.schedule=constant',
                        workdir='whole')
    assert equal(whole.params, state.params) and losses(tmp_path / 'whole') == losses(tmp_path / 'run')


def test_a_package_of_another_version_is_told_at_resume(train, monkeypatch):
    for _ in range(2):
        *_, shown = train('configs/tiny.py', '--config.steps=2')
        assert 'was saved with' not in shown
    found = arrays.versions()
    monkeypatch.setattr(arrays, 'versions', lambda: {**found, 'jax': '99.1', 'regex': '2099.1', 'another': '1'})
    *_, shown = train('configs/tiny.py', '--config.steps=2')
    assert (f'the checkpoint was saved with jax {found["jax"]}, now 99.1; regex {found["regex"]}, now 2099.1: '
            'results from here on may differ\n' in shown)


def test_a_relative_workdir_and_paths_with_spaces_work(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train('configs/tiny.py', '--config.steps=2', workdir='./a run')
    assert (tmp_path / 'a run' / 'checkpoints' / '2' / 'manifest.json').exists()


def test_one_batch_is_overfitted(train, tmp_path):
    train('configs/tiny.py', '--config.steps=40', '--config.overfit_one_batch', '--config.optimizer.learning_rate=0.01')
    found = losses(tmp_path / 'run')
    assert found[-1] < 0.6 * found[0]


def test_early_stopping_ends_the_run_saves_and_does_not_count_as_interruption(train, tmp_path):
    command_line = ('configs/tiny.py', '--config.steps=50', '--config.eval_every=2', '--config.early_stopping.metric=eval/loss',
             '--config.early_stopping.patience=2', '--config.early_stopping.min_delta=100.0')
    reason, state, shown = train(*command_line)
    assert reason == 'early stopping' and int(state.step) == 6 and 'early stopping: saved at step 6 of 50' in shown
    assert (tmp_path / 'run' / 'checkpoints' / '6' / 'manifest.json').exists()
    reason, again, shown = train(*command_line)
    assert reason == 'early stopping' and 'is done: eval/loss stopped improving by step 6' in shown and int(again.step) == 6


def test_the_best_evaluation_is_kept_and_a_metric_that_is_not_measured_is_named(train, tmp_path):
    train('configs/tiny.py', '--config.steps=6', '--config.eval_every=2', '--config.checkpoint.every=5', '--config.checkpoint.keep=1',
          '--config.checkpoint.best=eval/loss', '--config.optimizer.learning_rate=0.01')
    kept = sorted(int(path.name) for path in (tmp_path / 'run' / 'checkpoints').iterdir())
    evaluated = {line['step']: line['eval/loss'] for line in metrics.read(tmp_path / 'run') if 'eval/loss' in line}
    assert list(evaluated) == [2, 4, 6] and kept == sorted({min(evaluated, key=evaluated.get), 6})
    with pytest.raises(errors.Error) as error:
        train('configs/tiny.py', '--config.steps=4', '--config.eval_every=2', '--config.checkpoint.best=eval/lss', workdir='other')
    assert "checkpoint.best = 'eval/lss'   no such metric. Did you mean eval/loss?" in str(error.value)


def test_the_moving_average_is_what_is_evaluated(train, tmp_path):
    train('configs/tiny.py', '--config.steps=4', '--config.ema=0.999', '--config.optimizer.learning_rate=0.01')
    train('configs/tiny.py', '--config.steps=4', '--config.optimizer.learning_rate=0.01', workdir='plain')
    averaged, plain = losses(tmp_path / 'run', 'eval/loss')[-1], losses(tmp_path / 'plain', 'eval/loss')[-1]
    assert averaged == pytest.approx(losses(tmp_path / 'run')[0], abs=0.05) and plain < averaged - 0.1


def test_parameters_start_from_another_run(train, tmp_path):
    _, first, _ = train('configs/tiny.py', '--config.steps=3')
    _, state, shown = train('configs/tiny.py', '--config.steps=2', '--config.optimizer.learning_rate=1e-12',
                            '--config.optimizer.weight_decay=0.0', f'--config.init.from={tmp_path / "run"}',
                            "--config.init.paths=('decoder/blocks',)", workdir='second')
    assert '16 of 20 parameters start from' in shown
    new, old = state.params['backbone'], first.params['backbone']
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), new['decoder']['blocks'], old['decoder']['blocks'])
    assert not np.allclose(new['embed']['embedding'], old['embed']['embedding'], atol=1e-4)


def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(train, tmp_path):
    with pytest.raises(loop.Diverged, match='the loss of step 2 is nan'):
        train('configs/tiny.py', '--config.steps=9', '--config.optimizer.name=sgd', '--config.optimizer.learning_rate=1e30',
              '--config.optimizer.clip=None', '--config.optimizer.warmup=0', '--config.log_every=1', '--config.checkpoint.every=1')
    assert not (tmp_path / 'run' / 'checkpoints' / '2').exists()


def test_after_nan_in_optimizer_statistics_the_last_good_step_is_continued(train, tmp_path, monkeypatch):
    compile, flags = memory.Memory.compile, ('configs/tiny.py', '--config.steps=6', '--config.checkpoint.every=2')

    def poisoned(*arguments):
        step = compile(*arguments)

        def update(state, batch):
            state, measured = step(state, batch)
            if int(state.step) == 4:
                bad = paths.apply(lambda path, leaf: leaf.at[0].set(np.nan) if path.endswith('nu/backbone/embed/embedding') else leaf,
                                  state.opt_state)
                state = dataclasses.replace(state, opt_state=bad)
            return state, measured
        return update
    with monkeypatch.context() as patch:
        patch.setattr(memory.Memory, 'compile', poisoned)
        with pytest.raises(checkpoint.NotFinite) as error:
            train(*flags)
    assert error.value.exit_code == 5
    assert re.fullmatch(r"step 4 was not saved: NaN or infinity in 'opt_state/\S+/nu/backbone/embed/embedding'", str(error.value))
    assert [path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()] == ['2']
    _, state, shown = train(*flags)
    _, whole, _ = train(*flags, workdir='whole')
    assert 'continuing at step 2 of 6' in shown and equal(whole.params, state.params) and equal(whole.opt_state, state.opt_state)


def test_samples_that_fail_lose_nothing(train, tmp_path, monkeypatch):
    def fails(self, variables):
        assert (tmp_path / 'run' / 'checkpoints' / '4').exists() or not (tmp_path / 'run' / 'checkpoints').exists()
        raise MemoryError('64 GB wanted')
    monkeypatch.setattr(samples.Sampler, '__call__', fails)
    reason, state, shown = train('configs/tiny.py', '--config.steps=4', '--config.sample_every=2')
    assert reason is None and int(state.step) == 4 and 'done: 4 steps' in shown
    for step in (2, 4):
        assert f'no samples of step {step}: MemoryError: 64 GB wanted' in shown
    assert manifest.check(tmp_path / 'run' / 'checkpoints' / '4') == []


def test_a_loss_without_what_samples_call_is_refused_before_the_first_step(train, tmp_path, monkeypatch):
    monkeypatch.delattr(loss.Module, 'say')
    with pytest.raises(samples.Broken) as error:
        train('configs/tiny.py:masked_lm', '--config.steps=4')
    assert str(error.value).startswith('nothing was trained, because samples cannot be computed: AttributeError: "TokenLoss" object has no '
                                       'attribute "say".')
    assert metrics.read(tmp_path / 'run') == [] and error.value.exit_code == 7


def test_another_text_is_refused(train, tmp_path):
    for name, text in (('a', 'It was a dark night. ' * 400), ('b', 'It was a bright day. ' * 400)):
        (tmp_path / 'text.txt').write_text(text)
        if name == 'a':
            train('configs/tiny.py', '--config.steps=2', f'--config.data.train={tmp_path / "text.txt"}')
    with pytest.raises(workdir.OtherData, match='the data has changed since this run was started'):
        train('configs/tiny.py', '--config.steps=3', f'--config.data.train={tmp_path / "text.txt"}')


def test_chinese_trains_reports_and_renders(train, tmp_path):
    _, _, shown = train('configs/tiny.py', '--config.steps=30', '--config.data.train=bundled:sanguo', '--config.tokenizer.kind=unigram',
                        '--config.tokenizer.vocab_size=4096', "--config.sample.prompts=('曹操',)", '--config.optimizer.learning_rate=0.01')
    bits = losses(tmp_path / 'run', 'eval/bits_per_byte')[-1]
    assert 1 < bits < 8 and '曹操' in shown
    assert '曹操' in (tmp_path / 'run' / 'report.html').read_text() and '曹操' in (tmp_path / 'run' / 'samples.jsonl').read_text()


@pytest.mark.parametrize('schedule, advice', [
    ('constant', 'To train on: --config.steps=40'), ('rsqrt', 'To train on: --config.steps=40'),
    ('cosine', 'start another workdir from it: --config.init.from=runs/x --workdir=OTHER. More --config.steps would stretch the cosine '
               'schedule')])
def test_a_finished_run_says_how_to_train_on(schedule, advice):
    config = schema.Config(steps=20, optimizer=schema.Optimizer(schedule=schedule))
    patience = early_stopping.EarlyStopping(config.early_stopping)
    assert advice in loop.finished('runs/x', 20, config, patience)
