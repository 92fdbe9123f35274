"""Diagnosis of a training that cannot be traced, for which a user's own environment is often the reason."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.errors import blame
from morl.ops.spaces import narrow


def environment_fault(env: Any) -> str | None:
    """Describe why a functional environment cannot be traced: it raises, or gives other shapes than it says."""
    key, params = jax.random.key(0), env.default_params
    action = np.asarray(env.action_space.sample())
    action = jnp.asarray(action, narrow(action.dtype))
    obs_shape, reward_shape = env.observation_space.shape, (len(env.objectives),)
    doing = "reset"
    try:
        state, obs = jax.eval_shape(env.reset, key, params)
        if obs.shape != obs_shape:
            return f"reset gives an observation of shape {obs.shape}, not {obs_shape}"
        doing = "step"
        _, obs, reward, *_ = jax.eval_shape(env.step, key, state, action, params)
    except Exception as error:  # of any kind: it is the user's own code
        return f"{doing} raises {blame(error)}"
    if obs.shape != obs_shape:
        return f"step gives an observation of shape {obs.shape}, not {obs_shape}"
    if reward.shape != reward_shape:
        return f"step gives a reward of shape {reward.shape}, not {reward_shape}"
    return None
