"""Quality of a front: an array (n, R) of vector returns, every objective maximised."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.pareto import as_points, non_dominated

Floats = NDArray[np.float64]

# Points up to which moocore's exact hypervolume took about a second on one core, by number of objectives.
_EXACT_UP_TO = {5: 1000, 6: 800, 7: 200, 8: 100, 9: 60}
_EXACT_BEYOND_9 = 20


def check_reference_point(reference_point: ArrayLike, num_objectives: int) -> Floats:
    """The reference point as an array (R,).

    Raises:
        UserError: not R finite numbers.
    """
    point = np.asarray(reference_point, np.float64)
    if point.shape != (num_objectives,) or not np.isfinite(point).all():
        given = " ".join(f"{x:g}" for x in point.ravel())
        raise UserError(f"the reference point has {num_objectives} finite numbers, one an objective, not {given!r}")
    return point


def _above(points: ArrayLike, reference_point: ArrayLike) -> tuple[Floats, Floats]:
    """Non-dominated points that exceed the reference point in every objective, and the point."""
    array = as_points(points)
    reference = check_reference_point(reference_point, array.shape[1])
    array = array[(array > reference).all(axis=1)]
    return array[non_dominated(array, keep_duplicates=False)], reference


def hypervolume(points: ArrayLike, reference_point: ArrayLike) -> float:
    """Volume dominated by the points (n, R) and bounded by the reference point (R,), exactly (moocore, in C).

    Points that do not exceed the reference point add nothing. Time grows steeply with the objectives: see
    :func:`hypervolume_estimate`.

    Raises:
        UserError: points that are not finite, a reference point of the wrong length.
    """
    above, reference = _above(points, reference_point)
    return float(moocore.hypervolume(above, ref=reference, maximise=True)) if len(above) else 0.0


def hypervolume_estimate(points: ArrayLike, reference_point: ArrayLike) -> tuple[float, bool]:
    """Hypervolume, and whether it is exact: from 5 objectives on and many points it is moocore's approximation.

    The approximation (DZ2019-HW, deterministic) is used where the exact one takes beyond about a second. Against the
    exact one it was usually within 1 % and at worst 4 % off.
    """
    above, reference = _above(points, reference_point)
    num_objectives = above.shape[1]
    if num_objectives <= 4 or len(above) <= _EXACT_UP_TO.get(num_objectives, _EXACT_BEYOND_9):
        return hypervolume(above, reference), True
    return float(moocore.hv_approx(above, ref=reference, maximise=True)), False


def expected_utility(points: ArrayLike, preferences: ArrayLike) -> float:
    """Mean over the preferences (k, R) of the best preference-weighted return of the points (n, R).

    Zintgraf et al. (2015); the number depends on which preferences are averaged over, so say which.
    """
    return float((as_points(points) @ np.asarray(preferences, np.float64).T).max(axis=0).mean())


def sparsity(points: ArrayLike) -> float:
    """Sum over objectives of the squared gaps between neighbours, over n − 1; lower is denser (Xu et al., 2020, PG-MORL).

    Zero for fewer than two points. It says nothing of how good a front is: read it beside the hypervolume.
    """
    array = as_points(points)
    if len(array) < 2:
        return 0.0
    return float((np.diff(np.sort(array, axis=0), axis=0) ** 2).sum() / (len(array) - 1))


def igd(points: ArrayLike, front: ArrayLike) -> float:
    """Inverted generational distance: mean distance from each point of the known front to the nearest of the points."""
    return float(moocore.igd(as_points(points), ref=as_points(front), maximise=True))


def igd_plus(points: ArrayLike, front: ArrayLike) -> float:
    """IGD+ (Ishibuchi et al., 2015): as :func:`igd`, counting only how far the points fall short; Pareto-compliant."""
    return float(moocore.igd_plus(as_points(points), ref=as_points(front), maximise=True))


def epsilon_additive(points: ArrayLike, front: ArrayLike) -> float:
    """Additive epsilon: the least amount to add to every point so that they dominate the known front."""
    return float(moocore.epsilon_additive(as_points(points), ref=as_points(front), maximise=True))


def maximum_utility_loss(points: ArrayLike, front: ArrayLike, preferences: ArrayLike) -> float:
    """Largest utility given up, over the preferences (k, R), by having the points and not the known front."""
    weights = np.asarray(preferences, np.float64).T
    return float(((as_points(front) @ weights).max(axis=0) - (as_points(points) @ weights).max(axis=0)).max())


def cardinality(points: ArrayLike) -> int:
    """How many distinct non-dominated points there are."""
    return int(non_dominated(points, keep_duplicates=False).sum())
