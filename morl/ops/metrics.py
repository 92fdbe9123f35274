"""Quality metrics of a front: an array (n, R) of vector returns, every objective maximised."""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.ops.pareto import as_points, non_dominated
from morl.ops.vectors import as_vector

Floats = NDArray[np.float64]

# largest number of points for which moocore's exact hypervolume took at most about a second on one core, by objectives
_EXACT_UP_TO = {5: 4000, 6: 600, 7: 200, 8: 100, 9: 60, 10: 40, 11: 30, 12: 25}
_EXACT_BEYOND_12 = 15


def check_reference_point(reference_point: ArrayLike, num_objectives: int, objectives: Sequence[str] = ()) -> Floats:
    """Return the reference point as an array (R,).

    Args:
        reference_point: R numbers, or a text of them.
        num_objectives: R.
        objectives: their names for errors, where they are known.

    Raises:
        UserError: not R finite numbers.
    """
    what, unit = "the reference point", "finite numbers"
    return as_vector(reference_point, what, num_objectives, unit, objectives, finite=True)


def _above(points: ArrayLike, reference_point: ArrayLike) -> tuple[Floats, Floats]:
    """Return the non-dominated points that exceed the reference point in every objective, and the reference point."""
    array = as_points(points)
    reference = check_reference_point(reference_point, array.shape[1])
    array = array[(array > reference).all(axis=1)]
    return array[non_dominated(array, keep_duplicates=False)], reference


def explain_no_hypervolume(
    points: ArrayLike, reference_point: ArrayLike, objectives: Sequence[str], what: str = "policy"
) -> str | None:
    """Return why a hypervolume is 0, and a reference point that gives another; None where it is not 0.

    Args:
        points: (n, R) vector returns.
        reference_point: (R,).
        objectives: R names.
        what: the word for a point.
    """
    array = as_points(points)
    reference = check_reference_point(reference_point, array.shape[1])
    if not len(array) or (array > reference).all(axis=1).any():
        return None
    best = array.max(axis=0)
    failing = [
        f"{bound:g} in {name} (best {most:.6g})"
        for name, bound, most in zip(objectives, reference, best, strict=True)
        if most <= bound
    ]
    where = " or ".join(failing) if failing else "the reference point in all objectives at once"
    span = np.ptp(array, axis=0)
    margin = np.where(span > 0, 0.1 * span, np.maximum(0.1 * np.abs(array[0]), 1e-6))
    unit = 10.0 ** np.floor(np.log10(margin))  # round to a digit of the margin, downwards
    lower = " ".join(f"{x:.10g}" for x in np.minimum(np.floor((array.min(axis=0) - margin) / unit) * unit, reference))
    return f"the hypervolume is 0, as no {what} exceeds {where}; a reference point below all of them: {lower}"


def hypervolume(points: ArrayLike, reference_point: ArrayLike) -> float:
    """Return the exact volume dominated by the points and bounded by the reference point (moocore, in C).

    Points that do not exceed the reference point add nothing. The time grows steeply with the number of objectives; see
    :func:`hypervolume_estimate`.

    Args:
        points: (n, R) vector returns.
        reference_point: (R,).

    Raises:
        UserError: points that are not finite, or a reference point of the wrong length.
    """
    above, reference = _above(points, reference_point)
    return float(moocore.hypervolume(above, ref=reference, maximise=True)) if len(above) else 0.0


def hypervolume_estimate(points: ArrayLike, reference_point: ArrayLike) -> tuple[float, bool]:
    """Return the hypervolume, and whether it is exact; for many points of 5 or more objectives it is approximated.

    The approximation is used where the exact one would take more than about a second. It is the quasi-Monte-Carlo
    integration of Deng and Zhang (2019) over moocore's Rphi-FWE+ directions, which is deterministic. On random fronts
    of 6 to 9 objectives its error was mostly below 0.5 %. Where all points are close to the reference point, expect a
    few percent.

    Args:
        points: (n, R) vector returns.
        reference_point: (R,).

    Raises:
        UserError: as for :func:`hypervolume`.
    """
    above, reference = _above(points, reference_point)
    num_objectives = above.shape[1]
    if num_objectives <= 4 or len(above) <= _EXACT_UP_TO.get(num_objectives, _EXACT_BEYOND_12):
        return hypervolume(above, reference), True
    # scaled, as it samples directions: an objective of a much larger range than the others would make it miss most
    above = above - reference
    span = above.max(axis=0)
    origin = np.zeros(num_objectives)
    # all arguments given, as the default method differs between releases of moocore
    value = moocore.hv_approx(above / span, ref=origin, maximise=True, nsamples=2**18, method="Rphi-FWE+")
    return float(value * span.prod()), False


def check_points(points: ArrayLike, num_objectives: int | None = None, what: str = "points") -> Floats:
    """Return points as an array (n, R) with n at least 1, of the wanted number of objectives.

    Args:
        points: (n, R).
        num_objectives: R; ``None`` for any.
        what: the word for the points in errors.

    Raises:
        UserError: no points, points that are not finite, or another number of objectives.
    """
    array = as_points(points)
    if len(array) == 0:
        raise UserError(f"there must be at least one of the {what}")
    if num_objectives not in (None, array.shape[1]):
        raise UserError(f"the {what} have {array.shape[1]} columns, the points {num_objectives} objectives")
    return array


def _utilities(points: Floats, preferences: ArrayLike) -> Floats:
    """Return the best preference-weighted return under each of the preferences (k, R), (k,)."""
    weights = check_points(preferences, points.shape[1], "preferences")
    return np.asarray((points @ weights.T).max(axis=0))


def expected_utility(points: ArrayLike, preferences: ArrayLike) -> float:
    """Return the mean over preferences of the best preference-weighted return (Zintgraf et al., 2015).

    The number depends on the preferences, so say which they are.

    Args:
        points: (n, R) vector returns.
        preferences: (k, R) weights.

    Raises:
        UserError: no points or preferences, ones not finite, or of different numbers of objectives.
    """
    return float(_utilities(check_points(points), preferences).mean())


def maximum_utility_loss(points: ArrayLike, front: ArrayLike, preferences: ArrayLike) -> float:
    """Return the largest loss of utility against the known front over preferences (Zintgraf et al., 2015).

    It is often largest at a corner of the simplex, so include the corners in the preferences. It is below 0 only if the
    points are better than the front under every preference.

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.
        preferences: (k, R) weights.

    Raises:
        UserError: no points, front or preferences, ones not finite, or of different numbers of objectives.
    """
    array, known = check_pair(points, front)
    return float((_utilities(known, preferences) - _utilities(array, preferences)).max())


def sparsity(points: ArrayLike) -> float:
    """Return the sum over objectives of squared gaps between neighbours, over n - 1 (Xu et al., 2020); lower is denser.

    It does not measure how good a front is: read it beside the hypervolume. It is NaN, not defined, for fewer than
    three points: one has no gap, and two have only their own distance.

    Args:
        points: (n, R) front of non-dominated, distinct points.

    Raises:
        UserError: points that are not finite numbers.
    """
    array = as_points(points)
    if len(array) < 3:
        return np.nan
    return float((np.diff(np.sort(array, axis=0), axis=0) ** 2).sum() / (len(array) - 1))


def check_pair(points: ArrayLike, front: ArrayLike) -> tuple[Floats, Floats]:
    """Return points (n, R) and known front (m, R), checked: moocore returns 0 or infinity for an empty set."""
    array = check_points(points)
    return array, check_points(front, array.shape[1], "known front's points")


def igd(points: ArrayLike, front: ArrayLike) -> float:
    """Return the inverted generational distance (Coello Coello and Reyes Sierra, 2004).

    It is the mean distance from each point of the known front to the nearest of the points. Objectives of a larger
    range count more.

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.

    Raises:
        UserError: no points or front, ones not finite, or of different numbers of objectives.
    """
    array, known = check_pair(points, front)
    return float(moocore.igd(array, ref=known, maximise=True))


def igd_plus(points: ArrayLike, front: ArrayLike) -> float:
    """Return IGD+ (Ishibuchi et al., 2015): :func:`igd` with only the shortfall of the points as distance.

    It is weakly Pareto-compliant: a front that dominates another one never has a larger value.

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.

    Raises:
        UserError: as for :func:`igd`.
    """
    array, known = check_pair(points, front)
    return float(moocore.igd_plus(array, ref=known, maximise=True))


def epsilon_additive(points: ArrayLike, front: ArrayLike) -> float:
    """Return the least amount that, added to every point, makes them weakly dominate the known front.

    It is the additive epsilon indicator (Zitzler et al., 2003).

    Args:
        points: (n, R) vector returns.
        front: (m, R) known front.

    Raises:
        UserError: as for :func:`igd`.
    """
    array, known = check_pair(points, front)
    return float(moocore.epsilon_additive(array, ref=known, maximise=True))


def cardinality(points: ArrayLike) -> int:
    """Return the number of distinct non-dominated points among the points (n, R).

    Raises:
        UserError: points that are not finite numbers.
    """
    return int(non_dominated(points, keep_duplicates=False).sum())
