"""Teacher of a policy that takes any preference: archived policies, of which the best one for a preference acts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.agents.imitation.settings import WarmStartSettings
from morl.agents.ppo.algorithm import PPO
from morl.errors import UserError
from morl.types import Learner, PyTree

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Teacher:
    """Archived policies of PPO learners.

    Attributes:
        learner: whose policies they are.
        policies: N, stacked.
        preferences: (N, R) that they were trained for.
        returns: (N, R) that they reach.
    """

    learner: PPO
    policies: PyTree
    preferences: Floats
    returns: Floats

    def act(self, obs: jax.Array, weights: jax.Array, key: jax.Array) -> jax.Array:
        """Return greedy actions (B, ...) of the policies of the largest weighted return, as PPO records them.

        Args:
            obs: (B, ...).
            weights: (B, R) of returns in the environment's units.
            key: not drawn from, as the actions are greedy.
        """
        best = jnp.argmax(weights @ jnp.asarray(self.returns, jnp.float32).T, axis=-1)
        chosen, preference = jax.tree.map(
            lambda x: jnp.asarray(x)[best], (self.policies, self.preferences.astype(np.float32))
        )

        def one(policy: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
            return self.learner.act(policy, obs[None], preference, key, greedy=True)[0]

        return jax.vmap(one)(chosen, obs, preference)


@dataclass(frozen=True)
class WarmStart:
    """First part of a training, see :class:`morl.types.WarmStart`.

    Attributes:
        run: directory of the run whose archived policies act.
        updates: number of updates.
        learner_of: returns the learner that imitates a teacher.
    """

    run: Path
    updates: int
    learner_of: Callable[[Teacher], Learner]


def warm_start(
    config: WarmStartSettings, steps: int, updates: int, learner_of: Callable[[Teacher], Learner], least: int = 0
) -> WarmStart | None:
    """Return the warm start of a training, of whole updates; None without.

    Args:
        config: settings.
        steps, updates: of the whole training.
        learner_of: returns the learner that imitates a teacher.
        least: environment steps before anything is learnt.

    Raises:
        UserError: more steps than the training has, or so few that nothing is learnt.
    """
    if config.warm_start is None:
        return None
    each = config.num_envs * config.rollout_steps
    if config.warm_start_steps > steps:
        raise UserError(f"warm_start_steps must be at most steps = {steps}, not {config.warm_start_steps}")
    number = min(math.ceil(config.warm_start_steps / each), updates)
    if number * each <= least:
        raise UserError(f"warm_start_steps must be above learning_starts = {least}, not {config.warm_start_steps}")
    return WarmStart(config.warm_start, number, learner_of)


def warm_start_notes(config: WarmStartSettings) -> tuple[str, ...]:
    """Describe the warm start that is asked for."""
    if config.warm_start is None:
        return ()
    return (f"warm start: policies of {config.warm_start} act for {config.warm_start_steps:,} steps, and are imitated",)
