"""An equivalent model with the tables that a family's files must have: sentence types, and rows before position 0.

An encoder without sentence types computes the same as one with a single type whose vector is 0. Rows before that of position 0 are
never read, so there may be as many as the family has: none, fairseq's two, or RoBERTa's, one more than the id of its padding.
"""
import dataclasses
import re

import numpy as np

from model import config as model_config, families, positions

POSITIONS, TYPES = r'^backbone/(encoder|decoder)/positions/embedding$', 'backbone/encoder/types/embedding'


def config(family: families.Family, given: model_config.Config, pad: int | None = None) -> model_config.Config:
    """The Config equivalent to `given`, with the tables of the family. pad: the id of padding, None = any."""
    changed = {'types': 1} if 'types' in family.settings and not given.types else {}
    if 'position_offset' in positions.of(given).reads:
        changed['position_offset'] = family.fixed.get('position_offset', 0)
        if 'position_offset' in family.settings:
            changed['position_offset'] = (given.position_offset or family.defaults['pad_token_id'] + 1) if pad is None else pad + 1
    return dataclasses.replace(given, **changed)


def tables(params: dict, before: model_config.Config, after: model_config.Config) -> dict[str, np.ndarray]:
    """{path: float32 array} of the tables that differ between a model of the Config `before`, with `params`, and one of `after`."""
    found = {}
    if after.position_offset != before.position_offset:
        for path in (path for path in params if re.search(POSITIONS, path)):
            rows = np.asarray(params[path], np.float32)[before.position_offset:]
            found[path] = np.concatenate([np.zeros((after.position_offset, rows.shape[1]), np.float32), rows])
    if after.types != before.types:
        found[TYPES] = np.zeros((after.types, before.width), np.float32)
    return found
