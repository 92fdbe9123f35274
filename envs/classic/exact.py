"""Exact fronts and coverage sets of small environments, by dynamic programming over tables and linear programming."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from morl.ops.pareto import convex_coverage_set, non_dominated
from morl.validation import check_discount

Floats = NDArray[np.float64]
DECIMALS = 12  # returns that agree after rounding to these count as equal


class Tables(NamedTuple):
    """Environment of S states, A actions and K possible outcomes of each; an episode starts in state 0.

    Attributes:
        probability: (S, A, K) probability of each outcome; sums to one over K.
        following: (S, A, K) int, state after the outcome.
        reward: (S, A, K, R) reward of the outcome.
        terminated: (S, A, K) bool, True where the outcome ends the episode.
        horizon: steps after which an episode is truncated.
    """

    probability: Floats
    following: NDArray[np.int64]
    reward: Floats
    terminated: NDArray[np.bool_]
    horizon: int


def front(tables: Tables, gamma: float) -> Floats:
    """Return the non-dominated expected returns (n, R) of all deterministic policies, time-dependent ones included.

    Uses White's vector dynamic programming (1982), backwards over the horizon. Each action may lead to at most one
    state besides ending the episode; with more, the number of policies would multiply in each state.

    Raises:
        ValueError: an action has two outcomes after which the episode continues.
    """
    onward = np.where(tables.terminated, 0.0, tables.probability)
    if ((onward > 0).sum(axis=-1) > 1).any():
        raise ValueError("an action has several outcomes after which the episode goes on")
    gamma = check_discount(gamma)
    expected = np.einsum("sak,sakr->sar", tables.probability, tables.reward)
    states, actions, size = expected.shape
    weight = gamma * onward.max(axis=-1)
    following = np.take_along_axis(tables.following, onward.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    sets = [np.zeros((1, size))] * states
    for _ in range(tables.horizon):
        before = sets
        sets = []
        for s in range(states):
            parts = [expected[s, a] + weight[s, a] * before[following[s, a]] for a in range(actions)]
            points = np.unique(np.round(np.concatenate(parts), DECIMALS), axis=0)
            sets.append(points[non_dominated(points)])
        if all(np.array_equal(new, old) for new, old in zip(sets, before, strict=True)):
            break  # longer episodes give no other returns
    return sets[0]


def coverage_set(tables: Tables, gamma: float) -> Floats:
    """Return the convex coverage set (n, R): the expected returns of all policies that are best for some preference.

    Uses optimistic linear support (Roijers et al., 2015): solve for the extreme preferences, then for the corner
    preferences of the points found, until no corner improves on them. One preference is solved by dynamic programming
    over the horizon.
    """
    gamma = check_discount(gamma)
    size = tables.reward.shape[-1]
    points = np.array([_best(tables, gamma, preference) for preference in np.eye(size)])
    points = np.unique(np.round(points, DECIMALS), axis=0)
    done: set[tuple[float, ...]] = set()
    while True:
        corners = [corner for corner in _corners(points) if tuple(np.round(corner, 9)) not in done]
        found = []
        for corner in corners:
            done.add(tuple(np.round(corner, 9)))
            point = _best(tables, gamma, corner)
            known = (points @ corner).max()
            if point @ corner > known + 1e-10 * max(1.0, abs(known)):
                found.append(point)
        if not found:
            return points[convex_coverage_set(points)]
        points = np.unique(np.round(np.concatenate([points, found]), DECIMALS), axis=0)


def _best(tables: Tables, gamma: float, preference: Floats) -> Floats:
    """Return the vector return (R,) of a policy that is best for one preference (R,)."""
    expected = np.einsum("sak,sakr->sar", tables.probability, tables.reward)
    onward = gamma * np.where(tables.terminated, 0.0, tables.probability)
    values = np.zeros((len(expected), expected.shape[-1]))
    for _ in range(tables.horizon):
        returns = expected + np.einsum("sak,sakr->sar", onward, values[tables.following])
        choice = (returns @ preference).argmax(axis=1)
        values = np.take_along_axis(returns, choice[:, None, None], axis=1)[:, 0]
    best: Floats = values[0]
    return best


def _corners(points: Floats) -> Floats:
    """Return the corner preferences (n, R) of the largest weighted sum over points (m, R), on the simplex."""
    from scipy.spatial import HalfspaceIntersection  # half a second to load

    size = points.shape[1]
    # Unknowns: the first R - 1 weights, and a height above all weighted sums; each row means a·x + b <= 0.
    sums = np.column_stack([points[:, :-1] - points[:, -1:], -np.ones(len(points)), points[:, -1]])
    positive = np.column_stack([-np.eye(size - 1), np.zeros((size - 1, 2))])
    rest_positive = np.append(np.ones(size - 1), [0.0, -1.0])
    lid = np.append(np.zeros(size - 1), [1.0, -points.max() - 2.0])
    inside = np.append(np.full(size - 1, 1 / size), points.max() + 1.0)
    corners = HalfspaceIntersection(np.vstack([sums, positive, rest_positive, lid]), inside).intersections
    corners = corners[corners[:, -1] < points.max() + 1.5][:, :-1]
    corners = np.clip(corners, 0.0, 1.0)
    weights = np.column_stack([corners, np.clip(1.0 - corners.sum(axis=1), 0.0, 1.0)])
    return np.asarray(np.unique(np.round(weights, 12), axis=0))
