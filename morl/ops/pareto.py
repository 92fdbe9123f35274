"""Pareto dominance on NumPy; every objective is maximised. The jitted counterparts are in :mod:`morl.ops.archive`."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError

Floats = NDArray[np.float64]


def as_points(points: ArrayLike) -> Floats:
    """Return points as an array (n, R) of finite numbers.

    Raises:
        UserError: another number of axes, or a number that is not finite.
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"points must be an array (n, objectives), not of shape {array.shape}")
    if not np.isfinite(array).all():
        raise UserError("points must be finite; found NaN or infinity")
    return array


def non_dominated(points: ArrayLike, keep_duplicates: bool = True) -> NDArray[np.bool_]:
    """Return whether each point is dominated by no other one, (n,) bool.

    A point dominates another that it is at least as good as in all objectives and better than in one.

    Args:
        points: (n, R) vector returns.
        keep_duplicates: whether to keep all of several equal points, or only the first.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    if len(array) == 0:
        return np.zeros(0, bool)
    return np.asarray(moocore.is_nondominated(array, maximise=True, keep_weakly=keep_duplicates), bool)


def thinned(points: ArrayLike, epsilon: float, samples: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Return which points of a front stay when near-duplicates go, (n,) bool.

    The best point of each objective stays, the first of equal ones. Of the others, in their order, each stays that is
    not within the tolerance of one that stays in every objective. So no two of them are near-duplicates, and each point
    that goes is within the tolerance of one that stays: an ε-approximate Pareto set with additive ε (Laumanns et al.,
    2002, Combining convergence and diversity in evolutionary multiobjective optimization, definition 5). Their archive
    of one point for each box of a grid bounds the number of points more tightly, but also drops points that a
    neighbour ε-dominates and that are far from it; this rule keeps them, and the extremes exactly.

    Args:
        points: (n, R) vector returns, none of which dominates another.
        epsilon: tolerance as a share of each objective's range, at least 0.
        samples: (n, E, R) returns of single episodes, the same ones for all points. The tolerance of two points is then
            at least the standard error of their mean difference over these episodes: what all meet alike (weather)
            does not blur it.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    if len(array) == 0:
        return np.zeros(0, bool)
    episodes = np.zeros((len(array), 1, array.shape[1])) if samples is None else np.asarray(samples, np.float64)
    number = episodes.shape[1]
    tolerance = epsilon * np.ptp(array, axis=0)
    kept = np.zeros(len(array), bool)
    kept[array.argmax(axis=0)] = True
    for i in np.flatnonzero(~kept):
        error = (episodes[kept] - episodes[i]).std(axis=1, ddof=min(1, number - 1)) / np.sqrt(number)
        near = np.abs(array[kept] - array[i]) <= np.maximum(tolerance, error)
        kept[i] = not near.all(axis=1).any()
    return kept


def crowding_distance(points: ArrayLike) -> Floats:
    """Return the crowding distance of each point among the others, (n,) (Deb et al., 2002, NSGA-II, section III-B).

    It is the sum over objectives of the gap between a point's neighbours, in units of that objective's range, and
    infinite for the extremes. Of several equal extremes one counts: the last of the largest, the first of the smallest.
    An objective in which all points are equal adds nothing and has no extremes.

    Args:
        points: (n, R) vector returns.

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
    """Return whether each point is the best of all for some preference on the simplex, (n,) bool.

    For each candidate a linear program finds the preference under which it leads the others by most (Roijers et al.,
    2013, section 4.2.2, as in the pruning of POMDP policies). A point that only ties with others wherever it is best,
    for example on an edge between two of them, is left out. So are exact duplicates of an earlier point.

    Args:
        points: (n, R) vector returns.
        tolerance: least lead, in units of each objective's range.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    chosen = np.zeros(len(array), bool)
    candidates = np.flatnonzero(non_dominated(array, keep_duplicates=False))
    if len(candidates) == 0:
        return chosen
    front = array[candidates]
    # scaling an objective only scales the preferences: the set stays the same, and the program is well conditioned
    span = np.ptp(front, axis=0)
    front = (front - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    for i in range(len(front)):
        others = np.delete(front, i, axis=0)
        chosen[candidates[i]] = len(others) == 0 or largest_lead(front[i], others)[0] > tolerance
    return chosen


def largest_lead(point: Floats, others: Floats) -> tuple[float, Floats]:
    """Return the maximum over preferences w on the simplex of the smallest w·(point − other), and that w (R,).

    It is the solution of a linear program in w and the lead.

    Args:
        point: (R,) vector returns, of objectives of about the same scale.
        others: (m, R).
    """
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
    return float(result.x[-1]), result.x[:-1]
