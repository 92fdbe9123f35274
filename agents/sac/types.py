"""Structures of a soft actor-critic: ``T`` time, ``B`` environments, ``N`` transitions, ``R`` objectives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from morl.agents.sac.networks import NetworkInput
from morl.ops.running_statistics import RunningStats
from morl.types import Metrics, PyTree


class Policy(NamedTuple):
    """Parameters for acting.

    Attributes:
        actor: network of the policy.
        obs_stats: running statistics of the features; None where they are not normalised.
        critics: twin networks, for generalised policy improvement; None without.
    """

    actor: PyTree
    obs_stats: RunningStats | None
    critics: PyTree = None


class Params(NamedTuple):
    """Trainable parameters: the ``params`` of a learner's state.

    Attributes:
        actor: network of the policy.
        critics: twin networks of R values for each action, stacked.
        log_temperature: () logarithm of the temperature.
    """

    actor: PyTree
    critics: PyTree
    log_temperature: jax.Array


class SACLearning(NamedTuple):
    """The ``learning`` of a learner's state.

    Attributes:
        targets: target networks of the twin critics; None without.
        opt_state: moments of Adam of the three kinds of parameters.
        obs_stats: running statistics of the features; None where they are not normalised.
        return_stats: running statistics of the discounted return of each objective, (R,).
        utopia: (R,) best targets of the critics so far, in units of scaled rewards.
        updates: () int32.
    """

    targets: PyTree
    opt_state: PyTree
    obs_stats: RunningStats | None
    return_stats: RunningStats
    utopia: jax.Array
    updates: jax.Array


class ReplayRow(NamedTuple):
    """Stored transition of up to ``n_step`` steps.

    Attributes:
        obs, action: at its start.
        reward: (R,) discounted sum.
        next_obs, terminated: at its end.
        discount: () factor of the value of ``next_obs``.
        valid: () as in :class:`morl.types.Transition`.
        preference: (R,) the action was taken for.
    """

    obs: Any
    action: Any
    reward: Any
    next_obs: Any
    terminated: Any
    discount: Any
    valid: Any
    preference: Any


class CriticFit(NamedTuple):
    """Comparison of the critics with their targets.

    Attributes:
        target: (N, R).
        error: (N,) in what each transition is worth to its preference.
        moments: statistics of the batch in each batch normalisation; empty without.
    """

    target: jax.Array
    error: jax.Array
    moments: Any


class Draw(NamedTuple):
    """Choice of the N transitions of a gradient step.

    Attributes:
        place: (N,) int32, where they are stored.
        importance: (N,) factors of the critics' loss; None for a uniform draw.
        preference: (N, R) preferences for those that are relabelled; None for none.
        relabelled: (N, 1) bool, to be learnt from for that preference; None for none.
    """

    place: jax.Array
    importance: jax.Array | None
    preference: jax.Array | None
    relabelled: jax.Array | None


class Batch(NamedTuple):
    """Sampled transitions, as the losses of one gradient step need them.

    Attributes:
        inputs, next_inputs: (N, ...) observations, as networks take them.
        action: (N, ...) as it is recorded.
        reward: (N, R) scaled.
        discount: (N,) factor of the value of what follows.
        terminated: (N,) bool, nothing follows.
        weight: (N,) 1 for transitions to learn from, 0 for lost ones.
        preference: (N, R) to learn for.
        importance: (N,) factors of the critics' loss; None for a uniform draw.
    """

    inputs: NetworkInput
    next_inputs: NetworkInput
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    terminated: jax.Array
    weight: jax.Array
    preference: jax.Array
    importance: jax.Array | None = None


class MeanFit(NamedTuple):
    """Means over transitions of weight 1: gradients of the losses, and metrics."""

    gradients: Params
    metrics: Metrics


class Fit(NamedTuple):
    """Gradients of the losses over N transitions, and what else comes of them.

    Attributes:
        mean: means over transitions of weight 1.
        weight: (N,) 1 for transitions to learn from, 0 for lost ones.
        target, error, moments: of the critics, see :class:`CriticFit`.
    """

    mean: MeanFit
    weight: jax.Array
    target: jax.Array
    error: jax.Array
    moments: Any
