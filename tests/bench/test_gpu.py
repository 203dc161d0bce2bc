"""bench/gpu.py, small, on a CPU, as on an image that has JAX and little else."""
import json
import os
import subprocess
import sys

import pytest

from bench import gpu, processes
from tests.helpers import subprocesses

# Packages that an image for GPUs may lack: importing one is an error in every process.
BLOCK = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'array_record', 'charset_normalizer', 'datasets', 'grain', 'jinja2', 'ml_collections', 'regex',
                                  'safetensors', 'sentencepiece', 'tensorflow_datasets', 'tokenizers', 'torch', 'transformers',
                                  'zstandard'}:
            raise ModuleNotFoundError(f'{name} is not here')

sys.meta_path.insert(0, Refuse())
"""


def table(folder, *sections):
    """(standard output, the JSON) of `python -m bench.gpu --small SECTIONS` in such an image."""
    (folder / 'sitecustomize.py').write_text(BLOCK)
    environ = {**subprocesses.environment(), 'PYTHONPATH': os.pathsep.join([str(folder), str(subprocesses.ROOT)])}
    command = [sys.executable, '-m', 'bench.gpu', '--small', f'--out={folder}/results/gpu.json', *sections]
    done = subprocess.run(command, cwd=subprocesses.ROOT, env=environ, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / 'results' / 'gpu.json').read_text())


def check(output, found, sections):
    """Every section has figures of this side; every row has a line in the table and says why it has none of the other, or none at all."""
    assert {row['section'] for row in found['rows'] if row.get('here', 0) > 0} == set(sections)
    for row in found['rows']:
        expected = 'no torch or no transformers' if 'here' in row else 'does not support'  # an implementation of attention for GPUs alone
        assert 'peer' not in row and expected in row['note'], row
    assert len([line for line in output.splitlines() if line.startswith('| ')]) == 1 + len(found['rows'])
    assert found['small'] is True and found['peer'] is None and 'jax' in found['here']


def test_a_gpt_attention_and_generation_are_measured_without_the_packages_of_the_pipeline(tmp_path):
    sections = 'gpt2', 'attention', 'generation'
    check(*table(tmp_path, *sections), sections)


@pytest.mark.slow
def test_every_section_is_measured_without_the_packages_of_the_pipeline(tmp_path):
    check(*table(tmp_path), [section.__name__ for section in gpu.SECTIONS])


def section_of(*rows, error=None):
    def section(bench):
        yield from rows
        if error:
            raise error
    return section


def test_a_section_that_breaks_or_has_no_time_left_is_a_row():
    bench = gpu.Bench(gpu.SMALL, None, 'no torch', None)

    def late(bench):
        bench.until = 0.0
        yield {'what': str(bench.left()), 'unit': ''}

    broken = section_of({'what': 'a', 'unit': 'ms', 'here': 2.0, 'peer': 3.0}, error=ValueError('odd'))
    rows = list(gpu.measure(bench, {broken: 10, late: 10}))
    assert rows[0]['ratio'] == 1.5 and rows[1]['note'] == 'ValueError: odd' and rows[2]['note'] == 'Failed: out of time'
    assert gpu.line(rows[0]) == '| a, ms | 2.00 | 3.00 | 1.50 | – | – |'
    assert gpu.line(rows[2]) == '| late,  · Failed: out of time | – | – | – | – | – |'


def test_a_process_that_takes_too_long_is_stopped_and_what_it_printed_is_kept():
    code = 'import time; print(\'{"a": 1}\', flush=True); print(\'{"b\', flush=True); time.sleep(60)'
    with pytest.raises(processes.Failed, match='^out of time after 2 s$') as raised:
        processes.run(sys.executable, '-c', code, timeout=2)
    assert processes.lines(raised.value.output) == [{'a': 1}]


def test_a_process_that_fails_says_its_error():
    with pytest.raises(processes.Failed, match='^ValueError: odd$'):
        processes.run(sys.executable, '-c', 'raise ValueError("odd")')


def test_a_section_that_does_not_exist_is_an_error_that_lists_them():
    done = subprocesses.run('-m', 'bench.gpu', '--small', 'gpt3', code=2)
    assert 'no such section: gpt3; there are gpt2, bert, bert_dropout, electra, t5, attention, generation' in done.stderr
