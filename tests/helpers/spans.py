"""The inverse of span corruption."""
import numpy as np


def merge(inputs, targets, special):
    """The tokens before corruption, from the inputs and targets of `sentinels` (without EOS and padding)."""
    text, noise = _runs(inputs, special), _runs(targets, special)
    parts = [None] * (len(text) + len(noise))
    parts[0::2], parts[1::2] = (noise, text) if len(inputs) and special.is_sentinel(inputs[0]) else (text, noise)
    return np.concatenate(parts or [np.zeros(0)]).astype(np.int32)


def _runs(ids, special):
    """The parts of `ids` between sentinels."""
    ids = np.asarray(ids)
    marks = np.flatnonzero(special.is_sentinel(ids))
    runs = [ids[begin:end] for begin, end in zip([0, *(marks + 1)], [*marks, len(ids)])]
    return [run for run in runs if len(run)]
