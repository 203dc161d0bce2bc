"""From (objective, source, seed) to batches: the order of the data as a pure function of the examples seen.

Example i of a run is row `index` of the plan of epoch i // n, where n is the number of examples of epoch 0 and `index`
a permutation of i % n that is computed, not stored (data/shuffle.py); it is made with the generator of (seed, epoch, index).
So the position of the data is one integer, and hosts, rows, threads and prefetch only decide who makes what when.

A plan of another length than epoch 0's: rows past n are not seen in that epoch, missing ones are its first rows again.
"""
import collections
from concurrent import futures
import functools
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
    epochs, indices = _places(size(objective, source, seed), seed, np.array([position]), shuffle)
    return int(epochs[0]), int(indices[0])


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
    n = size(objective, source, seed)
    ends = [end for end in (stop, None if epochs is None else int(round(epochs * n))) if end is not None]
    end = min(ends) if ends else _ENDLESS
    rows = np.arange(batch_size) if rows is None else np.asarray(rows, np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < batch_size:
        raise ValueError(f'rows must lie in 0..{batch_size - 1}, got {rows.min()}..{rows.max()}')
    count = -(-max(0, end - start) // batch_size) if pad_last else max(0, end - start) // batch_size
    stopping = threading.Event()

    def batch(number):
        out, positions = {}, start + number * batch_size + rows
        for at, (position, *which) in enumerate(zip(positions.tolist(), *(p.tolist() for p in _places(n, seed, positions, shuffle)))):
            if stopping.is_set():
                return out
            if position < end:
                fields = make(objective, source, seed, *which)
            else:
                fields = example.empty(make(objective, source, seed, 0, 0), source.special.pad)
            if not out:
                out = example.allocate(fields, len(rows))
            example.put(out, at, fields)
        return out

    return _ahead(batch, count, threads, max(prefetch, threads), stopping)


def _ahead(function, count, threads, prefetch, stopping):
    """function(0), ..., function(count - 1) in order, made by `threads` up to `prefetch` calls ahead of whoever reads them."""
    if not threads:
        yield from map(function, range(count))
        return
    pool, pending = futures.ThreadPoolExecutor(threads, thread_name_prefix='pipeline'), collections.deque()
    try:
        for number in range(count):
            pending.append(pool.submit(function, number))
            if len(pending) >= prefetch:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)


def _places(n, seed, positions, shuffle):
    """(epochs, indices), int64[k] each, of the examples at int64[k] positions."""
    epochs, indices = np.divmod(positions, n)
    if shuffle:
        for epoch in np.unique(epochs).tolist():
            mine = epochs == epoch
            indices[mine] = shuffles.index_shuffle(indices[mine], max_index=n - 1, seed=_shuffle_seed(seed, epoch))
    return epochs, indices


@functools.lru_cache(maxsize=4)
def _plan(objective, source, seed, epoch):
    return objective.plan(source, seed, epoch)


@functools.lru_cache(maxsize=16)
def _shuffle_seed(seed, epoch):
    return int(np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1)[0])
