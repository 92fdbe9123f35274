"""Lines between neighbours of a front, and how far returns fall below on them (LLE-MORL: arXiv 2506.04022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def neighbours(points: Floats) -> NDArray[np.int64]:
    """Return the pairs (k, 2) of neighbouring points: those to which no third point is nearer than they are to another.

    It is the relative neighbourhood graph (Toussaint, 1980), which holds together: on a curve these are the points next
    to each other. Distances are in units of each objective's range.

    Args:
        points: (n, R) vector returns.
    """
    span = np.ptp(points, axis=0) if len(points) else np.ones(points.shape[1])
    scaled = points / np.where(span > 0, span, 1.0)
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=-1)
    one, other = np.triu_indices(len(points), k=1)
    between = np.maximum(distance[one], distance[other])  # of each third point to the farther end
    rows = np.arange(len(one))
    between[rows, one] = between[rows, other] = np.inf
    kept = (between >= distance[one, other][:, None]).all(axis=1)
    return np.stack([one[kept], other[kept]], axis=1)


def shortfalls(ends: Floats, along: Floats, shares: Floats, span: Floats) -> Floats:
    """Return how far returns on a line fall below the straight line between its ends, at most, for each objective.

    This is the barrier of linear interpolation (Frankle et al., 2020, section 2; Entezari et al., 2022, definition
    2.3), of returns in place of a loss, as shares of the range of the front. 0 where they are nowhere below; NaN where
    a policy on the line has no finite return.

    Args:
        ends: (2, R) returns.
        along: (T, R) returns on the line.
        shares: (T,) how far along each is, 0 at the first end and 1 at the second.
        span: (R,) range of the front in each objective.
    """
    straight = ends[0] + shares[:, None] * (ends[1] - ends[0])
    below = np.maximum(straight - along, 0.0).max(axis=0)
    return np.asarray(below / np.where(span > 0, span, 1.0))
