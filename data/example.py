"""The batch contract: which fields an example has, and the integers of the attention rule.

An example is a dict of unstacked numpy arrays, a batch the same with a leading B; `labels` is a dict {head: array} in it.
A query attends to a key iff `seen[key] <= sees[query]` and both lie in the same segment, so causal, bidirectional and prefix
attention differ only in two integers a token. Padding has segment 0, sees -1 and seen NEVER_SEEN: it sees nothing and
nothing sees it, whatever the segments say.

Randomness is a function of (seed, epoch, index): `rng` keys a Philox generator (Salmon et al. 2011) with the three.
"""
import functools

import numpy as np

NEVER_SEEN = 2**30

SIDE = ('tokens', 'positions', 'segments', 'sees', 'seen')
FIELDS = {
    'tokens': np.int32, 'targets': np.int32, 'weights': np.float32, 'slots': np.int32,
    'positions': np.int32, 'segments': np.int32, 'types': np.int32, 'sees': np.int32, 'seen': np.int32,
    **{'encoder_' + name: np.int32 for name in SIDE},
    'labels': np.int32, 'index': np.int64, 'task': np.int32,
}
HOST = ('index',)                             # which example a row was; the model is not given it
# What a field holds where there is nothing; tokens and targets hold the tokenizer's pad id.
PADDING = {'sees': -1, 'seen': NEVER_SEEN, 'encoder_sees': -1, 'encoder_seen': NEVER_SEEN, 'index': -1}

_MASK = 2**64 - 1


def rng(seed, epoch, index):
    """The generator of one example: independent of every other (seed, epoch, index), cheap to make.

    Seed and epoch are Philox's key, the index the top word of its counter, so streams cannot overlap. Integers are
    taken modulo 2**64; index -1 is what plans of a whole epoch use.
    """
    key = np.array([seed & _MASK, epoch & _MASK], np.uint64)
    counter = np.array([0, 0, 0, index & _MASK], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def causal(lengths, size):
    """Places of a row of `size` tokens made of segments of these lengths: each token sees itself and what came before.

    Returns {positions, segments, sees, seen}, int32[size] each (possibly shared and read-only). Positions restart at
    0 in each segment, segments count from 1, what is left of the row is padding.
    """
    return _places('causal', tuple(lengths), size)


def bidirectional(lengths, size):
    """As `causal`, but each token sees all of its own segment."""
    return _places('bidirectional', tuple(lengths), size)


def prefix(lengths, prefixes, size):
    """As `causal`, but the first `prefixes[i]` input positions (BOS included) of segment i see one another too."""
    places = dict(_places('causal', tuple(lengths), size))
    total = sum(lengths)
    reach = np.repeat(np.asarray(prefixes, np.int32) - 1, lengths)
    for name in ('sees', 'seen'):
        places[name] = places[name].copy()
        np.maximum(places[name][:total], reach, out=places[name][:total])
    return places


def encoder(fields):
    """The same fields, named as the source side of an encoder-decoder."""
    return {'encoder_' + name: value for name, value in fields.items()}


def padded(values, size, fill, end=None):
    """int32[size]: `values`, then `end` (EOS) if given, then `fill`."""
    row, count = np.empty(size, np.int32), len(values)
    row[:count] = values
    row[count:] = fill
    if end is not None:
        row[count] = end
    return row


def given(batch):
    """The fields of a batch that the model is given."""
    return {name: value for name, value in batch.items() if name not in HOST}


def before(values, end):
    """The ids before the first `end`."""
    found = np.flatnonzero(values == end)
    return values[:found[0]] if len(found) else values


def shifted(targets, lengths, bos):
    """Decoder input: `targets` moved one to the right, `bos` at the first token of each segment of these lengths."""
    tokens = np.empty_like(targets)
    tokens[1:] = targets[:-1]
    start = 0
    for length in lengths:
        tokens[start] = bos
        start += length
    tokens[start:] = targets[start:]
    return tokens


def weights(count, size):
    """float32[size]: 1 for the first `count`, then 0. Shared and read-only."""
    return _weights(count, size)


def stack(examples):
    """Batch of a list of examples: the same fields with a leading B, in the types of FIELDS."""
    batch = allocate(examples[0], len(examples))
    for row, one in enumerate(examples):
        put(batch, row, one)
    return batch


def allocate(like, rows):
    """An unfilled batch of examples shaped as `like`, to be `put` there one by one."""
    return _each(like, lambda name, value: np.empty((rows, *np.shape(value)), FIELDS[name]))


def put(batch, row, fields):
    """Writes an example into a row of a batch."""
    for name, value in fields.items():
        if isinstance(value, dict):
            put(batch[name], row, value)
        else:
            batch[name][row] = value


def empty(like, pad=0):
    """An example shaped as `like` that counts for nothing: all padding, every weight 0, index -1."""
    fill = {**PADDING, 'tokens': pad, 'targets': pad, 'encoder_tokens': pad}
    return _each(like, lambda name, value: np.full(np.shape(value), fill.get(name, 0), FIELDS[name]))


def _each(fields, make):
    """The fields with every array replaced by make(field, array); a dict of labels has one field's name."""
    return {name: {head: make(name, label) for head, label in value.items()} if isinstance(value, dict) else make(name, value)
            for name, value in fields.items()}


@functools.lru_cache(maxsize=256)
def _places(kind, lengths, size):
    total = sum(lengths)
    if total > size or min(lengths, default=1) < 1:
        raise ValueError(f'segments of lengths {lengths} do not fit a row of {size} tokens')
    counts = np.array(lengths, np.int64)
    segments = np.zeros(size, np.int32)
    segments[:total] = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), counts)
    positions = np.zeros(size, np.int32)
    positions[:total] = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    sees, seen = np.full(size, -1, np.int32), np.full(size, NEVER_SEEN, np.int32)
    sees[:total] = seen[:total] = positions[:total] if kind == 'causal' else 0
    return _frozen({'positions': positions, 'segments': segments, 'sees': sees, 'seen': seen})


@functools.lru_cache(maxsize=256)
def _weights(count, size):
    row = np.zeros(size, np.float32)
    row[:count] = 1
    return _frozen({'weights': row})['weights']


def _frozen(fields):
    for value in fields.values():
        value.flags.writeable = False
    return fields
