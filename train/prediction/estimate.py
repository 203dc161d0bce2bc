"""What a sample of rows says about all of them: ratios of sums, and their standard errors.

A metric is a sum over a weight, added up over the units that were drawn (data/rows/drawing.py). Its error is that of a ratio of two sums
by linearisation, with the correction for a finite number of units (Cochran 1977, Sampling Techniques, 5.9 and 6.4).
"""
import math
from typing import NamedTuple

import numpy as np

from data.rows import drawing


class Ratio(NamedTuple):
    """A ratio of two sums, and how much each of the units moves it, float64[U], 0 in all."""
    value: float
    residuals: np.ndarray


def by_unit(draw: drawing.Draw, parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """float64[U]: the sums of each unit, times the number of units that it stands for; of histograms [1, BINS] the sum, [1, BINS].

    parts: of each batch the values of its rows, [B]; where everything is read their sum, [1], which is one unit.
    """
    values = np.asarray(parts, np.float64)
    if values.ndim > 2:
        return values.sum(axis=0)
    if draw.whole:
        return np.array([math.fsum(values[:, 0])])
    counted, sums = draw.units >= 0, np.zeros(sum(drawn for drawn, _ in draw.strata))
    np.add.at(sums, draw.units[counted], values[counted])
    return sums * np.concatenate([np.full(drawn, total / max(drawn, 1)) for drawn, total in draw.strata])


def ratio(values: np.ndarray, weights: np.ndarray) -> Ratio:
    """The Ratio of the sums of float64[U] each."""
    found, total = float(np.sum(values) / np.sum(weights)), np.sum(weights)
    return Ratio(found, (values - found * weights) / total)


def weighted(scales: dict[str, float], ratios: dict[str, Ratio]) -> Ratio:
    """The sum of scale * ratio."""
    return Ratio(sum(scale * ratios[name].value for name, scale in scales.items()),
                 sum(scale * ratios[name].residuals for name, scale in scales.items()))


def error(found: Ratio, draw: drawing.Draw) -> float:
    """The standard error of a Ratio; NaN where one unit of several was drawn."""
    variance, first = 0.0, 0
    for drawn, total in draw.strata:
        if drawn < total:
            spread = np.var(found.residuals[first:first + drawn], ddof=1) if drawn > 1 else math.nan
            variance += (1 - drawn / total) * drawn * spread
        first += drawn
    return math.sqrt(variance)
