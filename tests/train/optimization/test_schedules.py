"""Every schedule against its closed form, and against optax's where that has one."""
import math

import jax
import numpy as np
import optax
import pytest

from train.optimization import schedules
from train.settings import schema

STEPS, WARMUP, PEAK = 1000, 100, 0.02


def curve(steps=STEPS, **settings):
    settings = schema.Optimizer(**{'learning_rate': PEAK, **settings})
    return np.asarray(jax.jit(jax.vmap(schedules.build(settings, steps)))(np.arange(steps + 1)))


def values(schedule):
    return np.asarray([schedule(step) for step in range(STEPS + 1)])


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize('name', schema.SCHEDULES)
@pytest.mark.parametrize('warmup', [0, WARMUP])
def test_every_schedule_is_positive_bounded_and_warms_up(name, warmup):
    got = curve(schedule=name, warmup=warmup, final=0.1)
    assert np.all(np.isfinite(got)) and np.all(got >= 0) and got.max() <= PEAK * (1 + 1e-6)
    assert got.dtype == np.float32
    if warmup:
        assert got[0] == 0
        ramp = np.minimum(1, np.arange(STEPS + 1) / warmup)
        multiplied = name in ('cyclic', 'linear_electra')
        close(got[:warmup], (ramp * curve(schedule=name, final=0.1) if multiplied else PEAK * ramp)[:warmup])


def test_the_table_is_the_schemas():
    assert tuple(schedules.SHAPES) == schema.SCHEDULES


def test_constant():
    close(curve(schedule='constant'), PEAK)
    close(curve(schedule='constant', warmup=WARMUP), values(optax.warmup_constant_schedule(0.0, PEAK, WARMUP)))


@pytest.mark.parametrize('final', [0.0, 0.1])
def test_linear(final):
    want = optax.schedules.warmup_constant_schedule(0.0, PEAK, WARMUP)
    decay = optax.linear_schedule(PEAK, PEAK * final, STEPS - WARMUP)
    close(curve(schedule='linear', warmup=WARMUP, final=final), values(optax.join_schedules([want, decay], [WARMUP])))
    got = curve(schedule='linear', warmup=WARMUP, final=final)
    close(got[[WARMUP, 550, STEPS]], [PEAK, PEAK * (1 + final) / 2, PEAK * final])


def test_lines_from_step_0():
    """`create_optimizer` of google-research/bert and albert (a switch), and of electra (a product)."""
    step = np.arange(STEPS + 1)
    decayed, warmup = PEAK * (1 - step / STEPS), WARMUP
    is_warmup = (step < warmup).astype(float)
    bert = (1 - is_warmup) * decayed + is_warmup * PEAK * step / warmup
    close(curve(schedule='linear_bert', warmup=WARMUP), bert)
    close(curve(schedule='linear_electra', warmup=WARMUP), decayed * np.minimum(1, step / warmup))
    gap = np.abs(curve(schedule='linear', warmup=WARMUP) - bert)
    assert gap.max() == pytest.approx(PEAK * WARMUP / STEPS, rel=1e-4) and gap[-1] < 1e-9


@pytest.mark.parametrize('name', ['linear_bert', 'linear_electra'])
def test_lines_from_step_0_end_at_final_and_go_on_in_another_run(name):
    whole = curve(schedule=name, warmup=WARMUP)
    close(curve(steps=900, schedule=name, warmup=WARMUP, final=0.1), whole[:901])
    close(curve(steps=100, schedule=name, learning_rate=PEAK / 10), whole[900:])


@pytest.mark.parametrize('final', [0.0, 0.1])
def test_cosine(final):
    got = curve(schedule='cosine', warmup=WARMUP, final=final)
    close(got, values(optax.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, STEPS, PEAK * final)))
    close(got[[WARMUP, 550, STEPS]], [PEAK, PEAK * (1 + final) / 2, PEAK * final])


def test_cosine_may_end_before_the_run():
    """GPT-3: down to a tenth over 260 of 300 billion tokens, and on at that."""
    got = curve(schedule='cosine', warmup=WARMUP, decay=800, final=0.1)
    close(got[:801], curve(steps=800, schedule='cosine', warmup=WARMUP, final=0.1))
    close(got[800:], PEAK / 10)


def test_rsqrt_is_the_transformers():
    step = np.arange(1, STEPS + 1)
    dim = 512
    want = dim ** -0.5 * np.minimum(step ** -0.5, step * WARMUP ** -1.5)
    close(curve(schedule='rsqrt', warmup=WARMUP, learning_rate=(dim * WARMUP) ** -0.5)[1:], want)


def test_rsqrt_is_t5s():
    step = np.arange(STEPS + 1)
    close(curve(schedule='rsqrt', decay=400, learning_rate=400 ** -0.5), 1 / np.sqrt(np.maximum(step, 400)))
    assert curve(schedule='rsqrt', decay=1, final=0.5)[-1] == pytest.approx(PEAK / 2)


def test_wsd():
    got = curve(schedule='wsd', warmup=WARMUP, decay=200, final=0.1)
    close(got[WARMUP:801], PEAK)
    close(got[800:], PEAK * (1 - 0.9 * np.arange(201) / 200))
    tenth = curve(schedule='wsd')
    close(tenth[[0, 900, 950, 1000]], [PEAK, PEAK, PEAK / 2, 0])
    close(curve(steps=10, schedule='wsd', warmup=5, decay=50)[[5, 10]], [PEAK, 0])


def test_cyclic_is_smiths_triangular():
    half, final = 50, 0.25
    got = curve(schedule='cyclic', cycle=2 * half, final=final)
    for step in range(STEPS + 1):  # as in section 3.1 of the paper, with stepsize = half a cycle
        cycle = math.floor(1 + step / (2 * half))
        x = abs(step / half - 2 * cycle + 1)
        want = PEAK * final + (PEAK - PEAK * final) * max(0.0, 1 - x)
        assert got[step] == pytest.approx(want, rel=1e-4, abs=1e-8)
    quarter = curve(schedule='cyclic')
    close(quarter[[0, 125, 250, 375, 1000]], [0, PEAK, 0, PEAK, 0])


@pytest.mark.parametrize('name', schema.SCHEDULES)
def test_short_runs_are_finite(name):
    for steps, warmup in ((1, 0), (1, 1), (2, 5), (3, 3)):
        assert np.all(np.isfinite(curve(steps=steps, schedule=name, warmup=warmup)))
