"""Bootstrap of logged episodes: the same resamples for all policies, and statistics of fronts over them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from morl.ops.bootstrap import CONFIDENCE, Interval
from morl.ops.metrics import hypervolume_estimate

Floats = NDArray[np.float64]


def resampled_counts(episodes: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return how often each of B resamples has each of E episodes, (B, E)."""
    return rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=resamples).astype(np.float32)


def percentile(values: Floats, estimate: ArrayLike) -> tuple[Floats, Floats]:
    """Return both ends (...) of bias-corrected percentile intervals (Efron, 1981) of estimates (...).

    Statistics such as a hypervolume, which takes the better of noisy points, come out larger in resamples than in the
    sample, as they do in the sample beside the truth. The share of resamples below the estimate tells by how much, and
    the ends are moved by twice as much in normal quantiles: to where a plain percentile interval stands without bias.

    Args:
        values: (B, ...) of the resamples.
        estimate: (...) of the sample.
    """
    number = len(values)
    estimate = np.asarray(estimate, np.float64)
    below = ((values < estimate).sum(axis=0) + 0.5 * (values == estimate).sum(axis=0)) / number
    shift = 2 * ndtri(np.clip(below, 1 / number, 1 - 1 / number))
    tail = ndtri((1 - CONFIDENCE) / 2)
    ordered = np.sort(values, axis=0)

    def at(share: Floats) -> Floats:
        place = np.clip(np.round(share * number).astype(int), 0, number - 1)
        found: Floats = np.take_along_axis(ordered, place[None], axis=0)[0]
        return found

    return at(ndtr(shift + tail)), at(ndtr(shift - tail))


def interval(values: Floats, estimate: float) -> Interval:
    """Return the estimate with its interval by the resamples (B,); NaN ends where one of them is not finite."""
    if not np.isfinite(values).all() or not np.isfinite(estimate):
        return Interval(float(estimate), np.nan, np.nan)
    low, high = percentile(values, estimate)
    return Interval(float(estimate), float(low), float(high))


def hypervolumes(returns: Floats, reference_point: Floats) -> Floats:
    """Return the hypervolume of each of B fronts (B, P, R)."""
    return np.array([hypervolume_estimate(points, reference_point)[0] for points in returns])


def non_dominated_share(returns: Floats) -> Floats:
    """Return the share of B fronts (B, P, R) in which each policy is non-dominated, (P,)."""
    better = np.zeros(returns.shape[:2], bool)
    for other in range(returns.shape[1]):
        rival = returns[:, other : other + 1]
        better |= (rival >= returns).all(axis=-1) & (rival > returns).any(axis=-1)
    share: Floats = 1 - better.mean(axis=0)
    return share


def sharpe_ratio(utilities: Floats, behaviour: ArrayLike, k: int) -> Floats:
    """Return SharpeRatio@k = max(0, best@k - J(behaviour)) / std@k (...) of the k policies of largest utility.

    The deviation std@k is that of the utilities of these policies, with Bessel's correction (Kiyohara et al., 2024,
    ICLR; here utilities are estimates of the log itself). It is NaN where there are fewer than two policies, or all k
    are alike.

    Args:
        utilities: (..., P).
        behaviour: (...) utility of the behaviour.
        k: at least 2; all policies where there are fewer.
    """
    top = -np.sort(-np.asarray(utilities, np.float64), axis=-1)[..., :k]
    if top.shape[-1] < 2:
        return np.full(top.shape[:-1], np.nan)
    spread = top.std(axis=-1, ddof=1)
    gain = np.maximum(0.0, top[..., 0] - np.asarray(behaviour, np.float64))
    ratio: Floats = np.divide(gain, spread, out=np.full(np.shape(gain), np.nan), where=spread > 0)
    return ratio
