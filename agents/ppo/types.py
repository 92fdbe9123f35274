"""Structures of a PPO learner: ``T`` time, ``B`` environments, ``R`` objectives, ``N`` steps.

Networks are functions of what :meth:`morl.agents.ppo.algorithm.PPO.inputs` returns: of features (..., F), or of
features and preferences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from morl.ops.running_statistics import RunningStats
from morl.types import PyTree

Network = Any  # a pytree that is called on inputs
ActorParams = tuple[Network, jax.Array]  # the actor network and the logarithm of its standard deviations


class Policy(NamedTuple):
    """Parameters for acting, and for another learner to start from.

    Attributes:
        actor: network of the action distribution.
        log_std: logarithm of its standard deviations; () for discrete actions, which have none.
        obs_stats: running statistics of the observation features.
        critic: network of the values (R,).
        return_stats: running statistics of the discounted return of each objective, (R,).
    """

    actor: Network
    log_std: jax.Array
    obs_stats: RunningStats
    critic: Network
    return_stats: RunningStats


class Params(NamedTuple):
    """Trainable parameters: the ``params`` of a learner's state."""

    actor: Network
    log_std: jax.Array
    critic: Network


class PPOLearning(NamedTuple):
    """The ``learning`` of a learner's state.

    Attributes:
        opt_state: moments of Adam.
        obs_stats: running statistics of the observation features.
        return_stats: running statistics of the discounted return of each objective, (R,).
        updates: () int32.
        kl_step_scale: () factor of the actor's steps; None without ``target_kl``.
        step_factor: () another one, which the hypervolume schedule sets from outside; None without.
        objective_weights: (R,) of the gradient schedule, zeros before its first update; None without.
    """

    opt_state: PyTree
    obs_stats: RunningStats
    return_stats: RunningStats
    updates: jax.Array
    kl_step_scale: jax.Array | None
    step_factor: jax.Array | None = None
    objective_weights: jax.Array | None = None


class ProcessedRollout(NamedTuple):
    """Rollout (T, B, ...) with the estimates that the losses need.

    Attributes:
        inputs: (T, B, ...) of the networks, for the observations acted on.
        action: (T, B, ...) taken.
        mask: (T, B, A) 1 for allowed actions; None where all are.
        log_prob: (T, B) of the actions, by the policy that acted.
        delta: (T, B, R) temporal differences, in units of the scaled rewards; 0 for lost steps.
        advantage: (T, B, R), in units of the scaled rewards.
        value: (T, B, R), in units of the scaled rewards.
        weight: (T, B) 1 for steps to learn from, 0 for lost ones.
    """

    inputs: PyTree
    action: jax.Array
    mask: jax.Array | None
    log_prob: jax.Array
    delta: jax.Array
    advantage: jax.Array
    value: jax.Array
    weight: jax.Array


class Minibatch(NamedTuple):
    """Steps of a rollout for one gradient step, (N, ...).

    Attributes:
        inputs, action, mask, log_prob, weight: as in :class:`ProcessedRollout`.
        advantage: (N,) of the preference-weighted objectives, or (N, R) where the loss weighs them.
        target: (N, R) of the critic.
        extra: what the loss of a kind of PPO needs besides.
    """

    inputs: PyTree
    action: jax.Array
    mask: jax.Array | None
    log_prob: jax.Array
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array
    extra: PyTree = ()
