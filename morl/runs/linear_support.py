"""Linear support: the preferences at which a set of values changes which of them is best, and what others could gain.

Roijers (2016, section 3.3), who calls the algorithm optimistic linear support; Alegre et al. (2023, arXiv 2301.07784).
Of a value set V the scalarised value max_v w·v is convex in w and linear within pieces. Its corners are the vertices of
these pieces, and the value of a new policy exceeds it the most at one of them (Roijers, 2016, theorem 7).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.ops.pareto import as_points, non_dominated

Floats = NDArray[np.float64]

SAME = 1e-6  # largest difference of weights that are taken for one
MOST_VALUES = 20  # values whose corners are computed with five objectives and more
MOST_CORNERS = 200  # corners; a fixed sample of more, the corners of the simplex among them


class Corners(NamedTuple):
    """Corner weights of a value set.

    Attributes:
        weights: (n, R) on the simplex, those of the largest possible improvement first.
        gap: (n,) largest possible improvement of max_v w·v, in units of the preference-weighted range of the values.
    """

    weights: Floats
    gap: Floats


def corner_weights(values: ArrayLike) -> Floats:
    """Return the corner weights of a value set, (n, R); the corners of the simplex are always among them.

    With two objectives they are where two neighbours on the upper hull are worth the same. Otherwise they are the
    vertices of the polyhedron {(w, u): u ≥ w·v for all v, w on the simplex} (Roijers, 2016, definition 19).

    Args:
        values: (m, R), m at least 1.
    """
    points = _spread(np.unique(as_points(values), axis=0))
    size = points.shape[1]
    span = _span(points)
    scaled = (points - points.min(axis=0)) / span
    found = _corners_of_two(scaled) if size == 2 else _vertices(scaled)
    weights = found / span  # of weights of scaled values those of the values themselves
    weights = np.concatenate([np.eye(size), weights / weights.sum(axis=1, keepdims=True)])
    return _distinct(weights)


def optimistic_values(weights: Floats, visited: Floats, values: Floats) -> Floats:
    """Return upper bounds (n,) of w·v for weights (n, R), of any policy's value v.

    The policies of the visited weights are taken for optimal there: max w·v subject to w'·v ≤ max_{v' ∈ V} w'·v' for
    all visited w' (Roijers, 2016, section 3.3.2). Infinite where they bound nothing.

    Args:
        weights: (n, R) on the simplex.
        visited: (k, R) weights that the policies behind the values were trained for.
        values: (m, R).
    """
    from scipy.optimize import linprog  # half a second to load

    known = (visited @ values.T).max(axis=1)
    bounds = np.full(len(weights), np.inf)
    for i, weight in enumerate(weights):
        # the dual: the cheapest combination of visited weights that gives this one
        result = linprog(c=known - known.min(), A_eq=visited.T, b_eq=weight, bounds=(0, None), method="highs")
        if result.success:
            bounds[i] = result.fun + known.min() * result.x.sum()
    return bounds


def corners_by_gap(values: ArrayLike, visited: ArrayLike) -> Corners:
    """Return the corner weights of a value set, those first where a new policy could gain the most.

    A gap does not depend on the objectives' units: it is divided by the sum of the ranges of the values, weighted by
    the preference. Where the visited weights bound nothing it is 1.

    Args:
        values: (m, R) of the policies known.
        visited: (k, R) weights that these were trained for.
    """
    points, seen = as_points(values), np.asarray(visited, np.float64)
    weights = corner_weights(points)
    span = _span(points)
    gap = np.ones(len(weights))
    if len(seen):
        # in units of the ranges, where a linear program of any objectives is well scaled
        scaled, units = (points - points.min(axis=0)) / span, span / span.sum()
        ours, theirs = (x * units / (x * units).sum(axis=1, keepdims=True) for x in (weights, seen))
        bound = optimistic_values(ours, theirs, scaled)
        gap = np.where(np.isfinite(bound), bound - (ours @ scaled.T).max(axis=1), 1.0).clip(0.0)
    order = np.argsort(-gap.round(9), kind="stable")
    return Corners(weights[order], gap[order])


def supporting(weights: ArrayLike, values: ArrayLike) -> NDArray[np.int64]:
    """Return the rows of weights (k, R) that show different values (m, R) to be the best, one for each such value."""
    best = (np.asarray(weights, np.float64) @ as_points(values).T).argmax(axis=1)
    return np.sort(np.unique(best, return_index=True)[1])


def _span(points: Floats) -> Floats:
    """Return the range (R,) of each objective; 1 where there is none."""
    found = np.ptp(points, axis=0)
    return np.where(found > 0, found, 1.0)


def _spread(points: Floats) -> Floats:
    """Return the points that may have corners: with many objectives a few of them, the best for spread weights."""
    points = points[non_dominated(points, keep_duplicates=False)]
    size = points.shape[1]
    if size < 5 or len(points) <= MOST_VALUES:
        return points
    draws = np.random.default_rng(0).dirichlet(np.ones(size), 20 * MOST_VALUES)
    best = (np.concatenate([np.eye(size), draws]) @ (points / _span(points)).T).argmax(axis=1)
    _, first, times = np.unique(best, return_index=True, return_counts=True)
    rows = best[first[np.argsort(-times, kind="stable")]][:MOST_VALUES]
    chosen: Floats = points[np.sort(rows)]
    return chosen


def _corners_of_two(points: Floats) -> Floats:
    """Return the weights (n, 2) between neighbours of the upper hull of non-dominated points (m, 2)."""
    hull: list[Floats] = []
    for point in points[np.argsort(points[:, 0])]:  # the second objective falls
        while len(hull) > 1:
            (x, y), (ahead_x, ahead_y) = hull[-1] - hull[-2], point - hull[-2]
            if x * ahead_y - y * ahead_x < 0:  # a turn to the right: the last one is on the hull
                break
            hull.pop()
        hull.append(point)
    steps = np.diff(np.array(hull), axis=0)
    weights = np.column_stack([-steps[:, 1], steps[:, 0]])
    normed: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normed


def _vertices(points: Floats) -> Floats:
    """Return the weights (n, R) of the polyhedron's vertices, of points (m, R) between 0 and 1."""
    from scipy.spatial import HalfspaceIntersection

    number, size = points.shape
    cap = 3.0  # of u: values are at most 1
    # the variables are w_1 .. w_{R-1} and u; w_R is what is left to 1
    above = np.column_stack([points[:, :-1] - points[:, -1:], -np.ones(number), points[:, -1]])
    positive = np.column_stack([-np.eye(size - 1), np.zeros(size - 1), np.zeros(size - 1)])
    rest = np.concatenate([np.ones(size - 1), [0.0, -1.0]])[None]
    below = np.concatenate([np.zeros(size - 1), [1.0, -cap]])[None]
    inside = np.append(np.full(size - 1, 1 / size), (1.0 + cap) / 2)
    found = HalfspaceIntersection(np.concatenate([above, positive, rest, below]), inside).intersections
    found = found[np.isfinite(found).all(axis=1)]
    found = found[found[:, -1] < cap - 0.5, :-1]
    weights = np.column_stack([found, 1 - found.sum(axis=1)]).clip(0.0, 1.0)
    normed: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normed


def _distinct(weights: Floats) -> Floats:
    """Return the weights without those that an earlier one is close to, a sample of them where there are many."""
    _, first = np.unique((weights / SAME).round(), axis=0, return_index=True)
    weights = weights[np.sort(first)]
    size = weights.shape[1]
    if len(weights) > MOST_CORNERS:
        chosen = np.random.default_rng(0).choice(len(weights) - size, MOST_CORNERS - size, replace=False)
        weights = np.concatenate([weights[:size], weights[size + np.sort(chosen)]])
    apart = np.abs(weights[:, None] - weights[None]).max(axis=2) > SAME
    kept: Floats = weights[np.tril(~apart, -1).sum(axis=1) == 0]
    return kept
