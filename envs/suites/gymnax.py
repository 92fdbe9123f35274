"""Adapter to gymnax 1.0, such as ``gymnax:CartPole-v1``, by ``step_env``, which does not reset by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from gymnasium import Space, spaces

from morl.envs.suites.adapter import ScalarStep
from morl.envs.suites.arrays import bounded, observation_space, observed
from morl.errors import UserError

LIMIT = "max_steps_in_episode"  # time limit, a field of the params


def names() -> list[str]:
    """Return the names of gymnax's environments."""
    import gymnax

    return list(gymnax.registered_envs)


def load(name: str, kwargs: dict[str, Any]) -> GymnaxEnvironment:
    """Return an environment; keywords are fields of its params, of which ``max_episode_steps`` is one, or its own."""
    import gymnax

    given = {LIMIT if key == "max_episode_steps" else key: value for key, value in kwargs.items()}
    _, params = gymnax.make(name)
    fields = [field.name for field in dataclasses.fields(params)]
    own = {key: value for key, value in given.items() if key not in fields}
    env, params = gymnax.make(name, **own)
    return GymnaxEnvironment(env, dataclasses.replace(params, **{key: given[key] for key in fields if key in given}))


class GymnaxEnvironment:
    """Environment of gymnax.

    Args:
        env, params: as ``gymnax.make`` returns them.
    """

    def __init__(self, env: Any, params: Any) -> None:
        self.env, self.default_params = env, params
        self.max_episode_steps = int(getattr(params, LIMIT))
        self.action_space = _space(env.action_space(params))
        declared = env.observation_space(params)
        obs, _ = jax.eval_shape(env.reset_env, jax.random.PRNGKey(0), params)
        discrete = hasattr(declared, "n")
        self.observation_space = _space(declared) if discrete else observation_space(obs)

    def native_action(self, action: jax.Array) -> jax.Array:
        return action

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        obs, state = self.env.reset_env(key, params)
        return state, observed(obs, self.observation_space)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> ScalarStep:
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return ScalarStep(
            state,
            observed(obs, self.observation_space),
            terminated,
            self.env.is_truncated(state, params) & ~terminated,
            {**info, "reward": reward},
        )


def _space(space: Any) -> Space[Any]:
    """Return an action space, or a space of numbered observations, as Gymnasium's."""
    if hasattr(space, "n"):
        return spaces.Discrete(int(space.n))
    if hasattr(space, "low"):
        return bounded(space.low, space.high, tuple(space.shape))
    raise UserError(f"actions of gymnax are Discrete or Box here, not {type(space).__name__}")
