"""Diagnostics of a trained sampler: its exact distribution over a tabular task, and bounds of log Z."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.trajectories import AnyTask, Trajectories
from morl.errors import UserError

if TYPE_CHECKING:
    from morl.agents.mogfn.algorithm import MOGFN
    from morl.agents.mogfn.optimiser import Params


def exact_distribution(
    env: AnyTask, logits: Callable[[jax.Array, jax.Array], jax.Array], encoded: jax.Array
) -> jax.Array:
    """Compute the exact probabilities (n, objects) of a tabular task's objects, by dynamic programming.

    Args:
        env: the task.
        logits: masked logits (K, A) of the policy, from observations (K, ...) and encoded conditions (K, C).
        encoded: (n, C) encoded conditions.

    Raises:
        UserError: the task is not tabular (:mod:`morl.envs.constructive.base`).
    """
    task: Any = env
    if not hasattr(task, "distribution"):
        raise UserError(f"{task.id} is not tabular: the distribution over its objects cannot be had exactly")
    obs = jnp.asarray(task.decision_points())

    def of_condition(features: jax.Array) -> jax.Array:
        repeated = jnp.broadcast_to(features, (len(obs), len(features)))
        probability: jax.Array = task.distribution(jax.nn.softmax(logits(obs, repeated)))
        return probability

    rows: jax.Array = jax.lax.map(of_condition, encoded)
    return rows


def log_weight(sampler: MOGFN, policy: Params, condition: Condition, trajectories: Trajectories) -> jax.Array:
    """Compute β log R + Σ log P_B − Σ log P_F, (n,), of n trajectories under n conditions.

    Its mean over the sampler's own trajectories is a lower bound of log Z (ELBO); over those that P_B draws from
    objects of the target, an upper one (EUBO; Blessing et al., 2024).
    """
    log_reward: jax.Array = sampler.log_reward(trajectories.end.values, *condition)
    log_built: jax.Array = sampler.log_probability(policy, condition, trajectories)
    return log_reward + trajectories.log_backward.sum(axis=1) - log_built
