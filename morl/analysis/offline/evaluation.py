"""Evaluation of a run's fronts by logged episodes: returns of every policy, and of each front, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.analysis.offline import intervals
from morl.analysis.offline.compiled import PolicyEstimates, PreparedLog, compiled, means, prepared
from morl.analysis.offline.files import read_log
from morl.analysis.offline.logs import EpisodeLog, check_task
from morl.analysis.offline.policies import ActionModel, action_model
from morl.analysis.offline.recording import ONLY_ITSELF, policies_of
from morl.analysis.offline.settings import ESTIMATORS, Estimator, LogSettings
from morl.errors import UserError
from morl.loading import fronts_of, setup_of
from morl.ops.bootstrap import Interval
from morl.ops.preferences import check_preference
from morl.runs.csv import csv_text
from morl.runs.front import Floats, Front
from morl.runs.front_csv import goal_of
from morl.settings import Device
from morl.training.backends import devices
from morl.validation import changed
from morl.words import brief_repr

STRAY = 4.0  # standard errors of the mean weight from 1 beyond which a policy is told of


@dataclass(frozen=True)
class Estimate:
    """Returns of P judged policies by one estimator, and those of their front.

    Attributes:
        samples: (1 + B, P, R) estimates by the log, and by its B resamples.
        low, high: (P, R) ends of the intervals of the returns.
        non_dominated: (P,) share of the resamples in which no other judged policy dominates the policy.
        hypervolume: of the judged policies.
        sharpe: SharpeRatio@k of the judged policies.
    """

    samples: Floats
    low: Floats
    high: Floats
    non_dominated: Floats
    hypervolume: Interval
    sharpe: Interval
    __repr__ = brief_repr

    @property
    def returns(self) -> Floats:
        """Estimates (P, R)."""
        returns: Floats = self.samples[0]
        return returns


@dataclass(frozen=True)
class JudgedFront:
    """Front of one training seed, judged by a log.

    Attributes:
        front: the n policies.
        effective: (n,) effective sample size of each, in episodes.
        judged: the P rows that have enough of it.
        behaviour, behaviour_low, behaviour_high: (R,) mean return of the logged episodes, with its interval.
        estimates: by estimator.
        notes: warnings.
    """

    front: Front
    effective: Floats
    judged: tuple[int, ...]
    behaviour: Floats
    behaviour_low: Floats
    behaviour_high: Floats
    estimates: dict[Estimator, Estimate]
    notes: tuple[str, ...]
    __repr__ = brief_repr


@dataclass(frozen=True)
class LogEvaluation:
    """Fronts of a run judged by a log.

    Attributes:
        settings: of the evaluation.
        log: the episodes.
        fronts: by training seed.
    """

    settings: LogSettings
    log: EpisodeLog
    fronts: dict[int, JudgedFront]
    __repr__ = brief_repr

    def to_csv(self) -> str:
        """Return CSV with a row for each policy and estimator; numbers of the front are the same in all its rows.

        Policies that were not judged have one row, without estimates.
        """
        first = next(iter(self.fronts.values())).front
        ends = ("", "_low", "_high")
        header = [
            *("seed", "id", *(f"{goal_of(first)}_{name}" for name in first.objectives)),
            *("target", "estimator", "effective", "judged"),
            *(f"{name}{end}" for name in first.objectives for end in ends),
            "non_dominated",
            *(f"{name}{end}" for name in ("hypervolume", "sharpe_ratio") for end in ends),
            *(f"behaviour_{name}{end}" for name in first.objectives for end in ends),
            *("episodes", "gamma"),
        ]
        rows = [[seed, *row] for seed, judged in self.fronts.items() for row in self._rows(judged)]
        return csv_text(header, rows)

    def _rows(self, judged: JudgedFront) -> Iterator[list[Any]]:
        behaviour = np.stack([judged.behaviour, judged.behaviour_low, judged.behaviour_high], axis=1).ravel().tolist()
        about = [*behaviour, len(self.log.lengths), self.log.gamma]
        for row, effective in enumerate(judged.effective.tolist()):
            begin = [row, *judged.front.preferences[row].tolist(), self.settings.target]
            if row not in judged.judged:
                yield [*begin, "", effective, 0, *[np.nan] * (3 * len(judged.behaviour) + 7), *about]
                continue
            place = judged.judged.index(row)
            for name, each in judged.estimates.items():
                numbers = np.stack([each.returns[place], each.low[place], each.high[place]], axis=1).ravel().tolist()
                whole = [x for one in (each.hypervolume, each.sharpe) for x in (one.value, one.low, one.high)]
                yield [*begin, name, effective, 1, *numbers, float(each.non_dominated[place]), *whole, *about]


def evaluate_log(
    run: str | Path,
    log: str | Path | EpisodeLog,
    settings: LogSettings | None = None,
    *,
    seed: int = 0,
    reference_point: ArrayLike | None = None,
    device: Device = "auto",
    env: Any = None,
    **changes: Any,
) -> LogEvaluation:
    """Judge the policies of a finished run's fronts by logged episodes of another policy, without any new episode.

    Args:
        run: run directory; it is not touched.
        log: of the run's environment, objectives and discount: a file, or what :func:`morl.record_log` returns.
        settings: :class:`LogSettings`.
        seed: of the bootstrap and of the draws for the model of values.
        reference_point: (R,) of the hypervolume; by default the run's.
        device: auto, cpu, gpu or tpu.
        env: as for :func:`morl.load`.
        changes: settings by name, which win over ``settings``: ``estimator="pdis"``.

    Raises:
        UserError: not a finished run; a log that is incomplete or of something else; policies whose probabilities are
            not known; or none with enough effective episodes.
    """
    settings = changed(settings, LogSettings, changes)
    source = "the log" if isinstance(log, EpisodeLog) else str(log)
    setup, trained = setup_of(Path(run), env=env)
    setup.require("evaluate")
    if setup.has_objects:
        raise UserError(f"a sampler of objects ({setup.spec.name}) has no policies to judge by a log")
    if settings.preference is not None:
        check_preference(settings.preference, len(setup.objectives), setup.objectives)
    space, mask = setup.env.action_space, getattr(setup.env, "action_mask", None)
    model = action_model(setup.agent.learner, space, settings.target, mask)
    episodes = log if isinstance(log, EpisodeLog) else read_log(log)
    check_task(episodes, setup, source)
    if episodes.deterministic and settings.target == "sampled":
        raise UserError(f"{source}: {ONLY_ITSELF}; judge that by --target greedy")
    if len(episodes.lengths) < 2:
        raise UserError(f"{source} has one episode; a front is judged by two at least")
    chosen = devices.choose(device, 1, setup.spec.split_cores)
    with jax.default_device(chosen[0]):
        fronts = fronts_of(Path(run), setup, trained)
        judge, given = Judge(model, settings, setup.gamma), prepared(episodes, settings.resamples, seed)
        found = {number: judge(front.with_reference_point(reference_point), given) for number, front in fronts.items()}
    if not any(front.judged for front in found.values()):
        most = max(float(front.effective.max()) for front in found.values())
        raise UserError(
            f"{source} cannot judge any policy: of its {len(episodes.lengths)} episodes at most {most:.3g} are"
            f" effective, and min_effective is {settings.min_effective:g}; log a behaviour that is nearer, or a mixture"
        )
    return LogEvaluation(settings, episodes, found)


class Judge:
    """Judge of fronts by logs, compiled once for logs of about one size.

    Args:
        model: distributions of the policies.
        settings: of the evaluation.
        gamma: discount.
    """

    def __init__(self, model: ActionModel, settings: LogSettings, gamma: float) -> None:
        self._settings = settings
        self._estimate = compiled(model, gamma)

    def __call__(self, front: Front, given: PreparedLog) -> JudgedFront:
        """Return the front with estimates of those of its policies that the log can judge."""
        most = 2 ** int(np.ceil(np.log2(given.log.lengths.max())))  # few shapes, as each is compiled
        policies = policies_of(front, list(range(len(front))))
        found = jax.tree.map(np.asarray, self._estimate(*policies, given.steps, most=most))
        effective = found.effective.astype(np.float64)
        enough = effective >= self._settings.min_effective
        if given.log.deterministic:
            enough &= (found.weights == 1).all(axis=1)
        judged = tuple(np.flatnonzero(enough).tolist())
        low, high = intervals.percentile(given.behaviour[1:], given.behaviour[0])
        estimates: dict[Estimator, Estimate] = {}
        for name in ESTIMATORS if judged else ():
            parts = getattr(found, name)[list(judged)]
            values = np.moveaxis(parts, 1, 0).astype(np.float64) if name == "snpdis" else means(given.counts, parts)
            estimates[name] = self._estimate_of(values, given.behaviour, front)
        notes = tuple(self._notes(found, enough, front, given.log))
        return JudgedFront(front, effective, judged, given.behaviour[0], low, high, estimates, notes)

    def _estimate_of(self, values: Floats, behaviour: Floats, front: Front) -> Estimate:
        """Return the estimate of values (1 + B, P, R) beside the behaviour's (1 + B, R)."""
        low, high = intervals.percentile(values[1:], values[0])
        volumes = intervals.hypervolumes(values, front.reference_point)
        number = values.shape[-1]
        preference = np.asarray(self._settings.preference or np.full(number, 1 / number), np.float64)
        ratios = intervals.sharpe_ratio(values @ preference, behaviour @ preference, self._settings.top_k)
        return Estimate(
            samples=values,
            low=low,
            high=high,
            non_dominated=intervals.non_dominated_share(values[1:]),
            hypervolume=intervals.interval(volumes[1:], volumes[0]),
            sharpe=intervals.interval(ratios[1:], ratios[0]),
        )

    def _notes(self, found: PolicyEstimates, enough: NDArray[np.bool_], front: Front, log: EpisodeLog) -> Iterator[str]:
        """Yield warnings about policies: not judged, weights that do not average 1, no model of values."""
        weights = np.asarray(found.weights, np.float64)
        if not enough.all():
            which = ", ".join(map(str, np.flatnonzero(~enough)))
            why = f"fewer than {self._settings.min_effective:g} effective episodes"
            if log.deterministic:
                why = f"{why}, or other actions than the behaviour's: {ONLY_ITSELF}"
            yield f"not judged: {which} ({why}); the numbers of the front are of the others"
        error = weights.std(axis=1, ddof=1) / np.sqrt(weights.shape[1])
        stray = enough & (np.abs(weights.mean(axis=1) - 1) > STRAY * error + 1e-3)
        if stray.any():
            which = ", ".join(f"{i} ({weights[i].mean():.3g})" for i in np.flatnonzero(stray))
            yield (
                f"the weights of policies should average 1, and do not for {which}: the behaviour never takes actions "
                "that they take, or its probabilities are not those in the log; their numbers are wrong"
            )
        failed = np.flatnonzero(np.asarray(found.failed)[enough].any(axis=0))
        if len(failed):
            names = ", ".join(front.objectives[i] for i in failed)
            yield f"dr is pdis for some policies in {names}: the linear model of values does not fit there"
