"""Hypervolume of mixtures of a front's policies, one drawn for each episode: the floor that merging has to exceed."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from morl.ops.metrics import hypervolume

Floats = NDArray[np.float64]

MOST_OBJECTIVES = 5  # the hull of more has too many corners


def mixture_hypervolume(points: Floats, reference_point: Floats) -> float | None:
    """Return the exact volume between the convex hull of points and a reference point; None of over 5 objectives.

    Expected returns of mixtures are exactly the convex hull. What they dominate above the reference point is a
    polytope: the hull of the points and their projections down, cut at the reference point.

    Args:
        points: (n, R) finite vector returns.
        reference_point: (R,).
    """
    from scipy.optimize import linprog
    from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

    size = points.shape[1]
    if size > MOST_OBJECTIVES:
        return None
    top = points.max(axis=0)
    if not (top > reference_point).all():
        return 0.0
    unit = top - np.minimum(points.min(axis=0), reference_point)
    scaled, reference = (points - top) / unit, (reference_point - top) / unit
    low = np.minimum(scaled.min(axis=0), reference)
    corners = [np.where(kept, scaled, low) for kept in itertools.product([True, False], repeat=size)]
    try:
        hull = ConvexHull(np.concatenate(corners))
        walls = np.unique(np.vstack([hull.equations, np.column_stack([-np.eye(size), reference])]).round(12), axis=0)
        # the centre of the largest ball inside, which the intersection of half-spaces starts from
        found = linprog(
            np.append(np.zeros(size), -1.0),
            A_ub=np.column_stack([walls[:, :-1], np.linalg.norm(walls[:, :-1], axis=1)]),
            b_ub=-walls[:, -1],
            bounds=[(None, None)] * size + [(0, None)],
        )
        if not found.success or found.x[-1] < 1e-9:  # mixtures do not exceed the reference point
            return hypervolume(points, reference_point)
        inside = HalfspaceIntersection(walls, found.x[:-1]).intersections
        volume = ConvexHull(inside).volume * float(unit.prod())
    except QhullError:  # too flat to be told from none
        return hypervolume(points, reference_point)
    return max(float(volume), hypervolume(points, reference_point))
