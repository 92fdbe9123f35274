"""Comparison of runs: metrics on one scale with confidence intervals, and probabilities of improvement.

Interquartile means with bootstrap intervals and probabilities of improvement (Agarwal et al., 2021, NeurIPS).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from morl.analysis import results
from morl.analysis.results import Result, Runs
from morl.errors import UserError
from morl.ops import metrics
from morl.ops.bootstrap import (
    Interval,
    Statistic,
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
)
from morl.ops.pareto import non_dominated
from morl.ops.preferences import equally_spaced_weights
from morl.parsing import field_names
from morl.quality import NUM_PREFERENCES, measure
from morl.registry import MetricSpec, metric_specs
from morl.runs.front import Floats
from morl.settings import TrainSettings
from morl.words import brief_repr
from morl.yardsticks.fronts import KnownFront
from morl.yardsticks.protocol import Protocol, differences

Grouping = Literal["settings", "run"]
FIRST = 4  # the first metrics share their bootstrap draws
UNLIKE = ("seed", "num_seeds", "processes", "threads", "overlap")  # settings that runs of one group may differ in


@dataclass(frozen=True)
class Measured:
    """Metrics of the front of one training seed.

    Attributes:
        group, run, seed: its group, the label of its run, and its training seed.
        policies: number of policies.
        values: by the name of the metric; see :func:`morl.quality.measure`.
        note: why a hypervolume is 0, at the reference point or the tight one, if it is.
    """

    group: str
    run: str
    seed: int
    policies: int
    values: dict[str, float]
    note: str | None = None

    @property
    def exact(self) -> bool:
        """True if the hypervolume is exact, not an approximation."""
        return bool(self.values["hypervolume_exact"])


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`.

    Attributes:
        env, gamma: environment and discount of all runs.
        reference_point: (R,) reference point of all hypervolumes.
        own_reference: every run had that reference point.
        known_front: the front that others are measured against: that of the environment, else the best points of all
            runs together.
        protocol: of the first run, with the common reference point.
        notes: how protocols of the runs differ, and the objectives that the reference point hides.
        metrics: the metrics, in the order of the columns.
        measured: the fronts.
        means: interquartile mean over the seeds, by group and metric.
        improvement: probability that a seed of the first group is better than one of the second, ties counting half;
            by both groups and the metric. Metrics with sign 0 have none.
    """

    env: str
    gamma: float
    reference_point: Floats
    own_reference: bool
    known_front: KnownFront
    protocol: Protocol
    notes: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    measured: tuple[Measured, ...]
    means: dict[tuple[str, str], Interval]
    improvement: dict[tuple[str, str, str], Interval]
    __repr__ = brief_repr

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(front.group for front in self.measured))

    def of(self, group: str, metric: str) -> Floats:
        """Return the values (seeds,) of a metric in a group."""
        return np.array([front.values[metric] for front in self.measured if front.group == group])


def compare(
    results: Sequence[Result],
    *,
    by: Grouping = "settings",
    reference_point: ArrayLike | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Measure every seed's front on one scale, and groups of them against each other.

    Args:
        results: runs that can be put together, see :func:`morl.analysis.results.read`.
        by: what makes a group: the same agent and settings but for the seed, or each run.
        reference_point: (R,) of the hypervolume; by default the runs' own, of different ones the lowest in every
            objective.
        resamples: resamples of the bootstrap.
        seed: seed of the bootstrap.

    Raises:
        UserError: a reference point of another length, or a group that has a seed twice.
    """
    points = np.stack([result.reference_point for result in results])
    own = bool((points == points[0]).all())
    reference = points.min(axis=0)
    if reference_point is not None:
        reference, own = metrics.check_reference_point(reference_point, points.shape[1], results[0].objectives), True
    names = _groups(results) if by == "settings" else [result.label for result in results]
    _check_seeds(results, names)
    known = common_front(results)
    protocol = dataclasses.replace(results[0].protocol, reference_point=reference, known_front=known)
    differing = differences((result.label, recorded(result)) for result in results)
    specs = tuple(metric_specs().values())
    preferences = equally_spaced_weights(points.shape[1], NUM_PREFERENCES)
    measured = tuple(
        Measured(
            group,
            result.label,
            number,
            len(table["returns"]),
            measure(
                table["returns"], specs, reference_point=reference, preferences=preferences, known_front=known.points
            ),
            "; ".join(protocol.no_hypervolume(table["returns"])) or None,
        )
        for group, result in zip(names, results, strict=True)
        for number, table in result.tables.items()
    )
    groups = list(dict.fromkeys(names))
    rng = np.random.default_rng(seed)
    means: dict[tuple[str, str], Interval] = {}
    improvement: dict[tuple[str, str, str], Interval] = {}
    # A further metric draws after the others, so that it does not change their intervals.
    for some in (specs[:FIRST], *((spec,) for spec in specs[FIRST:])):
        values = {
            (group, spec.name): np.array([x.values[spec.name] for x in measured if x.group == group])
            for group in groups
            for spec in some
        }
        means |= {key: _interval((sample,), interquartile_mean, resamples, rng) for key, sample in values.items()}
        improvement |= {
            (one, two, spec.name): _interval(
                tuple(spec.sign * values[group, spec.name] for group in (one, two)),
                probability_of_improvement,
                resamples,
                rng,
            )
            for one, two in combinations(groups, 2)
            for spec in some
            if spec.sign
        }
    return Comparison(
        env=results[0].env,
        gamma=results[0].gamma,
        reference_point=reference,
        own_reference=own,
        known_front=known,
        protocol=protocol,
        notes=(*([differing] if differing else []), *protocol.hidden(known.points)),
        metrics=specs,
        measured=measured,
        means=means,
        improvement=improvement,
    )


def common_front(results: Sequence[Result]) -> KnownFront:
    """Return the front that runs are measured against: that of their environment, else their best points together."""
    for result in results:
        if result.protocol.known_front is not None:
            return result.protocol.known_front
    every = np.concatenate([table["returns"] for result in results for table in result.tables.values()])
    return KnownFront(every[non_dominated(every, keep_duplicates=False)], "pooled")


def recorded(result: Result) -> dict[str, Any]:
    """Return the protocol that a run has recorded, as a mapping; of a run of an older version what is known of it."""
    noted = result.notes.get("protocol")
    if isinstance(noted, Mapping):
        return dict(noted)
    found = result.protocol.as_dict()
    return {
        name: value for name, value in found.items() if name not in ("package", "known_front", "tight_reference_point")
    }


def _interval(samples: tuple[Floats, ...], statistic: Statistic, resamples: int, rng: np.random.Generator) -> Interval:
    """Return :func:`bootstrap_interval`, NaN where a sample is not finite: a metric of another package has failed."""
    if not all(np.isfinite(sample).all() for sample in samples):
        return Interval(np.nan, np.nan, np.nan)
    return bootstrap_interval(samples, statistic, resamples, rng)


def _groups(results: Sequence[Result]) -> list[str]:
    """Return the name of each run's group: the agent, and the settings in which groups differ."""
    alike = [{name: value for name, value in r.settings.items() if name not in UNLIKE} for r in results]
    for settings, result in zip(alike, results, strict=True):
        if "filled" in result.notes:  # by morl fill, from a run of the same settings
            settings["filled"] = "yes"
    names, shared = [], field_names(TrainSettings)
    for settings in alike:
        others = [other for other in alike if other["agent"] == settings["agent"]]
        differing = [
            name
            for name, value in settings.items()
            if name != "agent"
            and any(
                other.get(name) != value
                for other in (alike if name in shared else others)
                if name in other or other in others  # runs of another agent may have fewer settings
            )
        ]
        texts = [f"{name}={_text(settings[name])}" for name in differing]
        names.append(" ".join([str(settings["agent"]), *texts]))
    return names


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str).replace(" ", "")


def _check_seeds(results: Sequence[Result], groups: Sequence[str]) -> None:
    where: dict[tuple[str, int], str] = {}
    for group, result in zip(groups, results, strict=True):
        for seed in result.tables:
            first = where.setdefault((group, seed), str(result.path))
            if first != str(result.path):
                raise UserError(
                    f"seed {seed} of {group} is both in {first} and in {result.path}, and would count twice; leave one "
                    "out, or compare --by run"
                )


def compare_runs(
    runs: Runs,
    *,
    by: Grouping = "settings",
    reference_point: ArrayLike | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare finished runs of one environment, as ``morl compare`` does.

    >>> import morl
    >>> found = morl.compare_runs(["runs/a", "runs/b"])  # doctest: +SKIP
    >>> found.means[found.groups[0], "hypervolume"].value  # doctest: +SKIP

    Args:
        runs: run directories, or one of them.
        by: what makes a group: the same agent and settings but for the seed, or each run.
        reference_point: (R,) of the hypervolume; by default the runs' own, of different ones the lowest in every
            objective.
        resamples: bootstrap samples behind each interval.
        seed: of these samples.

    Raises:
        UserError: not a finished run, one that is given twice, or runs whose returns are not of the same kind.
    """
    found = results.read(results.paths_of(runs))
    return compare(found, by=by, reference_point=reference_point, resamples=resamples, seed=seed)
