"""Estimates of policies from a log, compiled once for logs of about one size."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.analysis.offline import estimators, intervals
from morl.analysis.offline.logs import EpisodeLog
from morl.analysis.offline.policies import ActionModel
from morl.analysis.offline.values import ROWS, fit_values, plausible, state_features
from morl.runs.front import Floats
from morl.types import PyTree


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
        key: of draws for the model of values, which leave the estimates unbiased.
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
    key: jax.Array


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
    return PreparedLog(
        log, _on_device(log, counts, jax.random.key(seed)), counts.astype(np.float64), means(counts, returns)
    )


def means(counts: NDArray[Any], parts: NDArray[Any]) -> Floats:
    """Return the means over episodes (1 + B, ..., R) of (..., E, R), in the log and in its resamples."""
    found: Floats = np.moveaxis(counts.astype(np.float64) @ parts.astype(np.float64), -2, 0) / counts.shape[1]
    return found


def _on_device(log: EpisodeLog, counts: NDArray[np.float32], key: jax.Array) -> LoggedSteps:
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
        key=key,
    )


def _returns_to_go(log: EpisodeLog) -> Floats:
    """Return Σ_{i >= t} γ^{i - t} r_i (N, R)."""
    padded = log.padded(log.reward.astype(np.float64))
    for t in range(padded.shape[1] - 2, -1, -1):
        padded[:, t] += log.gamma * padded[:, t + 1]
    found: Floats = padded[log.episode, log.step]
    return found


def compiled(model: ActionModel, gamma: float) -> Any:
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

    def look(rows: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        obs, action, number = rows
        described = model.describe(params, obs, preference)
        drawn = jax.random.fold_in(steps.key, number)
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
