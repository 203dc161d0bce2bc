"""The whole matrix against PyTorch itself (make test-all): more shapes than are stored, and exports as `transformers` loads them.

The environment variable PEERS names a Python with torch and transformers.
"""
import functools
import json
import os
import pathlib
import subprocess

import jax
import numpy as np
import pytest

from model import config as model_config, huggingface, task_model
from model.families import bart, bert, roberta
from tests.helpers import huggingface_folder as folders, huggingface_logits
from tests.helpers.peers import model_cases

SCRIPTS = pathlib.Path(__file__).parents[3] / 'tests/helpers/peers'

PEERS = os.environ.get('PEERS')
SEEDS = (0, 1, 2)
SPECIAL = ('bos_token_id', 'eos_token_id', 'pad_token_id', 'decoder_start_token_id')  # of the tokenizer, which no model knows
# T5's class always says that the output is tied, so that it has a word to say about every T5 1.1, those on the hub too.
UNTIED = 'both are present in the checkpoints with different values, so we will NOT tie them'
CASES = [(name, seed) for seed in SEEDS for name in sorted(model_cases.CASES)]
HALVES = [(name, dtype) for name in ('bert', 'bart', 'llama_grouped') for dtype in ('float16', 'bfloat16')]
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not PEERS, reason='PEERS does not name a Python with torch (make test-all does)')]


def peers(script, *arguments):
    """Standard output of a script in the peers' environment."""
    result = subprocess.run([PEERS, str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True, timeout=1800,
                            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-5000:]
    return result.stdout


def called(name, seed):
    return f'{name}-{seed}' if seed else name


class Matrix:
    """Every case as PyTorch made it in `folder`, and our exports of it."""

    def __init__(self, folder):
        self.folder, self.imported, self.exported = folder, functools.cache(self.imported), functools.cache(self.exported)
        peers('models.py', folder / 'cases', '--seeds', *SEEDS)

    def imported(self, name):
        case, arrays = folders.read(name, self.folder / 'cases')
        folder = folders.write(case, self.folder / 'original' / name)
        return (case, arrays, *huggingface.load(folder))

    def exported(self, name, dtype, bare):
        """A folder that was exported: with the other keys of the original's config.json or, as a run, with special ids alone."""
        case, arrays, module, variables = self.imported(name)
        folder = self.folder / dtype / name
        folder.mkdir(parents=True)
        more = {key: value for key, value in case['config'].items() if not bare or key in SPECIAL and value is not None}
        huggingface.save(folder, module, variables, dtype, more=more, shard=20_000 if dtype != 'float32' else 10 ** 9)
        np.savez(folder / 'inputs.npz', **{key: value for key, value in arrays.items() if not key.startswith('expected/')})
        return folder


@pytest.fixture(scope='module')
def matrix(tmp_path_factory):
    return Matrix(tmp_path_factory.mktemp('peers'))


@pytest.fixture(scope='module')
def heard(matrix):
    """{folder: what `transformers` said of an export}."""
    wanted = [matrix.exported(called(*case), 'float32', bare=case[1] == SEEDS[-1]) for case in CASES]
    wanted += [matrix.exported(name, dtype, bare=False) for name, dtype in HALVES]
    lines = peers('logits.py', *wanted).splitlines()
    return {pathlib.Path(said['folder']): said for said in map(json.loads, lines)}


def loads_without_a_word(said, untied=False):
    assert not said['keys']
    assert [text for text in said['warnings'] if not (untied and UNTIED in text)] == []


@pytest.mark.parametrize('name,seed', CASES)
def test_imported_logits(name, seed, matrix):
    _, arrays, module, variables = matrix.imported(called(name, seed))
    said = huggingface_logits.says(module, variables, arrays)
    assert huggingface_logits.difference(said, arrays) <= 1e-4


@pytest.mark.parametrize('name,seed', CASES)
def test_an_export_loads_without_a_word_and_says_the_same(name, seed, matrix, heard):
    _, arrays, *_ = matrix.imported(called(name, seed))
    folder = matrix.exported(called(name, seed), 'float32', bare=seed == SEEDS[-1])
    loads_without_a_word(heard[folder], model_cases.CASES[name].untie)
    with np.load(folder / 'logits.npz') as found:
        said = dict(found)
    assert {f'expected/{key}' for key in said} == {key for key in arrays if key.startswith('expected/')}
    assert huggingface_logits.difference(said, arrays) <= 1e-5


@pytest.mark.parametrize('name,dtype', HALVES)
def test_half_the_bits_in_many_files(name, dtype, matrix, heard):
    _, arrays, *_ = matrix.imported(name)
    folder = matrix.exported(name, dtype, bare=False)
    loads_without_a_word(heard[folder])
    ours = huggingface_logits.says(*huggingface.load(folder), arrays)
    with np.load(folder / 'logits.npz') as found:
        assert huggingface_logits.difference(ours, {f'expected/{key}': value for key, value in found.items()} | {
            key: value for key, value in arrays.items() if key.endswith('mask')}) <= 1e-4
    assert huggingface_logits.difference(ours, arrays) > 1e-4  # the numbers were rounded


TABLES = {'bert': (bert, dict(types=0), 0), 'roberta': (roberta, {}, 0), 'roberta_late': (roberta, dict(types=0, position_offset=0), 4),
          'bart': (bart, dict(position_offset=0), 0)}


def test_what_runs_have_otherwise_loads_without_a_word_and_says_the_same(tmp_path):
    """No types, other rows before position 0, padding with another id than 1, which is a token in the middle of the text."""
    expected, rng = {}, np.random.default_rng(0)
    for name, (family, changed, pad) in TABLES.items():
        small = dict(layers=2, dim=16, heads=2, vocab_size=50, max_length=24)
        module = task_model.Model(model_config.Config(**{**family.SIZES['base'], **small, **changed}))
        variables = {'params': jax.tree.map(lambda leaf: np.float32(0.2 * rng.normal(size=leaf.shape)), huggingface.abstract(module))}
        arrays = {'input_ids': rng.integers(5, 50, (2, 20))}
        arrays['input_ids'][:, (3, 8)] = 1
        if family is bart:
            arrays['decoder_input_ids'] = arrays['input_ids'][:, :9]
        (tmp_path / name).mkdir()
        ids = {f'{role}_token_id': 2 for role in ('bos', 'eos', 'decoder_start', 'forced_eos')}
        huggingface.save(tmp_path / name, module, variables, more={**ids, 'pad_token_id': pad})
        np.savez(tmp_path / name / 'inputs.npz', **arrays)
        expected[name] = huggingface_logits.says(module, variables, {**arrays, 'expected/logits': None})['logits']
    for said in map(json.loads, peers('logits.py', *(tmp_path / name for name in TABLES)).splitlines()):
        loads_without_a_word(said)
    for name, ours in expected.items():
        with np.load(tmp_path / name / 'logits.npz') as found:
            assert np.abs(found['logits'] - ours).max() <= 1e-4, name
