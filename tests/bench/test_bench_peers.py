"""Both sides of each comparison train the same model on the same batch (make test-all). PEERS names a Python with torch."""
import math
import os

import pytest

from bench import cases, gpu, processes
from tests.bench import test_cases
from tests.helpers import subprocesses

PEERS = os.environ.get('PEERS')
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PEERS, reason='PEERS does not name a Python with torch (make test-all does)')]
FLAGS = '--warmup=0', '--steps=1'


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    """The processes of a test have one device, not the eight of tests/conftest.py."""
    monkeypatch.setenv('XLA_FLAGS', subprocesses.environment()['XLA_FLAGS'])


@pytest.mark.parametrize('family, dropout', [*((family, 0.0) for family in cases.FAMILIES), ('bert', 0.1)])
def test_both_sides_have_the_same_parameters_and_begin_at_chance(family, dropout):
    case = cases.Case(family, **test_cases.TINY, dropout=dropout)
    here = processes.train_here(case, *FLAGS)
    there = processes.train_peer(PEERS, case, *FLAGS)
    assert here['parameters'] == there['parameters'] and here['batch'] == there['batch'] == case.batch
    chance = math.log(case.vocab) + (50 * math.log(2) if 'types' in cases.batch(cases.config(case)) else 0)  # ELECTRA's discriminator
    for side in (here, there):
        assert side['loss'] == pytest.approx(chance, rel=0.15)  # T5's first logits have variance 1, which adds 1/2


def test_generation_has_the_same_parameters():
    flag = f"--case={cases.Case('gpt2', **test_cases.TINY).json()}"
    flags = flag, *gpu.SMALL.decode
    here, there = processes.here('decode', *flags), processes.peer(PEERS, 'decode', *flags)
    assert [one['parameters'] for one in here] == [one['parameters'] for one in there]
    assert [one['rows'] for one in here] == [one['rows'] for one in there] == [1, 2]


def test_every_section_of_the_table_for_gpus_has_both_sides():
    rows = list(gpu.measure(gpu.Bench(gpu.SMALL, PEERS, '', 1e12), gpu.SECTIONS))
    assert {row['section'] for row in rows} == {section.__name__ for section in gpu.SECTIONS}
    for row in rows:
        if row.get('section') != 'attention' or 'here' in row:  # an implementation that a CPU does not have says so
            assert row['ratio'] > 0 and 'note' not in row, row
