"""Estimates from samples against the whole, over many draws: no bias, and errors as large as the spread."""
import numpy as np
import pytest

from data.rows import drawing
from train.prediction import estimate


def draws(kind):
    """(values, weights) of every row [rows], and a function of a generator that draws a sample."""
    rng = np.random.default_rng(1)
    weights = rng.integers(1, 60, 600).astype(float)
    values = weights * (2 + rng.standard_normal(600)) + 30 * rng.random(600)
    if kind == 'strata':
        values[500:] *= 3
        return values, weights, lambda rng: drawing.scattered([np.arange(500), np.arange(500, 600)], 60, 8, rng)
    if kind == 'stretches':                     # neighbours are alike
        values = (weights * (2 + np.repeat(rng.standard_normal((12, 10)), 5, axis=0))[:, :].ravel())
        return values, weights, lambda rng: drawing.stretches(np.ones((60, 10), bool), 4, 2, rng)
    return values, weights, lambda rng: drawing.scattered([np.arange(600)], 60, 8, rng)


def ratio(draw, values, weights):
    read = lambda array: tuple(np.where(draw.rows < 0, 0, array[draw.rows]))
    return estimate.ratio(estimate.by_unit(draw, read(values)), estimate.by_unit(draw, read(weights)))


@pytest.mark.parametrize('kind', ['rows', 'strata', 'stretches'])
def test_the_mean_of_the_printed_errors_is_the_spread_of_the_estimates(kind):
    values, weights, draw = draws(kind)
    whole, found, errors = values.sum() / weights.sum(), [], []
    for seed in range(1000):
        sample = draw(np.random.default_rng(seed))
        one = ratio(sample, values, weights)
        found.append(one.value)
        errors.append(estimate.error(one, sample))
    assert abs(np.mean(found) - whole) < 4 * np.std(found) / np.sqrt(1000) + 0.02 * np.std(found)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)


def test_terms_together_have_the_error_of_their_sum():
    """Two terms on the same rows: where the second is minus the first, nothing is left to err."""
    values, weights, draw = draws('rows')
    sample = draw(np.random.default_rng(0))
    pair = {'a': ratio(sample, values, weights), 'b': ratio(sample, -values, weights)}
    assert estimate.error(pair['a'], sample) > 0.01
    both = estimate.weighted({'a': 1.0, 'b': 1.0}, pair)
    assert abs(both.value) < 1e-12 and estimate.error(both, sample) < 1e-12


def test_all_rows_err_by_nothing_and_one_of_several_is_unknown():
    values, weights, _ = draws('rows')
    every = drawing.scattered([np.arange(600)], 600, 8, np.random.default_rng(0))
    one = ratio(every, values, weights)
    assert one.value == pytest.approx(values.sum() / weights.sum()) and estimate.error(one, every) == 0
    single = drawing.Draw(np.array([[7]]), np.array([[0]]), ((1, 600),))
    assert np.isnan(estimate.error(ratio(single, values, weights), single))
    whole = drawing.everything(600, 8)
    assert estimate.by_unit(whole, ([1.5], [2.0])).tolist() == [3.5]
    assert estimate.by_unit(every, tuple(np.ones((75, 1, 4)))).tolist() == [[75.0] * 4]
