"""Metrics of how much of a known front is found, in units of its range in each objective; all are maximised."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.ops import metrics
from morl.ops.pareto import as_points

Floats = NDArray[np.float64]

MARGIN = 0.1
"""Distance of the tight reference point below the nadir, as a share of the range."""

TOLERANCE = 0.02
"""Share of the range by which a covered point of the known front may be missed in each objective."""

HIDDEN = 0.01
"""Range of an objective over the distance from nadir to reference point, below which the objective is hidden."""


def span(front: ArrayLike) -> Floats:
    """Return the range of each objective over a front (n, R), (R,), all above 0.

    An objective in which all points are equal has no range: in its place stands the size of its value, or 1 where that
    is 0.

    Raises:
        UserError: no points, or ones that are not finite.
    """
    points = metrics.check_points(front)
    size = np.abs(points).max(axis=0)
    found = np.ptp(points, axis=0)
    return np.where(found > 1e-9 * size, found, np.where(size > 0, size, 1.0))


def tight_reference(front: ArrayLike) -> Floats:
    """Return the nadir of a front (n, R) less a tenth of its range in each objective, (R,).

    The nadir is the worst value that each objective has on the front. A reference point so close makes every objective
    count in proportion to its range (Ishibuchi et al., 2018, "How to specify a reference point in hypervolume
    calculation", discuss such distances).
    """
    points = metrics.check_points(front)
    return np.asarray(points.min(axis=0) - MARGIN * span(points))


def hypervolume_tight(points: ArrayLike, front: ArrayLike) -> tuple[float, bool]:
    """Return the hypervolume at the tight reference point as a share of the known front's, and whether it is exact.

    It is above 1 only where points exceed the known front.

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front, whose tight reference point it is.

    Raises:
        UserError: no points or no front, ones that are not finite, or of different numbers of objectives.
    """
    value, whole, _, exact = _volumes(points, front)
    return value / whole, exact


def hypervolume_box(points: ArrayLike, front: ArrayLike) -> tuple[float, bool]:
    """Return the hypervolume at the tight reference point over the volume of the box from there to the ideal point.

    The ideal point has the best value of each objective on the known front. The known front itself has less than 1,
    unless it is one point. Arguments and errors are those of :func:`hypervolume_tight`.
    """
    value, _, box, exact = _volumes(points, front)
    return value / box, exact


def _volumes(points: ArrayLike, front: ArrayLike) -> tuple[float, float, float, bool]:
    """Return the hypervolumes of points and front at the tight reference point, the box's, and whether exact.

    All are in units of the range of each objective, so that no range is too small or large for the arithmetic.
    """
    array, known = metrics.check_pair(points, front)
    scale = span(known)
    reference = tight_reference(known) / scale
    (value, exact), (whole, whole_exact) = (
        _volume(np.ascontiguousarray(each / scale).tobytes(), len(scale), reference.tobytes())
        for each in (array, known)
    )
    return value, whole, float((known.max(axis=0) / scale - reference).prod()), exact and whole_exact


@lru_cache(maxsize=64)
def _volume(points: bytes, num_objectives: int, reference: bytes) -> tuple[float, bool]:
    """Return a hypervolume that several metrics ask for; that of the known front at every evaluation of a training."""
    front = np.frombuffer(points).reshape(-1, num_objectives)
    return metrics.hypervolume_estimate(front, np.frombuffer(reference))


def igd_plus(points: ArrayLike, front: ArrayLike) -> float:
    """Return :func:`morl.ops.metrics.igd_plus` in units of the known front's range."""
    return metrics.igd_plus(*_scaled(points, front))


def epsilon_additive(points: ArrayLike, front: ArrayLike) -> float:
    """Return :func:`morl.ops.metrics.epsilon_additive` in units of the known front's range."""
    return metrics.epsilon_additive(*_scaled(points, front))


def maximum_utility_loss(points: ArrayLike, front: ArrayLike, preferences: ArrayLike) -> float:
    """Return :func:`morl.ops.metrics.maximum_utility_loss` in units of the known front's range."""
    return metrics.maximum_utility_loss(*_scaled(points, front), preferences)


def mean_utility_loss(points: ArrayLike, front: ArrayLike, preferences: ArrayLike) -> float:
    """Return the mean loss of utility against the known front over preferences, in units of the known front's range.

    That is the difference of the expected utilities (Zintgraf et al., 2015) of the known front and of the points.

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.
        preferences: (k, R) weights.

    Raises:
        UserError: no points, front or preferences, ones not finite, or of different numbers of objectives.
    """
    array, known = _scaled(points, front)
    return metrics.expected_utility(known, preferences) - metrics.expected_utility(array, preferences)


def largest_gap(points: ArrayLike, front: ArrayLike) -> float:
    """Return the largest distance from a point of the known front to the nearest point found, in units of the range.

    The distance is IGD+'s, ‖max(p − q, 0)‖ of a known p and a found q (Ishibuchi et al., 2015): found
    points that exceed the known one leave no gap. IGD+ is its mean over the known points, this is its maximum, as the
    Hausdorff distance is the maximum where IGD is a mean (Schütze et al., 2012).

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.

    Raises:
        UserError: no points or no front, ones that are not finite, or of different numbers of objectives.
    """
    return float(np.sqrt(max((_shortfalls(p, found) ** 2).sum(axis=1).min() for p, found in _each(points, front))))


def covered_share(points: ArrayLike, front: ArrayLike) -> float:
    """Return the share of the known front's points that are covered: by some point, within 2 % of the range in each.

    A known p is covered where a found q has q ≥ p − 0.02·range in every objective. Arguments and errors are those of
    :func:`largest_gap`.
    """
    slack = TOLERANCE + 1e-9  # a distance of exactly 2 % counts, whatever the rounding
    covered = [bool((_shortfalls(p, found).max(axis=1) <= slack).any()) for p, found in _each(points, front)]
    return float(np.mean(covered))


def _scaled(points: ArrayLike, front: ArrayLike) -> tuple[Floats, Floats]:
    """Return points (n, R) and known front (m, R) in units of the known front's range."""
    array, known = metrics.check_pair(points, front)
    scale = span(known)
    return array / scale, known / scale


def _each(points: ArrayLike, front: ArrayLike) -> list[tuple[Floats, Floats]]:
    """Return each point of the known front (R,) beside all points found (n, R), scaled."""
    array, known = _scaled(points, front)
    return [(p, array) for p in known]


def _shortfalls(point: Floats, found: Floats) -> Floats:
    """Return by how much each found point falls short of a known one in each objective, (n, R)."""
    return np.maximum(point - found, 0.0)


def hidden_objectives(front: ArrayLike, reference_point: ArrayLike) -> list[int]:
    """Return the objectives that a reference point hides: whose range is below 1 % of its distance from the nadir.

    There a front's hypervolume hardly depends on these objectives. An objective without a range, and one whose
    reference value is above the nadir, is not hidden.

    Args:
        front: (n, R).
        reference_point: (R,).
    """
    points = as_points(front)
    if not len(points):
        return []
    reference = metrics.check_reference_point(reference_point, points.shape[1])
    found, distance = np.ptp(points, axis=0), points.min(axis=0) - reference
    return np.flatnonzero((found > 0) & (found < HIDDEN * distance)).tolist()
