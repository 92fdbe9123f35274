"""Measure a front by every registered metric; registers those of :mod:`morl.ops.metrics`.

The registrations are names and strings, so importing this loads nothing but NumPy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError, blame
from morl.registry import MetricSpec, load, metric_specs, register_metric

Floats = NDArray[np.float64]

NUM_PREFERENCES = 100
"""Equally spaced preferences that commands average over."""

FIRST_COLUMNS = ("hypervolume", "hypervolume_exact", "expected_utility", "sparsity", "front_size", "hypervolume_share")
"""Columns of ``metrics.csv`` in their order; other metrics come after them."""

# In the order of the columns of ``morl compare``.
for _spec in (
    MetricSpec(
        "hypervolume", "HV", "hypervolume", 1, "morl.ops.metrics:hypervolume_estimate", needs=("reference_point",)
    ),
    MetricSpec(
        "expected_utility", "EU", "expected utility", 1, "morl.ops.metrics:expected_utility", needs=("preferences",)
    ),
    MetricSpec(
        "igd_plus",
        "IGD+",
        "mean distance of a known front",
        -1,
        "morl.yardsticks.coverage:igd_plus",
        needs=("known_front",),
    ),
    MetricSpec("sparsity", "SP", "sparsity", -1, "morl.ops.metrics:sparsity"),
    MetricSpec(
        "hypervolume_tight",
        "tight",
        "share of the known front's hypervolume at the tight reference point",
        1,
        "morl.yardsticks.coverage:hypervolume_tight",
        needs=("known_front",),
    ),
    MetricSpec(
        "hypervolume_box",
        "box",
        "share of the box from the tight reference point to the ideal",
        1,
        "morl.yardsticks.coverage:hypervolume_box",
        needs=("known_front",),
    ),
    MetricSpec(
        "covered_share",
        "covered",
        "share of the known front covered within 2 % of its range",
        1,
        "morl.yardsticks.coverage:covered_share",
        needs=("known_front",),
    ),
    MetricSpec(
        "largest_gap",
        "gap",
        "largest distance from a known point to the nearest found",
        -1,
        "morl.yardsticks.coverage:largest_gap",
        needs=("known_front",),
    ),
    MetricSpec(
        "epsilon_additive",
        "EPS+",
        "additive epsilon",
        -1,
        "morl.yardsticks.coverage:epsilon_additive",
        needs=("known_front",),
    ),
    MetricSpec(
        "maximum_utility_loss",
        "MUL",
        "maximum utility loss",
        -1,
        "morl.yardsticks.coverage:maximum_utility_loss",
        needs=("known_front", "preferences"),
    ),
    MetricSpec(
        "mean_utility_loss",
        "UL",
        "mean utility loss",
        -1,
        "morl.yardsticks.coverage:mean_utility_loss",
        needs=("known_front", "preferences"),
    ),
    MetricSpec(
        "cardinality",
        "N",
        "distinct non-dominated points",
        0,
        "morl.ops.metrics:cardinality",
        during_training=False,  # front_size says it there
    ),
):
    register_metric(_spec)


OVER_FRONT: dict[str, Callable[..., Any]] = {"max": np.max, "mean": np.mean, "min": np.min}
"""Statistics over a front of each objective's return."""


def objective_columns(objectives: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return the columns of ``metrics.csv`` for single objectives: column, objective and statistic over the front."""
    return [(f"return/{name}/{statistic}", name, statistic) for name in objectives for statistic in OVER_FRONT]


def objective_metrics(points: ArrayLike, objectives: Sequence[str]) -> dict[str, float]:
    """Return the largest, mean and smallest return of each objective over a front (n, R), by column."""
    by_name = dict(zip(objectives, np.asarray(points, np.float64).T, strict=True))
    return {column: float(OVER_FRONT[kind](by_name[name])) for column, name, kind in objective_columns(objectives)}


def measure(
    points: ArrayLike,
    specs: Iterable[MetricSpec],
    *,
    reference_point: ArrayLike,
    preferences: ArrayLike,
    known_front: ArrayLike | None = None,
) -> dict[str, float]:
    """Measure a front by metrics, each under its name; those that need a known front only where there is one.

    A metric that tells whether its value is exact has a second entry, such as ``hypervolume_exact``, 1 or 0. A metric
    of another package that fails is NaN and warned of.

    Args:
        points: (n, R) vector returns, all maximised.
        specs: the metrics.
        reference_point: (R,).
        preferences: (K, R) on the simplex.
        known_front: (m, R).

    Raises:
        UserError: no points, points that are not finite, or arrays of different numbers of objectives.
    """
    given = {"reference_point": reference_point, "preferences": preferences, "known_front": known_front}
    values: dict[str, float] = {}
    for spec in specs:
        arguments = [given[need] for need in spec.needs]
        if any(argument is None for argument in arguments):
            continue
        found = _computed(spec, points, arguments)
        value, *exact = found if isinstance(found, tuple) else (found,)
        values[spec.name] = value if isinstance(value, int) else float(value)
        if exact:
            values[f"{spec.name}_exact"] = int(exact[0])
    return values


def _computed(spec: MetricSpec, points: ArrayLike, arguments: list[Any]) -> Any:
    """Return what a metric's function gives; NaN where one of another package fails."""
    if spec.entry_point.startswith("morl."):
        return load(spec.entry_point)(points, *arguments)
    try:
        found = load(spec.entry_point)(points, *arguments)
        float(found[0] if isinstance(found, tuple) else found)
    except (Exception, SystemExit) as error:  # of any kind: it is not this library's code, and must not end a training
        why = str(error) if isinstance(error, UserError) else blame(error)
        warnings.warn(f"metric {spec.name} ({spec.entry_point}) failed: {why}", stacklevel=3)
        return math.nan
    return found


def front_metrics(
    points: ArrayLike,
    reference_point: ArrayLike,
    true_front: ArrayLike | None,
    preferences: ArrayLike,
    *,
    known_front: ArrayLike | None = None,
    true_hypervolume: float | None = None,
) -> dict[str, float]:
    """Measure the front of a training under way: the columns of ``metrics.csv``, by name and in their order.

    Besides the metrics registered for that, ``front_size`` is the number of points, and ``hypervolume_share`` the
    hypervolume over that of the true front where there is one.

    Args:
        points: (n, R) vector returns, all maximised.
        reference_point: (R,).
        true_front: (m, R), if known.
        preferences: (K, R) on the simplex.
        known_front: (m, R) to measure against; by default the true front.
        true_hypervolume: hypervolume of the true front, where it has been computed before.

    Raises:
        UserError: as :func:`measure`.
    """
    specs = [spec for spec in metric_specs().values() if spec.during_training]
    known = true_front if known_front is None else known_front
    values = measure(points, specs, reference_point=reference_point, preferences=preferences, known_front=known)
    values["front_size"] = len(np.asarray(points))
    if true_front is not None:
        if true_hypervolume is None:
            from morl.ops.metrics import hypervolume

            true_hypervolume = hypervolume(true_front, reference_point)
        if true_hypervolume:
            values["hypervolume_share"] = values["hypervolume"] / true_hypervolume
    first = [name for name in FIRST_COLUMNS if name in values]
    return {name: values[name] for name in dict.fromkeys([*first, *values])}
