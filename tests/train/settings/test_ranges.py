"""Checks of single values; test_schema sees that every number has one, test_config has the wording."""
import pytest

from train.settings import ranges, schema


@pytest.mark.parametrize('key, good, bad', [
    ('steps', (1, 10**9), (0, -1)), ('seed', (0, 2**32 - 1), (-1, 2**32)),
    ('ema', (0.5, 0.9999), (0.0, 1.0, -1.0, 2.0)),
    ('model.dropout', (0.0, 0.9), (1.0, -0.1)), ('optimizer.b1', (0.0, 0.999), (1.0, -0.1)),
    ('optimizer.learning_rate', (1e-9, 3.0), (0.0, -1.0)),
    ('optimizer.final', (0.0, 1.0), (1.1, -0.1)), ('sample.top_p', (1e-3, 1.0), (0.0, 1.01)),
    ('eval_every', (0, 5), (-1,)),
    ('data.eval_fraction', (0.0, 0.5), (1.0, -0.1)), ('epochs', (0.1, 7.0), (0.0,)),
    ('model.logit_scale', (0.1,), (0.0,)),
    ('dtype', schema.DTYPES, ('float16', '')), ('tensorboard', (True, False), ())])
def test_alone(key, good, bad):
    for value in good:
        assert ranges.alone(key, value) is None
    for value in bad:
        assert ranges.alone(key, value).startswith('expected ')
