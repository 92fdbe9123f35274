"""Rows of a replay: transitions of up to n steps, for learners that bootstrap from what follows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import Space

from morl.agents.sac.types import ReplayRow
from morl.ops.returns import at_last_step, n_step_returns
from morl.types import Transition


def row_shapes(observation_space: Space[Any], action: jax.ShapeDtypeStruct, num_objectives: int) -> ReplayRow:
    """Return the shapes of one stored transition, of an action as it is recorded."""
    obs = jax.ShapeDtypeStruct(observation_space.shape or (), observation_space.dtype)
    vector = jax.ShapeDtypeStruct((num_objectives,), jnp.float32)
    discount, flag = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_)
    return ReplayRow(obs, action, vector, obs, flag, discount, flag, vector)


def n_step_rows(batch: Transition, gamma: float, n: int) -> ReplayRow:
    """Return the transitions (T, B) of up to ``n`` steps that a rollout is stored as."""
    sums = n_step_returns(batch.reward, batch.terminated, batch.truncated, batch.valid, gamma, n)
    next_obs, terminated = at_last_step((batch.next_obs, batch.terminated), sums.num_steps, n)
    return ReplayRow(
        obs=batch.obs,
        action=batch.action,
        reward=sums.returns,
        next_obs=next_obs,
        terminated=terminated,
        discount=sums.discount,
        valid=batch.valid,
        preference=batch.preference,
    )
