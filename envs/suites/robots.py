"""Environments with a state of Brax's form: physics, ``obs``, ``reward``, ``done``, ``metrics`` and ``info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import spaces

from morl.envs.suites.adapter import ScalarStep
from morl.envs.suites.arrays import bounded, observation_space, observed

POLICY_OBSERVATION = "state"  # of several named ones, as in the suites' own trainings


class RobotEnvironment:
    """Environment of Brax or of MuJoCo Playground, without the suite's wrappers.

    ``done`` is a termination: the suites' time limits are a wrapper's. A step tells ``reward``, the metrics by their
    names, and the numbers of ``info`` that no metric has the name of.

    Args:
        env: as the suite makes it.
        max_episode_steps: its time limit.
    """

    default_params = ()

    def __init__(self, env: Any, max_episode_steps: int) -> None:
        self.env, self.max_episode_steps = env, int(max_episode_steps)
        self.action_space: spaces.Box = bounded(-1.0, 1.0, (int(env.action_size),))
        start = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
        self.observation_space = observation_space(_policys(start.obs))

    def native_action(self, action: jax.Array) -> jax.Array:
        return action

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        state = self.env.reset(key)
        return state, observed(_policys(state.obs), self.observation_space)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> ScalarStep:
        state = self.env.step(state, action)
        obs = observed(_policys(state.obs), self.observation_space)
        told = {**state.info, **state.metrics, "reward": state.reward}
        return ScalarStep(state, obs, state.done.astype(bool), jnp.bool_(False), told)


def _policys(obs: Any) -> Any:
    """Return the observation of the policy, where there is another of its critic."""
    return obs[POLICY_OBSERVATION] if isinstance(obs, Mapping) and POLICY_OBSERVATION in obs else obs
