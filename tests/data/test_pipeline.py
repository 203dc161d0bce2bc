"""The order of the data: the same batches from any number of hosts and threads, a position that is one integer, errors with the place.

Every hash is of whole examples, so a difference in any field of any row is seen.
"""
import dataclasses
import hashlib
import itertools
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from data import errors, example, objectives, pipeline, special_tokens
from data.rows import drawing
from data.text import cache

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPECIAL = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(999, 744), vocab_size=1000)
LENGTHS = {'causal_lm': 32, 'masked_lm': 32, 'span_corruption': 32}


def corpus(seed=0, documents=60, longest=120):
    draw = np.random.default_rng(seed)
    return cache.Tokens.from_arrays([draw.integers(5, 744, n) for n in draw.integers(1, longest, documents)], SPECIAL)


def objective(name):
    return objectives.load(name)(sequence_length=LENGTHS[name])


def digest(batch):
    """One hash a row, over every field."""
    return [hashlib.sha256(b''.join(name.encode() + batch[name][i].tobytes() for name in sorted(batch))).hexdigest()
            for i in range(len(batch['index']))]


def hashes(*args, **kwargs):
    """[rows of batch 0, rows of batch 1, ...]."""
    return [digest(batch) for batch in pipeline.batches(*args, **kwargs)]


@dataclasses.dataclass(frozen=True)
class Counting:
    """A plan that is the identity; its length may depend on the epoch, and a row may be bad."""
    lengths_by_epoch: tuple = (10,)
    bad: int = -1
    slow: float = 0.0

    def plan(self, source, seed, epoch):
        return np.arange(self.lengths_by_epoch[epoch % len(self.lengths_by_epoch)])[:, None] + 100 * epoch

    def transform(self, source, row, rng):
        time.sleep(self.slow)
        if row[0] == self.bad:
            raise ValueError('no such token')
        return {'tokens': np.array([row[0], rng.integers(2**31)]), 'weights': np.ones(2)}


@pytest.fixture(scope='module')
def source():
    return corpus()


@pytest.mark.parametrize('name', LENGTHS)
def test_fields_shapes_and_types(name, source):
    batch = next(pipeline.batches(objective(name), source, seed=0, batch_size=4))
    sizes = objective(name).lengths()
    assert {'tokens', 'targets', 'weights', 'positions', 'segments', 'sees', 'seen', 'index'} <= set(batch)
    for field, value in batch.items():
        size = sizes['encoder_tokens'] if field.startswith('encoder_') else sizes[field if field in sizes else 'tokens']
        size = sizes['targets'] if field == 'weights' else size
        assert value.shape == ((4,) if field == 'index' else (4, size))
        assert value.dtype == example.FIELDS[field] and value.flags.writeable and value.flags.c_contiguous


@pytest.mark.parametrize('name', LENGTHS)
def test_batches_are_the_transform_of_the_plan(name, source):
    one = objective(name)
    n, position = pipeline.size(one, source, 3), 0
    for batch in itertools.islice(pipeline.batches(one, source, seed=3, batch_size=5), 2 * n // 5):
        for i in range(5):
            (epoch,), (index,) = (part.tolist() for part in pipeline.epochs_and_indices(n, 3, [position]))
            fields = one.transform(source, one.plan(source, 3, epoch)[index], example.rng(3, epoch, index))
            assert epoch == position // n and index == batch['index'][i] and set(batch) == {*fields, 'index'}
            assert all((batch[field][i] == value).all() for field, value in fields.items())
            position += 1


@pytest.mark.parametrize('name', LENGTHS)
@pytest.mark.parametrize('threads, prefetch', [(0, 0), (0, 4), (1, 1), (2, 4), (5, 2), (8, 16)])
def test_any_threads_and_prefetch(name, threads, prefetch, source):
    key = dict(seed=1, batch_size=6, stop=120)
    got = hashes(objective(name), source, **key, threads=threads, prefetch=prefetch)
    assert got == hashes(objective(name), source, **key)


@pytest.mark.parametrize('name', LENGTHS)
def test_any_hosts(name, source):
    """Every split of the 6 rows over 1, 2, 3, 6 hosts, in blocks or interleaved, and any subset in any order."""
    key = dict(seed=1, batch_size=6, stop=60)
    whole = hashes(objective(name), source, **key)
    subsets = [range(host * 6 // hosts, (host + 1) * 6 // hosts) for hosts in (1, 2, 3, 6) for host in range(hosts)]
    subsets += [range(host, 6, hosts) for hosts in (2, 3) for host in range(hosts)] + [(5, 0, 2), (3, 3), ()]
    for rows in subsets:
        part = hashes(objective(name), source, **key, rows=rows) if rows else [[]] * 10
        assert part == [[batch[row] for row in rows] for batch in whole]


@pytest.mark.parametrize('name', LENGTHS)
def test_resume_at_every_position(name, source):
    """Through two epochs, whether or not the position is a multiple of the batch size."""
    one = objective(name)
    n = pipeline.size(one, source, 1)
    whole = sum(hashes(one, source, seed=1, batch_size=1, stop=2 * n + 7), [])
    assert len(whole) == 2 * n + 7
    for start in range(0, 2 * n, 3):
        got = sum(hashes(one, source, seed=1, batch_size=3, start=start, stop=start + 6, threads=start % 3), [])
        assert got == whole[start:start + 6]


@pytest.mark.parametrize('name', LENGTHS)
def test_every_example_once_an_epoch_in_another_order(name, source):
    one = objective(name)
    n = pipeline.size(one, source, 0)
    index = np.concatenate([batch['index'] for batch in pipeline.batches(one, source, seed=0, batch_size=1, stop=3 * n)])
    epochs = index.reshape(3, n)
    assert (np.sort(epochs) == np.arange(n)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3 and (epochs != np.arange(n)).any(1).all()


@pytest.mark.parametrize('name', LENGTHS)
def test_seeds_differ_and_equal_sources_agree(name, source):
    key = dict(batch_size=4, stop=40)
    assert hashes(objective(name), source, seed=0, **key) == hashes(objective(name), corpus(), seed=0, **key)
    assert hashes(objective(name), source, seed=0, **key) != hashes(objective(name), source, seed=1, **key)
    for seed in (-1, 2**70):
        assert len(hashes(objective(name), source, seed=seed, **key)) == 10


GOLDEN = {'causal_lm': 'ead3b10e1efb2acb', 'masked_lm': 'bc41c37ff2101839', 'span_corruption': '65e08d8c20a1aabb'}


@pytest.mark.parametrize('name', LENGTHS)
def test_order_is_the_same_in_every_version(name, source):
    """A change of these hashes changes every run that is resumed: do it on purpose, with a line in the changelog."""
    rows = sum(hashes(objective(name), source, seed=7, batch_size=8, stop=200), [])
    assert hashlib.sha256(''.join(rows).encode()).hexdigest()[:16] == GOLDEN[name]


def test_labels_travel_with_their_rows(source):
    """A pair's label stays with its tokens, whoever makes the row; rows of padding have label 0 and no segment."""
    one = objectives.load('masked_lm')(32, inputs='next_sentence', masks=2)
    n = pipeline.size(one, source, 0)
    key = dict(seed=0, table=drawing.everything(n, 8).rows)
    batches = list(pipeline.chosen(one, source, **key))
    rows = pipeline.plan(one, source, 0, 0)
    labels = np.concatenate([batch['labels']['next_sentence'] for batch in batches])
    assert labels.dtype == np.int32 and labels[:n].tolist() == (rows[:, 4] != 0).astype(int).tolist() and not labels[n:].any()
    assert all(batch['types'].shape == (8, 32) for batch in batches) and not batches[-1]['segments'][n % 8 or 8:].any()
    host = list(pipeline.chosen(one, source, **key, rows=[6, 1]))
    assert all((a['labels']['next_sentence'] == b['labels']['next_sentence'][[6, 1]]).all() for a, b in zip(host, batches))


def test_start_stop_and_last_batches():
    one, source = Counting(), corpus()
    count = lambda **key: [len(b['index']) for b in pipeline.batches(one, source, seed=0, batch_size=4, **key)]
    assert count(stop=10) == [4, 4] == count(stop=8) and count(stop=12) == [4] * 3
    assert count(start=4, stop=8) == [4] and count(start=9, stop=8) == [] == count(start=8, stop=8)
    endless = pipeline.batches(one, source, seed=0, batch_size=4, start=10**12)
    assert next(endless)['index'].shape == (4,)
    endless.close()


def test_evaluation_is_the_plan_in_order_with_a_padded_end():
    one, source = Counting(), corpus()
    key = dict(seed=0, table=drawing.everything(10, 4).rows)
    batches = list(pipeline.chosen(one, source, **key))
    assert [b['index'].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]]
    assert batches[-1]['weights'].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    assert (batches[-1]['tokens'][2:] == SPECIAL.pad).all()
    again = list(pipeline.batches(one, source, seed=0, batch_size=4, stop=20, shuffle=False))  # the order stays, not the corruption
    assert again[2]['index'].tolist() == [8, 9, 0, 1] and (again[0]['tokens'] == batches[0]['tokens']).all()
    host = list(pipeline.chosen(one, source, rows=[2, 3], **key))  # a process whose rows are all padding
    assert host[-1]['index'].tolist() == [-1, -1] and not host[-1]['weights'].any()


@pytest.mark.parametrize('name', LENGTHS)
def test_padding_rows_of_objectives_see_and_say_nothing(name, source):
    n = pipeline.size(objective(name), source, 0)
    last, = pipeline.chosen(objective(name), source, seed=0, table=drawing.everything(n, n + 2).rows)
    for row in (-1, -2):
        assert last['index'][row] == -1 and not last['weights'][row].any() and not last['segments'][row].any()
        assert (last['sees'][row] == -1).all() and (last['seen'][row] == example.NEVER_SEEN).all()
        assert (last['targets'][row] == SPECIAL.pad).all()


def test_plans_of_unequal_length():
    """Epoch 0 has 6 examples; an epoch of 8 leaves its last two out, one of 4 shows its first two again."""
    one, source = Counting((6, 8, 4)), corpus()
    tokens = np.concatenate([b['tokens'][:, 0] for b in pipeline.batches(one, source, seed=0, batch_size=2, stop=18)])
    epochs = np.sort(tokens.reshape(3, 6))
    assert epochs.tolist() == [[0, 1, 2, 3, 4, 5], [100, 101, 102, 103, 104, 105], [200, 200, 201, 201, 202, 203]]
    assert pipeline.size(one, source, 0) == 6


def pipeline_threads():
    return [t for t in threading.enumerate() if t.name.startswith('pipeline') and t.is_alive()]


def test_threads_end_when_the_iterator_does():
    before = threading.active_count()
    stream = pipeline.batches(Counting(slow=0.01), corpus(), seed=0, batch_size=50, threads=3)
    next(stream)
    assert pipeline_threads()
    stream.close()
    assert not pipeline_threads()
    for _ in pipeline.batches(Counting(), corpus(), seed=0, batch_size=5, stop=50, threads=3):
        pass
    assert not pipeline_threads()
    dropped = pipeline.batches(Counting(), corpus(), seed=0, batch_size=5, threads=3)
    next(dropped)
    del dropped
    assert not pipeline_threads() and threading.active_count() <= before


@pytest.mark.parametrize('threads', [0, 2])
def test_errors_say_which_example(threads):
    stream = pipeline.batches(Counting(bad=107), corpus(), seed=0, batch_size=2, threads=threads)
    with pytest.raises(pipeline.ExampleError) as caught:
        for _ in range(20):
            next(stream)
    assert str(caught.value) == 'example 7 of epoch 1 (plan row [107]): ValueError: no such token'
    assert isinstance(caught.value.__cause__, ValueError)
    assert not pipeline_threads()


def test_bad_data_stays_bad_data():
    class Damaged(Counting):
        def transform(self, source, row, rng):
            raise errors.DataError('shard 3: expected 10 bytes, got 9')
    with pytest.raises(errors.DataError, match=r'^example \d of epoch 0 .*: DataError: shard 3: expected 10 bytes, got 9'):
        next(pipeline.batches(Damaged(), corpus(), seed=0, batch_size=2))


def test_errors_of_the_plan_and_of_arguments():
    class Broken(Counting):
        def plan(self, source, seed, epoch):
            raise OSError('disk')
    with pytest.raises(OSError, match='disk'):
        next(pipeline.batches(Broken(), corpus(), seed=0, batch_size=2))
    with pytest.raises(errors.DataError, match='expected at least one token of text, got none; look at data.train'):
        pipeline.batches(Counting((0,)), corpus(), seed=0, batch_size=2)
    with pytest.raises(ValueError, match=r'rows must lie in 0..3, got 0..4'):
        pipeline.batches(Counting(), corpus(), seed=0, batch_size=4, rows=[0, 4])


def test_plans_are_made_once():
    calls = []

    class Recording(Counting):
        def plan(self, source, seed, epoch):
            calls.append(epoch)
            return super().plan(source, seed, epoch)
    list(pipeline.batches(Recording(), corpus(), seed=0, batch_size=2, stop=40, threads=4, prefetch=8))
    assert sorted(calls) == [0, 1, 2, 3]


def test_data_needs_no_jax():
    """Every module of data/ imports without JAX."""
    files = [path for path in (ROOT / 'data').rglob('*.py') if 'corpora' not in path.parts]
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__') for path in files]
    assert {'data.pipeline', 'data.example', 'data.objectives.causal_lm'} <= set(names)
    code = f'import importlib, sys\nfor name in {sorted(names)}: importlib.import_module(name)\n' \
           'print([m for m in ("jax", "flax", "tensorflow") if m in sys.modules])'
    found = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.stdout.strip() == '[]', found.stdout + found.stderr


def test_objective_names():
    assert {'causal_lm', 'masked_lm', 'span_corruption'} <= set(objectives.names())
    with pytest.raises(ValueError, match=r'no such objective. Did you mean causal_lm\? There are: .*causal_lm, '):
        objectives.load('casual_lm')
    with pytest.raises(ValueError, match='no such objective. There are: '):
        objectives.load('../secrets')
    for name in objectives.names():
        one = objectives.load(name)()
        assert dataclasses.fields(one)[0].name == 'sequence_length'
        assert one.hint.order in objectives.ORDERS and one.hint.segments in objectives.SEGMENTS
        assert set(one.architectures) <= {'decoder', 'encoder', 'encoder_decoder'}
