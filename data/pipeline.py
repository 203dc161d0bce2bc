"""From (objective, source, seed) to batches: the order of the data as a pure function of the examples seen.

Example i of a run is row `index` of the plan of epoch i // n, where n is the number of examples of epoch 0 and `index` is the shuffled
i % n (data/shuffle.py); its random numbers come from the generator of (seed, epoch, index). So the position in the data is one integer;
hosts, rows, threads and prefetch decide only who makes which example when.

Where a plan's length differs from epoch 0's: rows past n are not used in that epoch, missing ones are replaced by its first rows.
"""
import collections
from concurrent import futures
import functools
import threading
from typing import Any, Iterator, Sequence

import numpy as np

from data import errors, example, shuffle as shuffles

_ENDLESS = 2**62
_planning = threading.Lock()


class ExampleError(RuntimeError):
    """An example could not be made; the message names it, the cause is the original error."""


def size(objective: Any, source: Any, seed: int) -> int:
    """Examples in an epoch; DataError when there is none."""
    n = len(plan(objective, source, seed, 0))
    if not n:
        raise errors.DataError('expected at least one token of text, got none; look at data.train, data.eval and data.eval_fraction')
    return n


def plan(objective: Any, source: Any, seed: int, epoch: int) -> np.ndarray:
    """int64[n, k]: the objective's plan, cached for the last few epochs."""
    with _planning:
        return _plan(objective, source, seed, epoch)


def make(objective: Any, source: Any, seed: int, epoch: int, index: int) -> example.Fields:
    """Example `index` of an epoch. ExampleError (DataError for bad data) with epoch, index and plan row if that fails."""
    row = None
    try:
        rows = plan(objective, source, seed, epoch)
        row = rows[index % len(rows)]
        return {**objective.transform(source, row, example.rng(seed, epoch, index)), 'index': index}
    except Exception as error:
        kind = errors.DataError if isinstance(error, errors.DataError) else ExampleError
        raise kind(f'example {index} of epoch {epoch} (plan row {None if row is None else row.tolist()}): '
                   f'{type(error).__name__}: {error}') from error


def batches(objective: Any, source: Any, *, seed: int, batch_size: int, start: int = 0, stop: int | None = None, rows: Any = None,
            shuffle: bool = True, threads: int = 2, prefetch: int = 4) -> Iterator[example.Fields]:
    """Batches, dicts of numpy arrays [len(rows), ...]; close the iterator (or drop it) to stop its threads.

    start, stop: examples seen at the first batch and at the end, None = endless; a last batch that is not full is dropped. rows: which rows
    of each global batch of `batch_size` to make, None = all. threads = 0 makes batches in the calling thread.
    """
    n, rows = size(objective, source, seed), _rows(rows, batch_size)
    count = max(0, (_ENDLESS if stop is None else stop) - start) // batch_size

    def located(number):
        return epochs_and_indices(n, seed, start + number * batch_size + rows, shuffle)

    return _read(objective, source, seed, located, count, threads, prefetch)


def chosen(objective: Any, source: Any, *, seed: int, table: np.ndarray, rows: Any = None, threads: int = 2,
           prefetch: int = 4) -> Iterator[example.Fields]:
    """As `batches`: those of the examples int64[batches, B] of epoch 0; -1 gives a row of weight 0 and index -1."""
    rows = _rows(rows, table.shape[1])

    def located(number):
        return np.zeros_like(rows), table[number, rows]

    return _read(objective, source, seed, located, len(table), threads, prefetch)


def _rows(rows, batch_size):
    rows = np.arange(batch_size) if rows is None else np.asarray(rows, np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < batch_size:
        raise ValueError(f'rows must lie in 0..{batch_size - 1}, got {rows.min()}..{rows.max()}')
    return rows


def _read(objective, source, seed, located, count, threads, prefetch):
    """The batches of the examples (epochs, indices) = located(number of the batch)."""
    stopping = threading.Event()

    def batch(number):
        out, epochs_indices = {}, np.stack(located(number), axis=1).tolist()
        for at, (epoch, index) in enumerate(epochs_indices):
            if stopping.is_set():
                return out
            if index >= 0:
                fields = make(objective, source, seed, epoch, index)
            else:
                fields = example.empty(make(objective, source, seed, 0, 0), source.special.pad)
            if not out:
                out = example.allocate(fields, len(epochs_indices))
            example.put(out, at, fields)
        return out

    return _ahead(batch, count, threads, max(prefetch, threads), stopping)


def _ahead(function, count, threads, prefetch, stopping):
    """function(0), ..., function(count - 1) in order, computed by `threads` up to `prefetch` calls before they are read."""
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


def epochs_and_indices(n: int, seed: int, positions: Sequence[int], shuffle: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(epochs, indices), int64[k] each, of the examples at int64[k] positions; n: `size`. Without shuffle epochs keep the plan's order."""
    epochs, indices = np.divmod(positions, n)
    for epoch in np.unique(epochs).tolist() if shuffle else ():
        mine = epochs == epoch
        key = int(np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1)[0])
        indices[mine] = shuffles.index_shuffle(indices[mine], max_index=n - 1, seed=key)
    return epochs, indices


@functools.lru_cache(maxsize=4)
def _plan(objective, source, seed, epoch):
    return objective.plan(source, seed, epoch)
