"""Normal cones of a front: the linear preferences for which each of its points is the best."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.ops.pareto import as_points, largest_lead, non_dominated

Floats = NDArray[np.float64]

TOLERANCE = 1e-9  # least lead over the other points, in units of each objective's range
MOST = 2000  # rows times objectives that are solved exactly, in about five seconds
SAMPLES = 20_000  # weights drawn where there are more


def preference_ranges(points: ArrayLike) -> Floats:
    """Return the lowest and the highest weight of each objective for which each point is the best, (n, R, 2).

    The preferences w on the simplex for which w·p is the largest are the normal cone of p, cut by the simplex. Returned
    are its ends along each axis: the minimum and maximum of w_i subject to w·(p − q) ≥ 0 for all q. Weights are those
    of the returns in their own units. With three objectives and more, not each w between the ends is in the cone.

    Exact intervals with two objectives, else linear programs. Beyond :data:`MOST` rows times objectives, with three and
    more, the ranges are those of a fixed sample of weights: too narrow, and missing where the cone is small.

    Args:
        points: (n, R) vector returns.

    Returns:
        NaN for points that are the best for no preference, or only together with others, as all that are dominated.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    ranges = np.full((*array.shape, 2), np.nan)
    rows = np.flatnonzero(non_dominated(array, keep_duplicates=False))
    if len(rows) == 1:
        ranges[rows] = (0.0, 1.0)
    elif len(rows):
        front = array[rows]
        find = _intervals if front.shape[1] == 2 else _solved if front.size <= MOST else _sampled
        ranges[rows] = find(front, np.where(np.ptp(front, axis=0) > 0, np.ptp(front, axis=0), 1.0))
    return ranges


def _intervals(front: Floats, span: Floats) -> Floats:
    """Return the ranges (n, 2, 2) of points of two objectives: those of w in (w, 1 − w)."""
    ahead = front[:, None] - front[None]  # w·(p − q) = w (a − b) + b
    slope, least = ahead[..., 0] - ahead[..., 1], -ahead[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        root = least / slope
    low = np.where(slope > 0, root, 0.0).max(axis=1).clip(0.0, 1.0)
    high = np.where(slope < 0, root, 1.0).min(axis=1).clip(0.0, 1.0)
    middle = (low + high)[:, None] / 2
    scaled = np.concatenate([middle, 1 - middle], axis=1) * span
    scaled /= scaled.sum(axis=1, keepdims=True)
    lead = np.einsum("ijk,ik->ij", ahead / span, scaled)
    np.fill_diagonal(lead, np.inf)
    best = (low < high) & (lead.min(axis=1) > TOLERANCE)
    ranges = np.stack([np.stack([low, high], axis=-1), np.stack([1 - high, 1 - low], axis=-1)], axis=1)
    return np.where(best[:, None, None], ranges, np.nan)


def _solved(front: Floats, span: Floats) -> Floats:
    """Return the ranges (n, R, 2) by linear programs."""
    ranges = np.full((*front.shape, 2), np.nan)
    scaled = front / span
    inside: dict[int, Floats] = {}
    for i in range(len(front)):
        lead, weights = largest_lead(scaled[i], np.delete(scaled, i, axis=0))
        if lead > TOLERANCE:
            inside[i] = weights / span / (weights / span).sum()
    rows = np.array([*inside], int)
    for i, weights in inside.items():  # only points that are best somewhere bound the cones of others
        ahead = front[i] - front[rows[rows != i]]
        vertices = np.concatenate([weights[None], _highest(ahead)])
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        if len(left := np.flatnonzero(low > 0)):  # no vertex where that weight is 0 was met
            low = np.minimum(low, np.concatenate([vertices, _highest(ahead, left, -1.0)]).min(axis=0))
        ranges[i] = np.stack([low, high], axis=-1)
    return ranges


def _highest(ahead: Floats, objectives: NDArray[np.int64] | None = None, sign: float = 1.0) -> Floats:
    """Return the w (K, R) on the simplex with w·ahead ≥ 0 of the highest w_i, or the lowest, for K objectives.

    All are variables of one linear program, which costs less than one program for each. None, (0, R), if it failed.

    Args:
        ahead: (m, R) the point's lead over the others in each objective.
        objectives: K of them; by default all R.
        sign: 1 for the highest, -1 for the lowest.
    """
    from scipy import sparse
    from scipy.optimize import linprog  # half a second to load

    number = ahead.shape[1]
    chosen = np.arange(number) if objectives is None else objectives
    unit = np.abs(ahead).max(axis=1, keepdims=True)
    copies: Any = sparse.eye_array(len(chosen), format="csr")
    result = linprog(
        c=-sign * np.eye(number)[chosen].ravel(),
        A_ub=sparse.kron(copies, -ahead / np.where(unit > 0, unit, 1.0), format="csr") if len(ahead) else None,
        b_ub=np.zeros(len(ahead) * len(chosen)) if len(ahead) else None,
        A_eq=sparse.kron(copies, np.ones((1, number)), format="csr"),
        b_eq=np.ones(len(chosen)),
        bounds=(0.0, 1.0),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not result.success:
        return np.zeros((0, number))
    found: Floats = result.x.reshape(len(chosen), number).clip(0.0, 1.0)
    return found


def _sampled(front: Floats, span: Floats) -> Floats:
    """Return the ranges (n, R, 2) of those of a fixed sample of weights, spread over the ranges of the objectives."""
    number = front.shape[1]
    weights = np.concatenate([np.eye(number), np.random.default_rng(0).dirichlet(np.ones(number), SAMPLES)])
    best = ((front / span) @ weights.T).argmax(axis=0)
    weights /= span
    weights /= weights.sum(axis=1, keepdims=True)
    ranges = np.full((*front.shape, 2), np.nan)
    for i in np.unique(best):
        mine = weights[best == i]
        ranges[i] = np.stack([mine.min(axis=0), mine.max(axis=0)], axis=-1)
    return ranges
