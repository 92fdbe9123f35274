"""Percentile bootstrap intervals of statistics over training seeds (Agarwal et al., 2021, NeurIPS), by SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Share of such intervals that hold the true value, for many samples."""


Statistic = Callable[..., Any]
"""A number of one or more samples (..., n) along the keyword ``axis``; (...)."""


@dataclass(frozen=True)
class Interval:
    """Estimate with its bootstrap interval at :data:`CONFIDENCE`.

    Attributes:
        value: the statistic of the samples themselves.
        low, high: ends of the interval; NaN where a sample has one value only.
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    samples: tuple[Floats, ...], statistic: Statistic, resamples: int, rng: np.random.Generator
) -> Interval:
    """Return a statistic of independent samples with its percentile bootstrap interval (Efron, 1979).

    Each sample is drawn again with replacement. With fewer than about ten values an interval is too narrow.

    Args:
        samples: one or more arrays (n,), of any lengths.
        statistic: vectorised over leading axes.
        resamples: number of times that the samples are drawn.
        rng: moved on by the draws.
    """
    value = float(statistic(*samples))
    if min(map(len, samples)) < 2:
        return Interval(value, np.nan, np.nan)
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        batch=1000,
        rng=rng,
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def interquartile_mean(x: Floats, axis: int = -1) -> Floats:
    """Return the mean without a quarter of the values at each end, rounded down: of three values none is left out.

    Args:
        x: (..., n) values.
        axis: the axis of length n.
    """
    mean: Floats = stats.trim_mean(x, 0.25, axis=axis)
    return mean


def probability_of_improvement(x: Floats, y: Floats, axis: int = -1) -> Floats:
    """Return the share of pairs in which the value of ``x`` is larger, pairs of equal values counting half.

    It is the Mann-Whitney U statistic over n m (Agarwal et al., 2021, section 4.3).

    Args:
        x: (..., n) values.
        y: (..., m) values.
        axis: the axis of lengths n and m.
    """
    one, two = np.moveaxis(x, axis, -1)[..., :, None], np.moveaxis(y, axis, -1)[..., None, :]
    share: Floats = ((one > two) + 0.5 * (one == two)).mean(axis=(-2, -1))
    return share
