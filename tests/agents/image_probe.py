"""Environment seen as an image, in which the best action depends on where something bright is."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from morl.envs.base import Objective

SIDE, SQUARE = 36, 12


class State(NamedTuple):
    corner: jax.Array


class BrightSquare:
    """One step: a bright square is somewhere in the left or the right half, and the action says in which.

    Right answers give (1, 2), wrong ones nothing.
    """

    id = "bright-square-v0"
    objectives = (Objective("a"), Objective("b"))
    observation_space = spaces.Box(0, 255, (SIDE, SIDE), np.uint8)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(0, 2, (2,), np.float32)
    reference_point = np.array([-1.0, -1.0])
    max_episode_steps = 5
    default_params = ()

    def _observe(self, state):
        row, column = (jnp.arange(SIDE, dtype=jnp.int32) - each for each in (state.corner[0], state.corner[1]))
        inside = ((row >= 0) & (row < SQUARE))[:, None] & ((column >= 0) & (column < SQUARE))[None]
        return jnp.where(inside, 255, 0).astype(jnp.uint8)

    def reset(self, key, params):
        key_side, key_place = jax.random.split(key)
        side = jax.random.randint(key_side, (), 0, 2, dtype=jnp.int32)
        place = jax.random.randint(key_place, (2,), 0, jnp.array([SIDE - SQUARE, SIDE // 2 - SQUARE]), dtype=jnp.int32)
        state = State(place + jnp.array([0, 1], jnp.int32) * side * (SIDE // 2))
        return state, self._observe(state)

    def step(self, key, state, action, params):
        right = action == (state.corner[1] >= SIDE // 2 - SQUARE // 2)
        reward = jnp.array([1.0, 2.0], jnp.float32) * right.astype(jnp.float32)
        return state, self._observe(state), reward, jnp.bool_(True), jnp.bool_(False), {}
