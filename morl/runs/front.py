"""Pareto front of trained policies, and the policy of it that fits a preference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import jax
import numpy as np
from gymnasium import Space
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.ops import metrics
from morl.ops.pareto import non_dominated
from morl.ops.preferences import check_preference
from morl.ops.spaces import to_space
from morl.registry import AliveBonus
from morl.runs.normal_cones import preference_ranges
from morl.spaces import Observations
from morl.types import Actor, Evaluation, PyTree
from morl.words import counted
from morl.yardsticks.protocol import Protocol, hidden_lines

Floats = NDArray[np.float64]
Join = Callable[[Any, Any], NDArray[Any]]  # joins observations and masks to what the policy sees


@dataclass(frozen=True)
class Policy:
    """Policy of a front, with the preference it was trained for and the vector return it was measured to reach.

    Attributes:
        id: its row in ``front.csv``.
        returns: (R,) discounted vector return.
        preference: (R,) it was trained for.
        act, params: how it acts: compiled code shared by the front, and its own parameters.
        action_space: of one environment; actions are returned in its number type.
        observations: how observations are checked, and turned into what agents see.
        conditional: takes any preference.
        join: joins observations and masks of actions, where an environment on the host gives masks.
    """

    id: int
    returns: Floats
    preference: Floats
    act: Callable[..., jax.Array]
    params: PyTree
    observations: Observations
    action_space: Space[Any]
    conditional: bool = False
    join: Join | None = None

    def __repr__(self) -> str:
        numbers = [" ".join(f"{x:.4g}" for x in array) for array in (self.preference, self.returns)]
        return f"<Policy {self.id}: preference {numbers[0]}, returns {numbers[1]}>"

    def __call__(
        self, obs: Any, preference: Any = None, *, key: jax.Array | None = None, mask: Any = None
    ) -> np.ndarray[Any, Any]:
        """Return the action for one observation, or the actions for a batch of observations.

        Args:
            obs: as the environment gives it through Gymnasium, or of a batch, with one leading axis more. Where that is
                a dictionary or a tuple, also the array that it is flattened to; where it is a dictionary of the
                observation and the mask of actions, also the observation alone.
            preference: (R,) on the simplex, in units of the agent that trained the policy; only of one that takes any,
                by default the one it stands for in its front. (B, R), one for each observation of a batch, is taken as
                it is.
            key: JAX key to sample with; greedy without.
            mask: (n,), or (B, n) of a batch: the allowed actions of an environment that runs in Python and masks them,
                where they are in its info and not in ``obs``.

        Raises:
            UserError: a mask that is missing, or of an environment without; an observation of another shape or
                structure than the space's, a whole number outside of it, or not a number; a preference off the
                simplex, or for a policy that was trained for one only.
        """
        if self.join is not None:
            obs = self.join(obs, mask)
        elif mask is not None:
            raise UserError("the environment of this policy gives no masks of its own; leave mask out")
        batch, many = self.observations.read(obs)
        used = _no_key() if key is None else key  # a greedy action uses no key
        raw = self.act(self.params, batch, self._weights(preference), used, greedy=key is None)
        action = to_space(self.action_space, raw)
        return action if many else action[0]

    def _weights(self, preference: Any) -> NDArray[np.float32]:
        if preference is None:
            return self.preference.astype(np.float32)
        if not self.conditional:
            raise UserError("this policy was trained for one preference; ask its front for the policy of another")
        if np.ndim(preference) == 2:
            return np.asarray(preference, np.float32)
        return check_preference(preference, len(self.preference)).astype(np.float32)


@cache
def _no_key() -> jax.Array:
    return jax.random.key(0)


@dataclass(frozen=True)
class Front:
    """Non-dominated policies with their re-evaluated returns; n policies, R objectives, all maximised.

    Attributes:
        objectives: R names.
        returns, stderr: (n, R) mean discounted vector return and its standard error over ``episodes``.
        undiscounted, undiscounted_stderr: (n, R) the same without discount.
        length: (n,) mean steps of an episode.
        preferences: (n, R) each policy was trained for, or takes where the front is ``conditional``. A policy that was
            extended or that chance has improved may be good for others: see :attr:`best_for`.
        gamma: the discount.
        episodes: greedy episodes behind each row.
        reference_point: (R,) for the hypervolume.
        learner, params: how to act: the learner and the stacked parameters of the policies; None where only the numbers
            were read.
        observations: how policies check observations, and turn them into what agents see; None where only the
            numbers were read.
        action_space: of one environment; None where only the numbers were read.
        conditional: the rows are one policy under n preferences; ``params`` are that policy's, not stacked.
        objects: n texts, where the rows are objects that a sampler drew for the preferences. What they reach is exact,
            so standard errors are 0; the policy of a row is the sampler under its preference, step by step.
        labelled: the rows are objects with labels, for no preference, and there is no policy.
        evaluated: the row of the evaluation that each row is, where the front was made of one. Of a front that was
            evaluated again these are the ids of the policies in the run's ``front.csv``.
        join: as in :class:`Policy`.
        without_bonus: (n, R) the returns without the bonus for being alive, where the environment has one.
        ranges: the values of :attr:`best_for`, where they were read.
        protocol: what the returns were measured by, with the known front that they are held against.
    """

    objectives: tuple[str, ...]
    returns: Floats
    stderr: Floats
    undiscounted: Floats
    undiscounted_stderr: Floats
    length: Floats
    preferences: Floats
    gamma: float
    episodes: int
    reference_point: Floats
    learner: Actor | None
    params: PyTree
    observations: Observations | None
    action_space: Space[Any] | None
    conditional: bool = False
    objects: tuple[str, ...] | None = None
    labelled: bool = False
    evaluated: tuple[int, ...] = ()
    join: Join | None = None
    without_bonus: Floats | None = None
    ranges: Floats | None = None
    protocol: Protocol | None = None

    @cached_property
    def best_for(self) -> Floats:
        """Lowest and highest weight of each objective for which each policy is the best, (n, R, 2).

        Weights are those that :meth:`policy` and ``--preference`` take; NaN for a policy that is the best for no linear
        preference. See :func:`morl.runs.normal_cones.preference_ranges`.
        """
        return preference_ranges(self.returns) if self.ranges is None else self.ranges

    @property
    def kind(self) -> str:
        """Name of the rows, in their number: policies or objects, policy or object."""
        one, many = ("policy", "policies") if self.objects is None else ("object", "objects")
        return one if len(self) == 1 else many

    @property
    def how_measured(self) -> str:
        """Phrase that says how the returns were measured at the end of a training."""
        if self.labelled:
            return "as labelled"
        return "re-evaluated" if self.objects is None else "drawn afresh"

    @property
    def caption(self) -> str:
        """Caption of the axes of a picture."""
        if self.labelled:
            return "labelled objects"
        if self.objects is not None:
            return f"best objects drawn for spread preferences (γ = {self.gamma:g})"
        return f"discounted return (γ = {self.gamma:g}), mean of {counted(self.episodes, 'greedy episode')}"

    def __len__(self) -> int:
        return len(self.returns)

    def __repr__(self) -> str:
        return f"<Front of {len(self)} {self.kind}: {', '.join(self.objectives)}; γ = {self.gamma:g}>"

    def hypervolume(self, reference_point: ArrayLike | None = None) -> float:
        """Return the volume between front and reference point; see :func:`morl.ops.metrics.hypervolume_estimate`.

        Args:
            reference_point: (R,); by default the front's own.

        Raises:
            UserError: not R finite numbers.
        """
        front = self.with_reference_point(reference_point)
        return metrics.hypervolume_estimate(front.returns, front.reference_point)[0]

    def with_reference_point(self, reference_point: ArrayLike | None) -> Front:
        """Return the front with another reference point (R,), or itself if none is given.

        Raises:
            UserError: not R finite numbers.
        """
        if reference_point is None:
            return self
        point = metrics.check_reference_point(reference_point, len(self.objectives), self.objectives)
        protocol = None if self.protocol is None else replace(self.protocol, reference_point=point)
        return replace(self, reference_point=point, protocol=protocol)

    @property
    def note(self) -> str | None:
        """Return why the hypervolume is 0, if it is; see :func:`morl.ops.metrics.explain_no_hypervolume`."""
        what = "object" if self.objects is not None else "policy"
        return metrics.explain_no_hypervolume(self.returns, self.reference_point, self.objectives, what)

    @property
    def notes(self) -> list[str]:
        """Return warnings about the hypervolumes: why one is 0, and which objectives a reference point hides."""
        what = "object" if self.objects is not None else "policy"
        if self.protocol is not None:
            return replace(self.protocol, reference_point=self.reference_point).notes(self.returns, what)
        hidden = hidden_lines(self.returns, self.reference_point, self.objectives)
        return [*([self.note] if self.note else []), *hidden]

    def describe_tight(self) -> str | None:
        """Return how the front does at the tight reference point, in a phrase; None where no front is known."""
        return None if self.protocol is None else self.protocol.describe_front(self.returns)

    def describe_hypervolume(self) -> str:
        """Return the hypervolume in words, with discount and reference point, and marked if approximate."""
        value, exact = metrics.hypervolume_estimate(self.returns, self.reference_point)
        reference = " ".join(f"{x:g}" for x in self.reference_point)
        discount = "" if self.labelled else f"γ = {self.gamma:g}, "
        return f"{'' if exact else 'approximate '}hypervolume {value:.6g} ({discount}reference {reference})"

    def assign(self, preference: Any) -> int:
        """Return the row of the policy with the largest preference-weighted return (C-MORL's policy assignment).

        Raises:
            UserError: the preference is not on the simplex of R objectives.
        """
        return int(np.argmax(self.returns @ check_preference(preference, len(self.objectives), self.objectives)))

    def policy(self, preference: Any) -> Policy:
        """Return the policy for a preference (R,) on the simplex; see :meth:`assign`.

        Of objects it is the sampler under this preference itself, whatever the best object for it was drawn for.
        """
        policy = self.at(self.assign(preference))
        if self.objects is None:
            return policy
        return replace(policy, preference=check_preference(preference, len(self.objectives), self.objectives))

    def at(self, row: int) -> Policy:
        """Return the policy of a row.

        Raises:
            UserError: no such row; labelled objects, which are no policies; or only the numbers were read.
        """
        if self.labelled:
            raise UserError("this front holds labelled objects: there is no policy that acts")
        if self.learner is None or self.action_space is None or self.observations is None:
            raise UserError("only the numbers of this front were read; morl.load reads its policies")
        if not 0 <= row < len(self):
            raise UserError(f"policy {row} is not in this front; it has 0 to {len(self) - 1}")
        return Policy(
            id=row,
            returns=self.returns[row],
            preference=self.preferences[row],
            act=self._act,
            params=self.params if self.conditional else jax.tree.map(lambda x: x[row], self.params),
            observations=self.observations,
            action_space=self.action_space,
            conditional=self.conditional,
            join=self.join,
        )

    @cached_property
    def _act(self) -> Callable[..., jax.Array]:
        """Function to act, compiled once for all policies of the front."""
        learner = self.learner
        assert learner is not None  # noqa: S101  # see at()

        def act(params: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, greedy: bool) -> jax.Array:
            return learner.to_env(learner.act(params, obs, preference, key, greedy=greedy))

        return jax.jit(act, static_argnames="greedy")


def from_evaluation(
    evaluation: Evaluation,
    params: PyTree,
    preferences: Floats,
    *,
    objectives: tuple[str, ...],
    gamma: float,
    reference_point: Floats,
    learner: Actor,
    observations: Observations,
    action_space: Space[Any],
    conditional: bool = False,
    labelled: bool = False,
    join: Join | None = None,
    alive_bonus: AliveBonus | None = None,
    protocol: Protocol | None = None,
) -> Front:
    """Return the front of the non-dominated rows of an evaluation, by falling first objective; no row twice.

    Which rows are non-dominated is decided by the same means that are reported. ``morl evaluate`` gives numbers that
    have not been selected by. The returns without ``alive_bonus`` are computed where that is given.

    Raises:
        UserError: no policy's returns are finite; rows that are not are left out.
    """
    table = evaluation_table(evaluation, preferences, alive_bonus, gamma)
    mean = table["returns"]
    rows = np.flatnonzero(np.isfinite(mean).all(axis=1))
    if not len(rows):
        raise UserError("the environment's rewards are not finite: no policy has a return to compare")
    rows = rows[non_dominated(mean[rows], keep_duplicates=False)]
    rows = rows[np.argsort(-mean[rows, 0], kind="stable")]
    return Front(
        objectives=objectives,
        **{name: column[rows] for name, column in table.items()},
        gamma=gamma,
        episodes=evaluation.discounted.shape[1],
        reference_point=reference_point,
        learner=learner,
        params=params if conditional else jax.tree.map(lambda x: x[rows], params),
        observations=observations,
        action_space=action_space,
        conditional=conditional,
        objects=None if evaluation.objects is None else tuple(map(str, evaluation.objects[rows, 0])),
        labelled=labelled,
        evaluated=tuple(rows.tolist()),
        join=join,
        protocol=protocol,
    )


def evaluation_table(
    evaluation: Evaluation, preferences: Floats, alive_bonus: AliveBonus | None = None, gamma: float = 1.0
) -> dict[str, Floats]:
    """Return the numbers of all N rows of an evaluation, by the names they have in :class:`Front`.

    Args:
        evaluation: of N rows.
        preferences: (N, R) they were trained for.
        alive_bonus: of the environment, if it has one.
        gamma: discount of the bonus; 1 is enough without one.
    """
    exact = evaluation.objects is not None
    returns, stderr = mean_and_stderr(evaluation.discounted, exact)
    undiscounted, undiscounted_stderr = mean_and_stderr(evaluation.undiscounted, exact)
    without = {}
    if alive_bonus is not None and evaluation.terminated is not None:
        paid = np.asarray(evaluation.length, np.float64)  # steps
        if not alive_bonus.at_fall:
            paid = paid - np.asarray(evaluation.terminated)
        bonus = alive_bonus.value * (paid if gamma == 1 else (1 - gamma**paid) / (1 - gamma))
        without["without_bonus"] = returns - bonus.mean(axis=1)[:, None]
    return {
        "returns": returns,
        "stderr": stderr,
        "undiscounted": undiscounted,
        "undiscounted_stderr": undiscounted_stderr,
        "length": np.asarray(evaluation.length, np.float64).mean(axis=1),
        "preferences": np.asarray(preferences, np.float64).round(6),  # they have passed through float32
        **without,
    }


def mean_and_stderr(samples: Any, exact: bool = False) -> tuple[Floats, Floats]:
    """Return mean and standard error (N, R) over the episodes of (N, E, R); of one episode NaN, or 0 if exact."""
    samples = np.asarray(samples, np.float64)
    episodes = samples.shape[1]
    alone = 0.0 if exact else np.nan
    spread = samples.std(axis=1, ddof=1) if episodes > 1 else np.full(samples[:, 0].shape, alone)
    return samples.mean(axis=1), spread / np.sqrt(episodes)
