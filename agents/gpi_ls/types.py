"""Structures of GPI-LS: ``B`` environments, ``N`` transitions, ``R`` objectives, ``K`` preferences of the support."""

from __future__ import annotations

from typing import NamedTuple

import jax

from morl.agents.gpi_ls.networks import NetworkInput
from morl.agents.gpi_ls.support import Support
from morl.agents.sac.prioritised_replay import Priorities
from morl.ops.replay import Replay
from morl.ops.running_statistics import RunningStats
from morl.types import PyTree


class Policy(NamedTuple):
    """Parameters for acting.

    Attributes:
        critics: one or two networks, stacked; the lesser value counts.
        actor: network of a deterministic policy; () for discrete actions.
        obs_stats: running statistics of the features; None where they are not normalised.
        support: preferences that generalised policy improvement is over.
        units: (R,) factors from a preference to weights of the critics' values.
        return_units: (R,) factors from a preference to weights of returns in the environment's units.
        exploration: () share of random actions.
    """

    critics: PyTree
    actor: PyTree
    obs_stats: RunningStats | None
    support: Support
    units: jax.Array
    return_units: jax.Array
    exploration: jax.Array


class Params(NamedTuple):
    """Trainable parameters: the ``params`` of a learner's state.

    Attributes:
        critics: one or two networks, stacked.
        actor: network of the policy; () for discrete actions.
    """

    critics: PyTree
    actor: PyTree


class Learning(NamedTuple):
    """The ``learning`` of a learner's state.

    Attributes:
        targets: target networks of the parameters.
        opt_state: moments of Adam, of critics and actor.
        obs_stats: running statistics of the features; None where they are not normalised.
        return_stats: running statistics of the discounted return of each objective, (R,).
        support: preferences acted for lately.
        gradient_steps: () int32, of the critics.
        updates: () int32.
    """

    targets: Params
    opt_state: Params
    obs_stats: RunningStats | None
    return_stats: RunningStats
    support: Support
    gradient_steps: jax.Array
    updates: jax.Array


class Memory(NamedTuple):
    """The ``replay`` of a learner's state: rows of :class:`morl.agents.sac.types.ReplayRow`, and their priorities."""

    ring: Replay
    priorities: Priorities


class Batch(NamedTuple):
    """Sampled transitions, each for two preferences, as the losses need them.

    Attributes:
        inputs, next_inputs: (2 N, ...) observations, as networks take them.
        action: (2 N, ...) as it is recorded.
        reward: (2 N, R) scaled.
        discount: (2 N,) factor of the value of what follows.
        terminated: (2 N,) bool, nothing follows.
        weight: (2 N,) weight in the loss; 0 for lost transitions.
        preference: (2 N, R) to learn for, as weights of the critics' values: of the first half those being acted for,
            of the second relabelled ones.
    """

    inputs: NetworkInput
    next_inputs: NetworkInput
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    terminated: jax.Array
    weight: jax.Array
    preference: jax.Array
