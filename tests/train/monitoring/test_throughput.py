"""Throughput: the first lap, with the compilation, is none, and what happens in a pause does not count."""
import jax.numpy as jnp
import pytest

from data.objectives import causal_lm
from model import config as model_config
from train.monitoring import throughput
from train.parallel import sharding
from train.settings import schema


def test_laps(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throughput.time, 'monotonic', lambda: now[0])
    config = schema.Config(batch_size=4, objective=causal_lm.Objective(sequence_length=16), mesh=schema.Mesh(data=8),
                           model=model_config.Config(vocab_size=128, layers=1, dim=16, heads=2))
    pace = throughput.Pace(config, sharding.mesh(config.mesh), 0)
    now[0] += 50
    assert pace.lap(1) == {}
    now[0] += 2
    with pace.pause(jnp.zeros(1)):
        now[0] += 1000
    assert pace.lap(5) == pytest.approx({'tokens_per_second': 4 * 16 * 4 / 2})
