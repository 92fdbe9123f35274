"""Pareto dominance on NumPy; every objective is maximised. The jitted counterparts are in :mod:`morl.ops.archive`."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError

Floats = NDArray[np.float64]


def as_points(points: ArrayLike) -> Floats:
    """An (n, R) array of finite numbers.

    Raises:
        UserError: another number of axes, or something not finite.
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"points must be an array (n, objectives), not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise UserError("points must be finite; found NaN or infinity")
    return array


def non_dominated(points: ArrayLike, keep_duplicates: bool = True) -> NDArray[np.bool_]:
    """Which of the points (n, R) no other one dominates: at least as good in all objectives and better in one.

    Args:
        points: vector returns.
        keep_duplicates: keep all of exactly equal points; else only the first.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    if len(array) == 0:
        return np.zeros(0, bool)
    return np.asarray(moocore.is_nondominated(array, maximise=True, keep_weakly=keep_duplicates), bool)


def crowding_distance(points: ArrayLike) -> Floats:
    """Crowding distance of each of the points (n, R) among the others (Deb et al., 2002, NSGA-II, section III-B).

    The sum over objectives of the gap between a point's neighbours, in units of that objective's range; infinite for
    the extremes, of which equal ones count as one: the last among the largest, the first among the smallest. An
    objective in which all points are equal adds nothing and has no extremes.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    n = len(array)
    distance = np.zeros(n)
    for column in array.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]] if n else 0.0
        if span == 0:
            continue
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        distance[[order[0], order[-1]]] = np.inf
    return distance


def convex_coverage_set(points: ArrayLike, tolerance: float = 1e-9) -> NDArray[np.bool_]:
    """Which of the points (n, R) are the best of all for some preference on the simplex, by linear programming.

    For each candidate the program finds the preference under which it leads the others by most (Roijers et al., 2013,
    section 4.2.2, as in the pruning of POMDP policies). A point that only ties with others wherever it is best, on an
    edge between two of them for example, is left out, and so are exact duplicates of an earlier point.

    Args:
        points: vector returns.
        tolerance: lead that counts, in units of each objective's range.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    chosen = np.zeros(len(array), bool)
    candidates = np.flatnonzero(non_dominated(array, keep_duplicates=False))
    if len(candidates) == 0:
        return chosen
    front = array[candidates]
    # Scaling an objective only scales the preferences, so the set stays the same and the program well conditioned.
    span = np.ptp(front, axis=0)
    front = (front - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    for i in range(len(front)):
        others = np.delete(front, i, axis=0)
        chosen[candidates[i]] = len(others) == 0 or _largest_lead(front[i], others) > tolerance
    return chosen


def _largest_lead(point: Floats, others: Floats) -> float:
    """max over preferences w of the smallest w·(point − other): variables (w, lead)."""
    from scipy.optimize import linprog  # half a second to load

    size = len(point)
    result = linprog(
        c=np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([others - point, np.ones(len(others))]),
        b_ub=np.zeros(len(others)),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * size + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not result.success:
        raise RuntimeError(f"the linear program of the convex coverage set failed: {result.message}")
    return float(result.x[-1])
