"""Runs against each other: what they reach on one scale, how sure that is, and how likely one is the better.

Interquartile means with bootstrap intervals and probabilities of improvement (Agarwal et al., 2021, NeurIPS), by SciPy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from morl.analysis.results import Result
from morl.errors import UserError
from morl.ops import metrics
from morl.ops.pareto import non_dominated
from morl.ops.preferences import spread
from morl.parsing import field_names
from morl.runs.front import Floats
from morl.settings import TrainSettings

Grouping = Literal["settings", "run"]
PREFERENCES = 100  # behind the expected utility
CONFIDENCE = 0.95
UNLIKE = ("seed", "num_seeds", "processes", "overlap")  # settings that runs of one group may differ in


@dataclass(frozen=True)
class Metric:
    """A number that tells how good a front is.

    Attributes:
        name, short: in words, and as a column.
        sign: 1 where more is better, -1 where less is.
    """

    name: str
    short: str
    sign: int


METRICS = (
    Metric("hypervolume", "HV", 1),
    Metric("expected_utility", "EU", 1),
    Metric("igd_plus", "IGD+", -1),
    Metric("sparsity", "SP", -1),
)


@dataclass(frozen=True)
class Measured:
    """The front of one training seed.

    Attributes:
        group, run, seed: where it is from.
        policies: how many.
        values: by the name of the metric.
        exact: the hypervolume is not approximated.
    """

    group: str
    run: str
    seed: int
    policies: int
    values: dict[str, float]
    exact: bool


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval it lies in, at :data:`CONFIDENCE`; of one seed there is none (NaN)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    Attributes:
        env, gamma: of all runs.
        reference_point: (R,) of all hypervolumes.
        own_reference: every run had that one.
        against_true: IGD+ is the distance to the true front, else to the best points of all runs together.
        measured: each front.
        means: by group and metric, the interquartile mean over the seeds.
        improvement: by two groups and a metric, the probability that a seed of the first is better than one of the
            second; of equal ones half.
    """

    env: str
    gamma: float
    reference_point: Floats
    own_reference: bool
    against_true: bool
    measured: tuple[Measured, ...]
    means: dict[tuple[str, str], Interval]
    improvement: dict[tuple[str, str, str], Interval]

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(front.group for front in self.measured))

    def of(self, group: str, metric: str) -> Floats:
        """(seeds,) values of a group."""
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
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: a reference point of another length, or a group that has a seed twice.
    """
    points = np.stack([result.reference_point for result in results])
    own = bool((points == points[0]).all())
    reference = points.min(axis=0)
    if reference_point is not None:
        reference, own = metrics.check_reference_point(reference_point, points.shape[1]), True
    names = _groups(results) if by == "settings" else [result.label for result in results]
    _check_seeds(results, names)
    true_front = next((result.true_front for result in results if result.true_front is not None), None)
    known = true_front
    if known is None:
        every = np.concatenate([table["returns"] for result in results for table in result.tables.values()])
        known = every[non_dominated(every, keep_duplicates=False)]
    measured = tuple(
        _measure(group, result, number, table["returns"], reference, known)
        for group, result in zip(names, results, strict=True)
        for number, table in result.tables.items()
    )
    groups = list(dict.fromkeys(names))
    rng = np.random.default_rng(seed)
    values = {
        (group, metric.name): np.array([x.values[metric.name] for x in measured if x.group == group])
        for group in groups
        for metric in METRICS
    }
    return Comparison(
        env=results[0].env,
        gamma=results[0].gamma,
        reference_point=reference,
        own_reference=own,
        against_true=true_front is not None,
        measured=measured,
        means={key: interval((sample,), _interquartile_mean, resamples, rng) for key, sample in values.items()},
        improvement={
            (one, two, metric.name): interval(
                tuple(metric.sign * values[group, metric.name] for group in (one, two)), _better, resamples, rng
            )
            for one, two in combinations(groups, 2)
            for metric in METRICS
        },
    )


def _measure(group: str, result: Result, seed: int, returns: Floats, reference: Floats, known: Floats) -> Measured:
    hypervolume, exact = metrics.hypervolume_estimate(returns, reference)
    values = {
        "hypervolume": hypervolume,
        "expected_utility": metrics.expected_utility(returns, spread(returns.shape[1], PREFERENCES)),
        "igd_plus": metrics.igd_plus(returns, known),
        "sparsity": metrics.sparsity(returns),
    }
    return Measured(group, result.label, seed, len(returns), values, exact)


def _groups(results: Sequence[Result]) -> list[str]:
    """Names of the groups the runs belong to: the agent, and settings in which groups differ."""
    alike = [{name: value for name, value in r.settings.items() if name not in UNLIKE} for r in results]
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


def _interquartile_mean(x: Floats, axis: int = -1) -> Any:
    """Mean of what is left without a quarter of the values at each end (rounded down: of three none is left out)."""
    return stats.trim_mean(x, 0.25, axis=axis)


def _better(x: Floats, y: Floats, axis: int = -1) -> Any:
    """Share of pairs (.., n, m) of (.., n) and (.., m) in which the first is larger; of equal ones half."""
    one, two = np.moveaxis(x, axis, -1)[..., :, None], np.moveaxis(y, axis, -1)[..., None, :]
    return ((one > two) + 0.5 * (one == two)).mean(axis=(-2, -1))


def interval(samples: tuple[Floats, ...], statistic: Any, resamples: int, rng: np.random.Generator) -> Interval:
    """A statistic of independent samples, and its percentile bootstrap interval."""
    value = float(statistic(*samples))
    if min(map(len, samples)) < 2:
        return Interval(value, np.nan, np.nan)
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        batch=1000,
        rng=rng,
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))
