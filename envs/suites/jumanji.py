"""Adapter to Jumanji, such as ``jumanji:Snake-v1``, without its wrappers; ``discount`` tells ends from time limits."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.envs.suites.adapter import ScalarStep
from morl.envs.suites.arrays import bounded, observation_space, observed

MASK = "action_mask"


def names() -> list[str]:
    """Return the names of Jumanji's environments."""
    import jumanji

    return list(jumanji.registered_environments())


def load(name: str, kwargs: dict[str, Any]) -> JumanjiEnvironment:
    """Return an environment; keywords are those of its constructor, ``max_episode_steps`` is its ``time_limit``."""
    import jumanji

    given = {"time_limit" if key == "max_episode_steps" else key: value for key, value in kwargs.items()}
    env = jumanji.make(name, **given)
    actions = _action_space(env.action_spec)
    _, step = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
    sizes = getattr(env.action_spec, "num_values", None)
    mask = getattr(step.observation, MASK, None)
    if mask is not None and sizes is not None and mask.shape == tuple(np.atleast_1d(sizes)):
        return MaskedJumanjiEnvironment(env, actions)
    return JumanjiEnvironment(env, actions)


class JumanjiEnvironment:
    """Environment of Jumanji.

    A step tells ``reward`` and the ``extras`` by their names. A time limit that the environment has is left to the
    core, as most of Jumanji's count as terminations; its own is put one step later.

    Args:
        env: as ``jumanji.make`` returns it.
        action_space: of its actions.
    """

    default_params = ()

    def __init__(self, env: Any, action_space: Space[Any]) -> None:
        self.env, self.action_space = env, action_space
        self.max_episode_steps: int | None = getattr(env, "time_limit", None)
        if self.max_episode_steps is not None:
            env.time_limit = self.max_episode_steps + 1
        _, step = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
        self.observation_space = observation_space(self.parts(step.observation))

    def parts(self, obs: Any) -> Any:
        """Return the arrays of an observation that agents see."""
        return obs

    def native_action(self, action: jax.Array) -> Any:
        return action

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        state, step = self.env.reset(key)
        return state, observed(self.parts(step.observation), self.observation_space)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> ScalarStep:
        state, step = self.env.step(state, action)
        over = step.last() & jnp.all(step.discount == 0)
        obs = observed(self.parts(step.observation), self.observation_space)
        return ScalarStep(state, obs, over, step.last() & ~over, {**step.extras, "reward": step.reward})


class MaskedJumanjiEnvironment(JumanjiEnvironment):
    """Environment of Jumanji with a mask of whole actions: they are numbered, row by row, and the mask is heeded.

    The mask is at the end of the observation. Where no action is allowed, and any ends the episode, all are.
    """

    observation_key = "observation"

    def __init__(self, env: Any, action_space: Space[Any]) -> None:
        self.sizes = tuple(map(int, np.atleast_1d(env.action_spec.num_values)))
        super().__init__(env, spaces.Discrete(math.prod(self.sizes)))
        self.several = not isinstance(action_space, spaces.Discrete)

    def parts(self, obs: Any) -> list[Any]:
        named = jax.tree_util.tree_leaves_with_path(obs)
        rest = [leaf for path, leaf in named if MASK not in jax.tree_util.keystr(path)]
        return [*rest, getattr(obs, MASK)]

    def native_action(self, action: jax.Array) -> Any:
        return jnp.stack(jnp.unravel_index(action, self.sizes)).astype(jnp.int32) if self.several else action

    def action_mask(self, obs: Any) -> Any:
        mask = obs[..., -math.prod(self.sizes) :] > 0
        return (mask | ~mask.any(axis=-1, keepdims=True)).astype(np.int8)


def _action_space(spec: Any) -> Space[Any]:
    """Return a spec of actions as a space."""
    from jumanji import specs

    if isinstance(spec, specs.DiscreteArray):
        return spaces.Discrete(int(spec.num_values))
    if isinstance(spec, specs.MultiDiscreteArray):
        return spaces.MultiDiscrete(np.asarray(spec.num_values))
    return bounded(spec.minimum, spec.maximum, tuple(spec.shape))
