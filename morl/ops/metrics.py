"""Quality of a front: an array (n, R) of vector returns, every objective maximised."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.ops.pareto import as_points, non_dominated

Floats = NDArray[np.float64]

# Points up to which moocore's exact hypervolume took about a second at most on one core, by number of objectives.
_EXACT_UP_TO = {5: 4000, 6: 600, 7: 200, 8: 100, 9: 60, 10: 40, 11: 30, 12: 25}
_EXACT_BEYOND_12 = 15


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

    The approximation is used where the exact one takes beyond about a second. It is the quasi-Monte-Carlo integration
    of Deng and Zhang (2019) over moocore's Rphi-FWE+ directions, which is deterministic. On random fronts of 6 to 9
    objectives it was off by less than 0.5 % mostly; expect a few percent where all points are close to the reference
    point.

    Raises:
        UserError: as :func:`hypervolume`.
    """
    above, reference = _above(points, reference_point)
    num_objectives = above.shape[1]
    if num_objectives <= 4 or len(above) <= _EXACT_UP_TO.get(num_objectives, _EXACT_BEYOND_12):
        return hypervolume(above, reference), True
    # It samples directions, so an objective of a thousand times the range of the others makes it miss nearly all.
    above = above - reference
    span = above.max(axis=0)
    origin = np.zeros(num_objectives)
    # Named in full: the default method differs between releases of moocore.
    value = moocore.hv_approx(above / span, ref=origin, maximise=True, nsamples=2**18, method="Rphi-FWE+")
    return float(value * span.prod()), False


def _some_points(points: ArrayLike, num_objectives: int | None = None, what: str = "points") -> Floats:
    """At least one point, of the wanted number of objectives."""
    array = as_points(points)
    if len(array) == 0:
        raise UserError(f"there must be at least one of the {what}")
    if num_objectives not in (None, array.shape[1]):
        raise UserError(f"the {what} have {array.shape[1]} columns, the points {num_objectives} objectives")
    return array


def _utilities(points: Floats, preferences: ArrayLike) -> Floats:
    """(k,) best preference-weighted return under each of the preferences (k, R)."""
    weights = _some_points(preferences, points.shape[1], "preferences")
    return np.asarray((points @ weights.T).max(axis=0))


def expected_utility(points: ArrayLike, preferences: ArrayLike) -> float:
    """Mean over the preferences (k, R) of the best preference-weighted return of the points (n, R).

    Zintgraf et al. (2015); the number depends on which preferences are averaged over, so say which.

    Raises:
        UserError: no points or preferences, ones not finite, or of different numbers of objectives.
    """
    return float(_utilities(_some_points(points), preferences).mean())


def maximum_utility_loss(points: ArrayLike, front: ArrayLike, preferences: ArrayLike) -> float:
    """Largest utility given up, over preferences (k, R), by having the points (n, R) and not the known front (m, R).

    Zintgraf et al. (2015). Where it is largest is often a corner of the simplex, so have the corners among the
    preferences. Below 0 only if the points are better than the front under every preference.

    Raises:
        UserError: no points, front or preferences, ones not finite, or of different numbers of objectives.
    """
    array, known = _pair(points, front)
    return float((_utilities(known, preferences) - _utilities(array, preferences)).max())


def sparsity(points: ArrayLike) -> float:
    """Sum over objectives of squared gaps between neighbours, over n − 1; lower is denser (Xu et al., 2020).

    The points (n, R) are a front: non-dominated, each once. Zero for fewer than two. It says nothing of how good a
    front is: read it beside the hypervolume.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    if len(array) < 2:
        return 0.0
    return float((np.diff(np.sort(array, axis=0), axis=0) ** 2).sum() / (len(array) - 1))


def _pair(points: ArrayLike, front: ArrayLike) -> tuple[Floats, Floats]:
    """Points and known front, checked here: moocore gives 0 or infinity for an empty set."""
    array = _some_points(points)
    return array, _some_points(front, array.shape[1], "known front's points")


def igd(points: ArrayLike, front: ArrayLike) -> float:
    """Inverted generational distance: mean distance from each point of the known front (m, R) to the nearest of (n, R).

    Coello Coello and Reyes Sierra (2004). Objectives of larger range count for more.

    Raises:
        UserError: no points or front, ones not finite, or of different numbers of objectives.
    """
    array, known = _pair(points, front)
    return float(moocore.igd(array, ref=known, maximise=True))


def igd_plus(points: ArrayLike, front: ArrayLike) -> float:
    """IGD+ (Ishibuchi et al., 2015): as :func:`igd`, counting only how far the points fall short; Pareto-compliant.

    Raises:
        UserError: as :func:`igd`.
    """
    array, known = _pair(points, front)
    return float(moocore.igd_plus(array, ref=known, maximise=True))


def epsilon_additive(points: ArrayLike, front: ArrayLike) -> float:
    """Additive epsilon (Zitzler et al., 2003): the least amount to add to every point so that they dominate the front.

    Raises:
        UserError: as :func:`igd`.
    """
    array, known = _pair(points, front)
    return float(moocore.epsilon_additive(array, ref=known, maximise=True))


def cardinality(points: ArrayLike) -> int:
    """How many distinct non-dominated points there are.

    Raises:
        UserError: points that are not finite numbers.
    """
    return int(non_dominated(points, keep_duplicates=False).sum())
