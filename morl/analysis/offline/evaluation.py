"""Evaluation of a run's fronts by logged episodes: returns of every policy, and of each front, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.analysis.offline import estimators, intervals
from morl.analysis.offline.files import read_log
from morl.analysis.offline.logs import EpisodeLog, check_task
from morl.analysis.offline.policies import ActionModel, action_model
from morl.analysis.offline.recording import ONLY_ITSELF, policies_of
from morl.analysis.offline.settings import ESTIMATORS, Estimator, LogSettings
from morl.analysis.offline.values import ROWS, fit_values, plausible, state_features
from morl.errors import UserError
from morl.loading import fronts_of, setup_of
from morl.ops.bootstrap import Interval
from morl.ops.preferences import check_preference
from morl.runs.csv import csv_text
from morl.runs.front import Floats, Front
from morl.runs.front_csv import goal_of
from morl.settings import Device
from morl.training.backends import devices
from morl.types import PyTree
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
        seed: of the bootstrap.
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


class LoggedSteps(NamedTuple):
    """Log as compiled code takes it: N rows, filled up to a round number, of E episodes of up to T steps.

    Attributes:
        observation, action, reward: as in :class:`EpisodeLog`.
        log_prob: (N,) of the behaviour.
        state: (N, S) features for the model of values.
        place: (N, 2) int32 episode and step; beyond the last for rows that fill up.
        last: (N,) bool, the last step of an episode.
        halves: (N, 2) as of :func:`morl.analysis.offline.values.fit_values`.
        largest: (R,) largest size of a return to go.
        counts: (1 + B, E) all episodes once, then the resamples.
    """

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    log_prob: jax.Array
    state: jax.Array
    place: jax.Array
    last: jax.Array
    halves: jax.Array
    largest: jax.Array
    counts: jax.Array


class PolicyEstimates(NamedTuple):
    """Estimates of one policy.

    Attributes:
        weights: (E,) of whole episodes.
        effective: () of them.
        pdis, dr: (E, R) of each episode; their means are the estimates.
        snpdis: (1 + B, R) of the sample and of the resamples.
        failed: (R,) bool, objectives without a model of values.
    """

    weights: jax.Array
    effective: jax.Array
    pdis: jax.Array
    dr: jax.Array
    snpdis: jax.Array
    failed: jax.Array


class PreparedLog(NamedTuple):
    """Log with its resamples.

    Attributes:
        log: the episodes.
        steps: the same as compiled code takes it.
        counts: (1 + B, E) as in ``steps``.
        behaviour: (1 + B, R) mean return of the behaviour.
    """

    log: EpisodeLog
    steps: LoggedSteps
    counts: Floats
    behaviour: Floats


def prepared(log: EpisodeLog, resamples: int, seed: int) -> PreparedLog:
    """Return a log with resamples of its episodes."""
    episodes = len(log.lengths)
    drawn = intervals.resampled_counts(episodes, resamples, np.random.default_rng(seed))
    counts = np.concatenate([np.ones((1, episodes), np.float32), drawn])
    returns = _returns_to_go(log)[log.step == 0]
    return PreparedLog(log, _on_device(log, counts), counts.astype(np.float64), _means(counts, returns))


def _means(counts: NDArray[Any], parts: NDArray[Any]) -> Floats:
    """Return the means over episodes (1 + B, ..., R) of (..., E, R), in the log and in its resamples."""
    found: Floats = np.moveaxis(counts.astype(np.float64) @ parts.astype(np.float64), -2, 0) / counts.shape[1]
    return found


class Judge:
    """Judge of fronts by logs, compiled once for logs of about one size.

    Args:
        model: distributions of the policies.
        settings: of the evaluation.
        gamma: discount.
    """

    def __init__(self, model: ActionModel, settings: LogSettings, gamma: float) -> None:
        self._settings = settings
        self._estimate = _compiled(model, gamma)

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
            values = np.moveaxis(parts, 1, 0).astype(np.float64) if name == "snpdis" else _means(given.counts, parts)
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


def _on_device(log: EpisodeLog, counts: NDArray[np.float32]) -> LoggedSteps:
    """Return a log as compiled code takes it, on the device."""
    number, episodes = len(log), len(log.lengths)
    fill = -number % (2 * ROWS)
    half = log.episode % 2 == 0

    def filled(x: Any, dtype: Any = None) -> jax.Array:
        array = np.asarray(x, dtype)
        return jnp.asarray(np.concatenate([array, np.zeros((fill, *array.shape[1:]), array.dtype)]))

    place = np.stack([log.episode, log.step], axis=1).astype(np.int32)
    beyond = np.full((fill, 2), episodes + 2**30, np.int32)
    return LoggedSteps(
        observation=filled(log.observation),
        action=filled(log.action),
        reward=filled(log.reward, np.float32),
        log_prob=filled(np.log(log.probability), np.float32),
        state=filled(state_features(log), np.float32),
        place=jnp.asarray(np.concatenate([place, beyond])),
        last=filled(np.append(log.step[1:] == 0, True)),
        halves=filled(np.stack([half, ~half], axis=1), np.float32),
        largest=jnp.asarray(np.abs(_returns_to_go(log)).max(axis=0), jnp.float32),
        counts=jnp.asarray(counts),
    )


def _returns_to_go(log: EpisodeLog) -> Floats:
    """Return Σ_{i >= t} γ^{i - t} r_i (N, R)."""
    padded = log.padded(log.reward.astype(np.float64))
    for t in range(padded.shape[1] - 2, -1, -1):
        padded[:, t] += log.gamma * padded[:, t + 1]
    found: Floats = padded[log.episode, log.step]
    return found


def _compiled(model: ActionModel, gamma: float) -> Any:
    """Return a compiled function from stacked policies, preferences and a log to the estimates of each policy.

    It works on one policy after another, in memory that does not grow with their number; ``most`` is T.
    """

    @partial(jax.jit, static_argnames="most")
    def every(params: PyTree, preferences: jax.Array, steps: LoggedSteps, most: int) -> PolicyEstimates:
        found: PolicyEstimates = jax.lax.map(
            lambda each: _of_policy(model, gamma, most, steps, *each), (params, preferences)
        )
        return found

    return every


def _of_policy(
    model: ActionModel, gamma: float, most: int, steps: LoggedSteps, params: PyTree, preference: jax.Array
) -> PolicyEstimates:
    """Return the estimates of one policy."""
    key = jax.random.key(0)  # of draws for the model of values, which leave the estimates unbiased

    def look(rows: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        obs, action, number = rows
        described = model.describe(params, obs, preference)
        drawn = jax.random.fold_in(key, number)
        return model.log_prob(described, action), model.expected_features(described, drawn)

    blocks = jax.tree.map(lambda x: x.reshape(-1, ROWS, *x.shape[1:]), (steps.observation, steps.action))
    numbers = jnp.arange(len(blocks[0]), dtype=jnp.int32)
    log_prob, expected = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(look, (*blocks, numbers)))
    actions = model.features(steps.action)
    fitted = plausible(
        *fit_values(steps.state, actions, expected, steps.reward, steps.last, steps.halves, gamma), steps.largest
    )
    grid = partial(_grid, steps.place, (steps.counts.shape[1], most))
    weights = estimators.cumulative_weights(grid(log_prob - steps.log_prob))
    reward, alive = grid(steps.reward), grid(jnp.ones(len(log_prob), bool))
    return PolicyEstimates(
        weights=weights[:, -1],
        effective=estimators.effective_sample_size(weights[:, -1]),
        pdis=estimators.per_decision(weights, reward, gamma),
        dr=estimators.doubly_robust(weights, reward, grid(fitted.q), grid(fitted.v), alive, gamma),
        snpdis=estimators.self_normalised(weights, reward, gamma, steps.counts),
        failed=fitted.failed,
    )


def _grid(place: jax.Array, shape: tuple[int, int], x: jax.Array) -> jax.Array:
    """Return (E, T, ...) of rows (N, ...), zeros after the end of an episode; rows that fill up are dropped."""
    empty = jnp.zeros((*shape, *x.shape[1:]), x.dtype)
    return empty.at[place[:, 0], place[:, 1]].set(x, mode="drop")
