"""Hypervolume-guided step size (Lu et al., 2025, arXiv 2509.11452, section 3.1), on NumPy; all objectives maximised.

The weights stay as they are, and the size of the steps moves: large while a policy adds to what was reached before,
small once it does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.ops.metrics import hypervolume_estimate
from morl.ops.pareto import crowding_distance, non_dominated

Floats = NDArray[np.float64]


def step_factor(gain: float | Floats) -> Floats:
    """Return c = 0.5 + 1.5 tanh(gain), from 0.5 without a gain to 2, as published.

    Args:
        gain: at least 0; the published one is the raw ΔHV, here it is relative (:func:`relative_gains`), as tanh is
            nearly 1 for all returns beyond a few units.
    """
    return np.asarray(0.5 + 1.5 * np.tanh(gain), np.float64)


def added_volume(points: Floats, others: Floats, reference_point: Floats) -> float:
    """Return how much points add to the hypervolume of others, HV(others ∪ points) − HV(others), at least 0.

    A point alone dominates a box; the others cut down to that box hold the part of it that is theirs (the exclusive
    hypervolume of While et al., 2012, "A fast way of calculating exact hypervolumes", section III). Few of them are
    left non-dominated, so it is much faster than the difference of two hypervolumes.

    Args:
        points: (n, R).
        others: (m, R).
        reference_point: (R,).
    """
    total, held = 0.0, others
    for point in points:
        if (point > reference_point).all():
            box = float(np.prod(point - reference_point))
            theirs = hypervolume_estimate(np.minimum(held, point), reference_point)[0] if len(held) else 0.0
            total += max(0.0, box - theirs)
        held = np.concatenate([held, point[None]])
    return total


def relative_gains(archive: Floats, returns: Floats, owner: NDArray[np.int64], reference_point: Floats) -> Floats:
    """Return each owner's exclusive contribution ΔHV, over the hypervolume of all the rest: (K,), at least 0.

    The rest is the archive and the returns of the other owners, so that two policies that reach the same point add
    nothing to each other. It is infinite for the first that exceeds the reference point.

    Args:
        archive: (n, R) reached before.
        returns: (N, R) reached now; rows that are not finite count as not reached.
        owner: (N,) number of the owner of each row, from 0 to K - 1.
        reference_point: (R,).
    """
    finite = np.isfinite(returns).all(axis=1)
    everything = np.concatenate([archive, returns[finite]])
    volume = hypervolume_estimate(everything, reference_point)[0] if len(everything) else 0.0
    gains = np.zeros(owner.max() + 1)
    for i in range(len(gains)):
        rest = np.concatenate([archive, returns[finite & (owner != i)]])
        added = added_volume(returns[finite & (owner == i)], rest, reference_point)
        before = volume - added
        # the rounding of a volume is no gain, nor is it a volume to compare with
        if added > 1e-9 * volume:
            gains[i] = added / before if before > 1e-9 * volume else np.inf
    return gains


def extended(archive: Floats, returns: Floats, capacity: int) -> Floats:
    """Return the non-dominated rows (n, R) of an archive and of finite returns (N, R), at most ``capacity``.

    Beyond that the most crowded go, one at a time.
    """
    points = np.concatenate([archive, returns[np.isfinite(returns).all(axis=1)]])
    points = points[non_dominated(points, keep_duplicates=False)]
    while len(points) > capacity:
        points = np.delete(points, crowding_distance(points).argmin(), axis=0)
    return points
