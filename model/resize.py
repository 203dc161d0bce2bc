"""Changes the vocabulary size of parameters: kept rows are unchanged, new rows are the mean of the old ones.

With the mean (Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models") a new token is as likely as the
average old one, where a random row may get almost all of the probability. Tables have padding rows after the true vocabulary
(model/config.py); they do not count in the mean, and are zero.
"""
import math
import re
from typing import Any

import numpy as np

from model import config as model_config, paths

AXES = (                                      # (path of a parameter with a row for each token, the axis of the vocabulary)
    (r'(^|/)embed/embedding$', 0),            # [V, E]; tied heads read it too
    (r'(^|/)head/kernel$', 1),                # [D, V] of a head that is not tied
    (r'(^|/)head/bias$', 0),                  # [V] of a head with a bias
)


def rows(path: str, array: Any, before: model_config.Config, after: model_config.Config) -> Any:
    """The parameter at `path` with `after.vocab_size` tokens instead of `before.vocab_size`, as numpy; others unchanged."""
    at = axis(path)
    if at is None or before.vocab_size == after.vocab_size:
        return array
    old = np.moveaxis(np.asarray(array), at, 0)[:before.vocab_size]
    kept = old[:after.vocab_size]
    new = np.zeros((after.padded_vocab, *old.shape[1:]), old.dtype)
    new[:len(kept)] = kept
    new[len(kept):after.vocab_size] = old.mean(axis=0, dtype=np.float64)
    return np.ascontiguousarray(np.moveaxis(new, 0, at))


def unpadded(path: str, shape: tuple[int, ...], config: model_config.Config) -> tuple[int, ...]:
    """The shape of the parameter at `path` without the padding rows of the vocabulary."""
    at = axis(path)
    return tuple(config.vocab_size if i == at else size for i, size in enumerate(shape))


def count(params: Any, config: model_config.Config) -> int:
    """The number of parameters, arrays or ShapeDtypeStructs, without the padding rows of the vocabulary."""
    return sum(math.prod(unpadded(path, leaf.shape, config)) for path, leaf in paths.flatten(params).items())


def axis(path: str) -> int | None:
    """The axis of the parameter at `path` that counts tokens, or None."""
    return next((number for pattern, number in AXES if re.search(pattern, path)), None)
