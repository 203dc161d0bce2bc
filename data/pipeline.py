"""From (objective, source, seed) to batches: the order of the data as a pure function of the examples seen.

Example i of a run is row `index` of the plan of epoch i // n, where n is the number of examples of epoch 0 and `index`
a permutation of i % n computed without memory (Grain's index shuffle); it is made with the generator of (seed, epoch,
index). So the position of the data is one integer, and hosts, rows, threads and prefetch only decide who makes what
when. Grain's MapDataset runs over batches, not examples: its bookkeeping is paid once a batch.

A plan of another length than epoch 0's: rows past n are not seen in that epoch, missing ones are its first rows again.
"""
import functools
import sys
import threading

import numpy as np

from data import errors, example, shuffle as shuffles

_ENDLESS = 2**62
_planning = threading.Lock()


class ExampleError(RuntimeError):
    """An example could not be made; the message says which one, the cause says why."""


def size(objective, source, seed):
    """Examples in an epoch; DataError when there is none."""
    n = len(plan(objective, source, seed, 0))
    if not n:
        raise errors.DataError('expected at least one token of text, got none; look at data.train, data.eval and '
                               'data.eval_fraction')
    return n


def plan(objective, source, seed, epoch):
    """The objective's plan, remembered for the last few epochs."""
    with _planning:
        return _plan(objective, source, seed, epoch)


def place(objective, source, seed, position, shuffle=True):
    """(epoch, index) of the example at `position`; without shuffle every pass keeps the plan's order."""
    return _place(size(objective, source, seed), seed, position, shuffle)


def make(objective, source, seed, epoch, index):
    """Example `index` of an epoch: {field: array}. ExampleError with epoch, index and plan row if that fails."""
    row = None
    try:
        rows = plan(objective, source, seed, epoch)
        row = rows[index % len(rows)]
        fields = objective.transform(source, row, example.rng(seed, epoch, index))
        return {**fields, 'index': index}
    except Exception as error:
        kind = errors.DataError if isinstance(error, errors.DataError) else ExampleError
        raise kind(f'example {index} of epoch {epoch} (plan row {None if row is None else row.tolist()}): '
                   f'{type(error).__name__}: {error}') from error


def batches(objective, source, *, seed, batch_size, start=0, stop=None, rows=None, shuffle=True, epochs=None, threads=2,
            prefetch=4, pad_last=False):
    """Iterator of batches, dicts of numpy arrays [len(rows), ...]; close it (or drop it) to stop its threads.

    start, stop: examples seen at the first batch and at the end. rows: which rows of each global batch of `batch_size`
    to make, None = all. epochs: passes over the data at most, may be fractional; None = endless unless `stop` says.
    A last batch that is not full is dropped, or with pad_last filled with rows of weight 0 and index -1.
    threads = 0 makes batches in the calling thread when asked.
    """
    from grain import MapDataset, ReadOptions  # here, not above: grain imports jax
    n = size(objective, source, seed)
    ends = [end for end in (stop, None if epochs is None else int(round(epochs * n))) if end is not None]
    end = min(ends) if ends else _ENDLESS
    rows = np.arange(batch_size) if rows is None else np.asarray(rows, np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < batch_size:
        raise ValueError(f'rows must lie in 0..{batch_size - 1}, got {rows.min()}..{rows.max()}')
    count = -(-max(0, end - start) // batch_size) if pad_last else max(0, end - start) // batch_size
    stopping, workers = threading.Event(), set()

    def batch(number):
        workers.add(threading.current_thread())
        out = {}
        for at, row in enumerate(rows.tolist()):
            if stopping.is_set():
                return out
            position = start + number * batch_size + row
            if position < end:
                fields = make(objective, source, seed, *_place(n, seed, position, shuffle))
            else:
                fields = example.empty(make(objective, source, seed, 0, 0), source.special.pad)
            if not out:
                out = example.allocate(fields, len(rows))
            example.put(out, at, fields)
        return out

    options = ReadOptions(num_threads=threads, prefetch_buffer_size=max(prefetch, threads) if threads else 0)
    return _stream(MapDataset.range(count).map(batch).to_iter_dataset(options), stopping, workers)


def _stream(dataset, stopping, workers):
    """The dataset's elements; when closed, its threads are asked to stop and waited for."""
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        stopping.set()
        iterator.close()
        for worker in workers - {threading.current_thread()}:
            worker.join(timeout=5)


def _place(n, seed, position, shuffle):
    epoch, index = divmod(int(position), n)
    if not shuffle:
        return epoch, index
    return epoch, _index_shuffle()(index, max_index=n - 1, seed=_shuffle_seed(seed, epoch), rounds=4)


def _index_shuffle():
    """Grain's, where Grain is imported anyway; the same in Python for commands that only look at examples."""
    if 'grain' not in sys.modules:
        return shuffles.index_shuffle
    from grain import experimental
    return experimental.index_shuffle


@functools.lru_cache(maxsize=4)
def _plan(objective, source, seed, epoch):
    return objective.plan(source, seed, epoch)


@functools.lru_cache(maxsize=16)
def _shuffle_seed(seed, epoch):
    return int(np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1)[0])
