"""Processes of one run that were started differently leave together, before the first step, and say what differs."""
import contextlib
import dataclasses
import os
import subprocess
import sys

import pytest

from tests.helpers import subprocesses
from train.checkpoints import workdir
from train.parallel import processes
from train.reliability import lock
from train.settings import errors, parse

FLAGS = (f'--config={subprocesses.ROOT}/configs/tiny.py', '--config.steps=2', '--config.eval_batches=1', '--config.sample.max_new_tokens=1')
MAIN = 'import sys; {before}; from train import main; sys.exit(main.main(sys.argv[1:]))'


def two(tmp_path, flags=((), ()), before=('pass', 'pass'), seconds=60):
    """[(exit code, output)] of two processes of one run, each with its own flags, code that it runs first, and current folder."""
    common = [*FLAGS, f'--coordinator_address=127.0.0.1:{subprocesses.free_port()}', '--num_processes=2', f'--workdir={tmp_path}/run']
    children = []
    for rank in range(2):
        (tmp_path / str(rank)).mkdir(exist_ok=True)
        command = [sys.executable, '-c', MAIN.format(before=before[rank]), *common, f'--process_id={rank}',
                   f'--config.data.cache={tmp_path}/cache{rank}', *flags[rank]]
        children.append(subprocess.Popen(command, cwd=tmp_path / str(rank), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         env={**subprocesses.environment(), 'PYTHONPATH': str(subprocesses.ROOT)}))
    with contextlib.ExitStack() as stack:
        for child in children:
            stack.callback(child.kill)
        outputs = [child.communicate(timeout=seconds)[0] for child in children]
    return [(child.returncode, output) for child, output in zip(children, outputs)]


JAX = 'import importlib.metadata as m; own = m.version; m.version = lambda name: "{}" if name == "jax" else own(name)'
CODE = 'from train.checkpoints import workdir; workdir.revision, workdir.sources = lambda: "{0}", lambda: "{0}"'
CASES = {
    'settings': {'flags': (['--config.seed=1'], ['--config.seed=2', '--config.optimizer.learning_rate=3e-3'])},
    'objectives': {'flags': ([], ['--config.objective.name=prefix_lm'])},
    'versions': {'before': (JAX.format('0.12.0'), JAX.format('0.12.1'))},
    'code': {'before': (CODE.format('0123456789ab'), CODE.format('ab0123456789'))},
    'data': {'flags': (['--config.data.train=x.txt'],) * 2},
}
SLOW = ('objectives', 'code')


@pytest.mark.parametrize('case', [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_both_leave_with_the_difference(tmp_path, case):
    for rank, text in enumerate(('It was a dark night. ', 'It was a bright day. ')):
        (tmp_path / str(rank)).mkdir()
        (tmp_path / str(rank) / 'x.txt').write_text(text * 400)
    message = (subprocesses.ROOT / 'tests' / 'fixtures' / 'messages' / 'processes' / f'{case}.txt').read_text()
    found = two(tmp_path, **CASES[case])
    for code, output in found:
        assert code == 2 and 'Traceback' not in output, output
        assert output[output.index('processes: '):] == message
    assert not (tmp_path / 'run').exists()


def test_what_fails_in_one_process_ends_both(tmp_path):
    (tmp_path / '0').mkdir()
    (tmp_path / '0' / 'x.txt').write_text('It was a dark night. ' * 400)
    found = two(tmp_path, flags=(['--config.data.train=x.txt'],) * 2)
    for (code, output), start in zip(found, ('process 1: ', 'data: ')):
        assert code == 3 and f'{start}x.txt: expected a file, got none' in output and 'Traceback' not in output, output


def test_both_leave_a_workdir_in_which_another_run_trains(tmp_path):
    with lock.held(str(tmp_path / 'run')):
        found = two(tmp_path)
    for (code, output), start in zip(found, ('', 'process 0: ')):
        assert code == 2 and f'{start}config: 1 problem\n  1. --workdir = {tmp_path}/run   another process trains in this workdir' in output


@pytest.mark.slow
def test_equal_processes_train_with_caches_of_their_own(tmp_path):
    first, second = two(tmp_path, seconds=200)
    assert first[0] == second[0] == 0 and 'done: 2 steps' in first[1], first[1]


def test_many_processes_are_grouped(monkeypatch):
    found = [{'a': 1, 'b': 'x' * 300}] * 7 + [{'a': 2, 'b': 'x' * 300}, {'b': 'x' * 300}]
    monkeypatch.setattr(processes, 'each', lambda label, function: found)
    with pytest.raises(errors.Error) as error:
        processes.agree(dict)
    assert str(error.value) == '''processes: 1 problem
  1. a   processes 0, 1, 2, 3, 4 ...: 1, process 7: 2, process 8: nothing; expected one value.
nothing was run: start all processes with the same command, code and packages'''
    assert found.pop() and found.pop() and processes.agree(dict) is None


def test_long_values_are_compared_to_their_ends(monkeypatch):
    found = [{'a': 'x' * 150 + '1' * 150}, {'a': 'x' * 150 + '2' * 150}]
    monkeypatch.setattr(processes, 'each', lambda label, function: found)
    with pytest.raises(errors.Error) as error:
        processes.agree(dict)
    first, second = (f"... {'x' * 30}{digit * 60} ..." for digit in '12')
    assert f'  1. a   process 0: {first}, process 1: {second}; expected one value.' in str(error.value)


def test_what_must_be_equal(tmp_path, monkeypatch):
    request = parse.parse([*FLAGS, f'--workdir={tmp_path}'], devices=False)
    values = workdir.agreed(str(tmp_path), request.config)
    assert {'seed', 'batch_size', 'model.dim', 'optimizer.learning_rate', 'python', 'jax', 'flax', 'code', '--workdir'} <= values.keys()
    monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=/here --xla_b=1 --xla_a=2')
    assert workdir.agreed(str(tmp_path), request.config)['XLA_FLAGS'] == '--xla_a=2 --xla_b=1'
    named = dataclasses.replace(request.config, init=dataclasses.replace(request.config.init, from_=str(tmp_path / 'run')))
    found = []
    for step in (2, 4):
        (tmp_path / 'run' / 'checkpoints' / str(step)).mkdir(parents=True)
        (tmp_path / 'run' / 'checkpoints' / str(step) / 'manifest.json').write_text(f'{step}')
        found.append(workdir.agreed(str(tmp_path), named)['the checkpoint in init.from'])
    assert [text[:14] for text in found] == ['step 2, sha256', 'step 4, sha256'] and found[0][14:] != found[1][14:]
    assert 'data.cache' not in values and os.fspath(tmp_path) == values['--workdir']
