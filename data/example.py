"""The batch contract: which fields an example has, and the integers of the attention rule.

An example is a dict of unstacked numpy arrays, a batch the same with a leading B; `labels` is a dict {head: array} in it. A query attends
to a key iff `seen[key] <= sees[query]` and both are in the same segment, so causal, bidirectional and prefix attention differ only in two
integers a token. Padding has segment 0, sees -1 and seen NEVER_SEEN: it sees nothing and nothing sees it, whatever the segments are.
"""
import functools
from typing import Any, Callable, Sequence

import numpy as np

NEVER_SEEN = 2**30

SIDE = ('tokens', 'positions', 'segments', 'sees', 'seen')  # the fields of an encoder, named encoder_* beside a decoder's
FIELDS = {
    'tokens': np.int32, 'targets': np.int32, 'weights': np.float32, 'slots': np.int32,
    'positions': np.int32, 'segments': np.int32, 'types': np.int32, 'sees': np.int32, 'seen': np.int32,
    **{'encoder_' + name: np.int32 for name in SIDE},
    'labels': np.int32, 'index': np.int64, 'task': np.int32,
}
HOST = ('index',)                             # the number of the example; not an input of the model
# What a field contains where there is nothing; tokens and targets contain the tokenizer's pad id.
PADDING = {'sees': -1, 'seen': NEVER_SEEN, 'encoder_sees': -1, 'encoder_seen': NEVER_SEEN, 'index': -1}

_MASK = 2**64 - 1
Fields = dict[str, Any]                       # {field: array, or dict of labels}


def rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of one example, a Philox stream (Salmon et al. 2011) independent of every other (seed, epoch, index).

    Seed and epoch are Philox's key, the index the top word of its counter, so streams cannot overlap. Integers are taken modulo 2**64;
    plans of a whole epoch use index -1.
    """
    key = np.array([seed & _MASK, epoch & _MASK], np.uint64)
    counter = np.array([0, 0, 0, index & _MASK], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def causal(lengths: Sequence[int], size: int) -> Fields:
    """{positions, segments, sees, seen}, int32[size] each, of a row of segments of these lengths, in which no token sees later ones.
    Positions restart at 0 in each segment, segments count from 1, the rest of the row is padding. The arrays are shared and read-only."""
    return _integers('causal', tuple(lengths), size)


def bidirectional(lengths: Sequence[int], size: int) -> Fields:
    """As `causal`, but each token sees all of its own segment."""
    return _integers('bidirectional', tuple(lengths), size)


def prefix(lengths: Sequence[int], prefixes: Sequence[int], size: int) -> Fields:
    """As `causal`, but the first `prefixes[i]` input positions (BOS included) of segment i see one another too."""
    fields, total = dict(causal(lengths, size)), sum(lengths)
    reach = np.repeat(np.asarray(prefixes, np.int32) - 1, lengths)
    for name in ('sees', 'seen'):
        fields[name] = np.concatenate([np.maximum(fields[name][:total], reach), fields[name][total:]])
    return fields


def encoder(fields: Fields) -> Fields:
    """The same fields, named as those of the encoder of an encoder-decoder."""
    return {'encoder_' + name: value for name, value in fields.items()}


def padded(values: np.ndarray, size: int, fill: int, end: int | None = None) -> np.ndarray:
    """int32[size]: `values`, then `end` (EOS) if given, then `fill`."""
    row, count = np.empty(size, np.int32), len(values)
    row[:count], row[count:] = values, fill
    if end is not None:
        row[count] = end
    return row


def predicted(tokens: np.ndarray, at: np.ndarray, slots: int, pad: int) -> Fields:
    """{targets, slots, weights}, [slots] each: the tokens at these positions of a row must be predicted there; unused slots are 0."""
    return {'targets': padded(tokens[at], slots, pad), 'slots': padded(at, slots, 0), 'weights': weights(len(at), slots)}


def given(batch: Fields) -> Fields:
    """The fields of a batch that are inputs of the model."""
    return {name: value for name, value in batch.items() if name not in HOST}


def before(values: np.ndarray, end: int) -> np.ndarray:
    """The ids before the first `end`."""
    found = np.flatnonzero(values == end)
    return values[:found[0]] if len(found) else values


def shifted(targets: np.ndarray, lengths: Sequence[int], bos: int) -> np.ndarray:
    """Decoder input: `targets` moved one to the right, `bos` at the first token of each segment of these lengths."""
    tokens, start = np.empty_like(targets), 0
    tokens[1:] = targets[:-1]
    for length in lengths:
        tokens[start] = bos
        start += length
    tokens[start:] = targets[start:]
    return tokens


@functools.lru_cache(maxsize=256)
def weights(count: int, size: int) -> np.ndarray:
    """float32[size]: 1 for the first `count`, then 0. Shared and read-only."""
    return _read_only((np.arange(size) < count).astype(np.float32))


def stack(examples: list[Fields]) -> Fields:
    """Batch of a list of examples: the same fields with a leading B, in the types of FIELDS."""
    batch = allocate(examples[0], len(examples))
    for row, one in enumerate(examples):
        put(batch, row, one)
    return batch


def allocate(like: Fields, rows: int) -> Fields:
    """An uninitialised batch of examples shaped as `like`, for `put`."""
    return _each(like, lambda name, value: np.empty((rows, *np.shape(value)), FIELDS[name]))


def put(batch: Fields, row: int, fields: Fields) -> None:
    """Writes an example into a row of a batch."""
    for name, value in fields.items():
        if isinstance(value, dict):
            put(batch[name], row, value)
        else:
            batch[name][row] = value


def empty(like: Fields, pad: int = 0) -> Fields:
    """An example shaped as `like` that counts for nothing: all padding, every weight 0, index -1."""
    fill = {**PADDING, 'tokens': pad, 'targets': pad, 'encoder_tokens': pad}
    return _each(like, lambda name, value: np.full(np.shape(value), fill.get(name, 0), FIELDS[name]))


def _each(fields: Fields, make: Callable) -> Fields:
    """The fields with every array replaced by make(field, array); arrays of labels have the field `labels`."""
    return {name: {head: make(name, label) for head, label in value.items()} if isinstance(value, dict) else make(name, value)
            for name, value in fields.items()}


@functools.lru_cache(maxsize=256)
def _integers(kind, lengths, size):
    total = sum(lengths)
    if total > size or min(lengths, default=1) < 1:
        raise ValueError(f'segments of lengths {lengths} do not fit a row of {size} tokens')
    counts = np.array(lengths, np.int64)
    segments, positions = np.zeros(size, np.int32), np.zeros(size, np.int32)
    segments[:total] = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), counts)
    positions[:total] = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    sees, seen = np.full(size, -1, np.int32), np.full(size, NEVER_SEEN, np.int32)
    sees[:total] = seen[:total] = positions[:total] if kind == 'causal' else 0
    return {name: _read_only(value) for name, value in dict(positions=positions, segments=segments, sees=sees, seen=seen).items()}


def _read_only(array):
    array.flags.writeable = False
    return array
