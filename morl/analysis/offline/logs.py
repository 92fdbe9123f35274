"""Logged episodes: N steps in the order they were taken, with the probability of each action, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.errors import UserError
from morl.parsing import plain
from morl.spaces import array_in
from morl.training.setup import Setup
from morl.words import brief_repr

Array = NDArray[Any]
Floats = NDArray[np.float64]
FORMAT = 1
COLUMNS = ("episode", "step", "observation", "action", "reward", "terminated", "truncated", "probability")


@dataclass(frozen=True)
class EpisodeLog:
    """Log of E whole episodes, N steps in all.

    Attributes:
        env: id of the environment.
        env_kwargs: its keywords.
        objectives: R names.
        gamma: discount that the episodes are judged at.
        behaviour: description of the policy that acted.
        seed: it was recorded with; None where that is not known.
        episode, step: (N,) number of the episode and of the step in it, both from 0 on.
        observation: (N, ...) as agents see it; the one acted on.
        action: (N, ...) as the environment takes it.
        reward: (N, R).
        terminated, truncated: (N,) bool; the last step of an episode has one of them, no other step has.
        probability: (N,) of the action given all that the behaviour went by, by which it was drawn. For real numbers a
            density in the environment's units, in which a number that was clipped to a bound counts by the probability
            of being clipped.
    """

    env: str
    objectives: tuple[str, ...]
    gamma: float
    episode: Array
    step: Array
    observation: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    probability: Array
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    behaviour: str = "unknown"
    seed: int | None = None
    __repr__ = brief_repr

    def __len__(self) -> int:
        return len(self.episode)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Steps (E,) of each episode."""
        return np.bincount(self.episode)

    @property
    def deterministic(self) -> bool:
        """Whether every action had probability 1."""
        return bool((self.probability == 1).all())

    def mean_returns(self) -> tuple[Floats, Floats]:
        """Return the mean discounted return (R,) of the episodes, and its standard error; NaN of one episode."""
        discounted = self.reward * self.gamma ** self.step[:, None].astype(np.float64)
        each = np.zeros((len(self.lengths), len(self.objectives)))
        np.add.at(each, self.episode, discounted)
        spread = each.std(axis=0, ddof=1) if len(each) > 1 else np.full(each.shape[1], np.nan)
        return each.mean(axis=0), spread / np.sqrt(len(each))

    def padded(self, column: Array) -> Array:
        """Return a column (N, ...) as (E, T, ...), with zeros after the end of each episode."""
        shape = (len(self.lengths), int(self.lengths.max()), *column.shape[1:])
        found = np.zeros(shape, column.dtype)
        found[self.episode, self.step] = column
        return found

    def metadata(self) -> dict[str, Any]:
        """Return all that is no column, of types that JSON has."""
        return {
            "format": FORMAT,
            "env": self.env,
            "env_kwargs": {name: plain(value) for name, value in self.env_kwargs.items()},
            "objectives": list(self.objectives),
            "gamma": self.gamma,
            "behaviour": self.behaviour,
            "seed": self.seed,
        }


def from_columns(columns: Mapping[str, Array], metadata: Any, source: str) -> EpisodeLog:
    """Return a log from arrays by name and from its metadata, both checked.

    Raises:
        UserError: metadata or columns that are missing, unknown or of the wrong shape, and all of :func:`check`.
    """
    allowed = "env, env_kwargs, objectives, gamma, behaviour, seed"
    if not isinstance(metadata, dict) or not {"env", "objectives", "gamma"} <= metadata.keys():
        raise UserError(f"{source} is no log: its metadata needs env, objectives and gamma; allowed: {allowed}")
    if metadata.get("format", FORMAT) != FORMAT:
        raise UserError(f"{source} is a log of format {metadata['format']}; this version reads format {FORMAT}")
    if "probability" not in columns:
        raise UserError(f"{source} has no column probability: no policy can be judged without the behaviour's own")
    if missing := [name for name in COLUMNS if name not in columns]:
        raise UserError(f"{source} lacks columns: {', '.join(missing)}; a log has {', '.join(COLUMNS)}")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise UserError(f"{source} has unknown columns: {', '.join(unknown)}; a log has {', '.join(COLUMNS)}")
    about = {name: value for name, value in metadata.items() if name != "format"}
    if more := about.keys() - set(allowed.split(", ")):
        raise UserError(f"{source} has unknown metadata: {', '.join(sorted(more))}; allowed: {allowed}")
    try:
        about["objectives"] = tuple(map(str, about["objectives"]))
        about["gamma"] = float(about["gamma"])
        about["env_kwargs"] = dict(about.get("env_kwargs") or {})
    except (TypeError, ValueError) as error:
        raise UserError(f"{source} has metadata of the wrong kind: {error}") from error
    arrays: dict[str, Any] = {name: np.asarray(columns[name]) for name in COLUMNS}
    log = EpisodeLog(**arrays, **about)
    check(log, source)
    return log


def check(log: EpisodeLog, source: str) -> None:
    """Check that a log is complete, in order and finite.

    Raises:
        UserError: the first thing that is not, with the row.
    """
    number = len(log.episode) if log.episode.ndim == 1 else 0
    if not number:
        raise UserError(f"{source} holds no steps")
    for name in COLUMNS:
        column = getattr(log, name)
        wanted = 2 if name == "reward" else None if name in ("observation", "action") else 1
        if column.dtype.kind not in "biuf" or column.shape[:1] != (number,) or wanted not in (None, column.ndim):
            what = f"shape {column.shape} and {column.dtype}"
            raise UserError(f"{source}: column {name} has {what}; allowed: numbers, one row for each of {number} steps")
    if log.reward.shape[1] != len(log.objectives):
        raise UserError(f"{source}: reward has {log.reward.shape[1]} numbers for {len(log.objectives)} objectives")
    for name in ("reward", "observation", "action", "probability"):
        _check_rows(np.isfinite(getattr(log, name)), source, f"{name} is not finite")
    _check_rows(log.probability > 0, source, "probability is not above 0: the behaviour cannot have taken that action")
    for name in ("terminated", "truncated"):
        _check_rows(np.isin(getattr(log, name), (0, 1)), source, f"{name} is neither true nor false")
    _check_order(log, source)


def _check_order(log: EpisodeLog, source: str) -> None:
    """Check that episodes follow each other, whole, with their steps in order."""
    for name in ("episode", "step"):
        _check_rows(getattr(log, name) % 1 == 0, source, f"{name} is no whole number")
    first = log.step == 0
    if not first[0] or log.episode[0] != 0:
        raise UserError(f"{source}: episodes are out of order in row 0; they count from 0, and so do their steps")
    onwards = np.where(first[1:], log.episode[1:] == log.episode[:-1] + 1, log.episode[1:] == log.episode[:-1])
    onwards &= first[1:] | (log.step[1:] == log.step[:-1] + 1)
    _check_rows(np.append(True, onwards), source, "episodes are out of order; they and their steps count from 0")
    over = log.terminated.astype(bool) | log.truncated.astype(bool)
    last = np.append(first[1:], True)
    _check_rows(over | ~last, source, "an episode ends neither terminated nor truncated; a log has whole episodes")
    _check_rows(~over | last, source, "an episode goes on after its end")


def _check_rows(good: Array, source: str, what: str) -> None:
    """Raise UserError with the first row of which not all is good."""
    if not (whole := good.reshape(len(good), -1).all(axis=1)).all():
        raise UserError(f"{source}: {what}, in row {int(np.argmin(whole))}")


def check_task(log: EpisodeLog, setup: Setup, source: str) -> None:
    """Check that a log is of the environment, objectives and discount of a run, and its arrays of that environment.

    Raises:
        UserError: the first in which they differ.
    """
    if log.env not in (setup.env_name, setup.env.id):
        raise UserError(f"{source} is of {log.env}, the run of {setup.env_name}")
    kwargs = {name: plain(value) for name, value in setup.env_kwargs.items()}
    if dict(log.env_kwargs) != kwargs:
        raise UserError(f"{source} is of {log.env} with keywords {log.env_kwargs}, the run with {kwargs}")
    if log.objectives != setup.objectives:
        theirs = " ".join(log.objectives)
        raise UserError(f"{source} has the objectives {theirs}, the run {' '.join(setup.objectives)}")
    if not np.isclose(log.gamma, setup.gamma, rtol=1e-9):
        raise UserError(f"{source} is for a discount of {log.gamma:g}, the run for {setup.gamma:g}")
    shape = setup.observations.seen.shape
    if log.observation.shape[1:] != shape:
        raise UserError(f"{source}: observations of shape {log.observation.shape[1:]}; those of the run are {shape}")
    space = setup.env.action_space
    if log.action.shape[1:] != space.shape:
        raise UserError(f"{source}: actions of shape {log.action.shape[1:]}; those of the run are {space.shape}")
    _check_rows(~array_in(space, log.action)[1], source, f"an action is not in {str(space)[:60]}")
    if not isinstance(space, spaces.Box) or np.issubdtype(space.dtype, np.integer):
        _check_rows(log.probability <= 1 + 1e-6, source, "probability is above 1")
