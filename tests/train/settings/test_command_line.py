"""The command line: where values end and flags begin, help that loads nothing heavy."""
import argparse
import subprocess
import sys

import pytest

from tests import test_imports
from train.settings import command, command_line


def read(*argv):
    return command_line.read(argv, command_line.distributed(command_line.parser('train.main', 'Trains.')))


def test_values_after_an_equals_sign_or_a_space():
    line = read('--config', 'configs/tiny.py:mini', '--config.a=1', '--config.b', '-2', '--config.c', '--workdir', 'x',
                '--config.d=')
    assert (line.path, line.variant) == ('configs/tiny.py', 'mini')
    assert line.overrides == [('a', '1'), ('b', '-2'), ('c', None), ('d', '')]
    assert line.options.workdir == 'x' and not line.problems and not line.unknown


@pytest.mark.parametrize('text, path, variant', [
    ('a.py', 'a.py', ''), ('a.py:', 'a.py', ''), ('a.py:6.7b', 'a.py', '6.7b'), ('C:/a.py:x', 'C:/a.py', 'x'),
    ('C:/a.py', 'C:/a.py', ''),
    ('a', 'a', '')])
def test_paths_and_variants(text, path, variant):
    line = read(f'--config={text}')
    assert (line.path, line.variant) == (path, variant)


def test_argparse_errors_are_collected_and_the_other_flags_still_read():
    line = read('--num_processes=two', '--process_id', 'one', '--workdir=x', '--nonsense')
    assert [p.subject for p in line.problems] == ['--num_processes', '--process_id']
    assert line.options.workdir == 'x' and line.unknown == ['--nonsense']


def test_a_command_adds_its_own_flags():
    parser = command_line.parser('train.inspect', 'Shows.', workdir=False)
    parser.add_argument('--num_examples', type=int, default=4)
    line = command_line.read(['--config=x.py', '--num_examples=2'], parser)
    assert line.options.num_examples == 2 and not list(command_line.missing(line))


def run(*argv, code):
    """What a fresh Python process prints that parses argv; the last line names the heavy modules that it loaded."""
    program = ('import sys; from train.settings import parse as config\n'
               'try: config.parse(sys.argv[1:])\n'
               'except config.Error as error: print(error); status = error.code\n'
               'except SystemExit as error: status = error.code or 0\n'
               'print([m for m in ("jax", "flax", "ml_collections", "absl", "numpy") if m in sys.modules])\n'
               'sys.exit(status)')
    done = subprocess.run([sys.executable, '-c', program, *argv], capture_output=True, text=True, cwd=command_line.ROOT)
    assert done.returncode == code, done.stderr
    assert 'Traceback' not in done.stderr
    return done.stdout


def test_help_loads_nothing_heavy():
    out = run('--help', code=0)
    assert '--config.optimizer.learning_rate=3e-4' in out and 'configs/tiny.py' in out and ':masked_lm' in out
    assert out.strip().endswith('[]')


def test_a_bad_config_is_told_before_jax_loads():
    out = run('--config=configs/tiny.py', '--config.model.heads=7', '--workdir=x', code=2)
    assert 'nothing was run' in out and 'jax' not in out.splitlines()[-1]


def test_help_states_defaults():
    made = argparse.ArgumentParser(formatter_class=command.Help)
    made.add_argument('--plain')
    made.add_argument('--number', type=int, default=0)
    made.add_argument('--share', default=0.5, help='of 100 %%')
    made.add_argument('--said', default=3, help='default: three')
    made.add_argument('--switch', action='store_true', help='on')
    lines = [' '.join(line.split()) for line in made.format_help().splitlines()]
    assert lines[lines.index('options:') + 2:] == ['--plain PLAIN', '--number NUMBER (default: 0)', '--share SHARE of 100 % (default: 0.5)',
                                                   '--said SAID default: three', '--switch on']


def test_the_package_lists_its_commands():
    done = subprocess.run([sys.executable, '-m', 'train'], capture_output=True, text=True, cwd=command_line.ROOT, timeout=60)
    assert done.returncode == 0 and 'train.main            pretrains or fine-tunes.' in done.stdout
    expected = {*(f'train.{name}' for name in test_imports.COMMANDS), 'data.tokenizer'}
    assert {line.split()[0] for line in done.stdout.splitlines()[2:]} == expected
