"""Coefficients to try next: samples of the box for a surrogate, and the front of what surrogates predict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.analysis.filling.surrogate import Surrogate
from morl.ops.pareto import crowding_distance, non_dominated

Floats = NDArray[np.float64]

LOW, HIGH = -0.5, 1.5  # the box of the coefficients (Li et al., 2024, section 4)
POPULATION, GENERATIONS = 256, 12
RANDOM = 4096  # predicted before the first generation
MUTATION = 0.05  # standard deviation, of the box's width


def sampled(number: int, members: int, rng: np.random.Generator) -> Floats:
    """Return (number, members) coefficients, a Latin hypercube of the box (McKay et al., 1979)."""
    cells = np.stack([rng.permutation(number) for _ in range(members)], axis=1)
    return np.asarray(LOW + (HIGH - LOW) * (cells + rng.random((number, members))) / number)


def proposals(surrogate: Surrogate, known: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Return up to ``number`` coefficients (k, m) whose predicted returns make a wide front beside known returns.

    Thousands of random candidates are predicted, and the best go through generations of NSGA-II (Deb et al., 2002):
    blends of two with a mutation, ranked by non-dominance and then by crowding distance. Candidates that a known return
    is predicted to dominate are left out, unless all are.

    Args:
        surrogate: of the returns over m coefficients.
        known: (n, R) returns that are there already.
        number: most coefficients.
        rng: of the random numbers.
    """
    m = len(surrogate.slope)
    chosen = rng.uniform(LOW, HIGH, (RANDOM, m))
    chosen = chosen[ranked(surrogate(chosen))[:POPULATION]]
    for _ in range(GENERATIONS):
        one, other = rng.integers(len(chosen), size=(2, POPULATION))
        share = rng.uniform(-0.25, 1.25, (POPULATION, 1))  # beyond both parents too
        children = chosen[one] + share * (chosen[other] - chosen[one])
        children += rng.normal(scale=MUTATION * (HIGH - LOW), size=children.shape)
        both = np.concatenate([chosen, np.clip(children, LOW, HIGH)])
        chosen = both[ranked(surrogate(both))[:POPULATION]]
    predicted = surrogate(chosen)
    dominated = np.all(known[None] >= predicted[:, None], axis=-1)
    undominated = ~np.any(dominated, axis=1)
    rows = np.flatnonzero(undominated) if undominated.any() else np.arange(len(chosen))
    return np.asarray(chosen[rows[spread(predicted[rows], number)]])


def ranked(points: Floats) -> NDArray[np.int64]:
    """Return the rows of points (n, R) by the front they are on, and within a front by falling crowding distance."""
    left = np.arange(len(points))
    order: list[NDArray[np.int64]] = []
    while len(left) and len(points) - len(left) < POPULATION:
        first = non_dominated(points[left])
        front = left[first]
        order.append(front[np.argsort(-crowding_distance(points[front]), kind="stable")])
        left = left[~first]
    return np.concatenate([*order, left]).astype(np.int64)


def spread(points: Floats, number: int) -> NDArray[np.int64]:
    """Return up to ``number`` rows of points (n, R), each the farthest from those before (Gonzalez, 1985).

    The first is the best of the first objective. Distances are in units of each objective's range.
    """
    span = np.ptp(points, axis=0)
    scaled = points / np.where(span > 0, span, 1.0)
    rows = [int(points[:, 0].argmax())]
    distance = np.linalg.norm(scaled - scaled[rows[0]], axis=1)
    while len(rows) < min(number, len(points)) and distance.max() > 0:
        rows.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[rows[-1]], axis=1))
    return np.array(rows)
