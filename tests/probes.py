"""Environments so small that what a learner must find can be written down."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from morl.envs.base import Objective


class State(NamedTuple):
    t: jax.Array
    cue: jax.Array


@dataclass(frozen=True)
class Probe:
    """Two objectives; ``kind`` says how they are earned.

    constant: one step, (1, 2). cue: one step, (cue, -cue), the cue of -1 or 1 is observed.
    delayed: two steps, (0, 0) then (1, 2), the time is observed.
    choice: one step, action 0 gives (1, 0), 1 gives (0, 1). apart: the same with (100, 0).
    dent: one step, actions give (1, 0), (0, 1) and (0.4, 0.4), which no weighted sum prefers.
    endless: (1, 2) every step, cut off after 5 steps and never ending by itself.
    steer: one step, continuous, (-(a - 0.6)^2, -(a + 0.2)^2) for a in [-2, 2].
    """

    kind: str
    id = "probe-v0"
    objectives = (Objective("a"), Objective("b"))
    default_params = ()
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    reference_point = np.array([-10.0, -10.0])

    @property
    def max_episode_steps(self):
        return 5

    @property
    def action_space(self):
        if self.kind == "steer":
            return spaces.Box(-2, 2, (1,), np.float32)
        return spaces.Discrete(3 if self.kind == "dent" else 2)

    def _observe(self, state):
        return jnp.stack(
            [state.cue if self.kind == "cue" else 0.0 * state.cue, (state.t > 0) * 1.0 * (self.kind == "delayed")]
        )

    def reset(self, key, params):
        state = State(jnp.int32(0), jax.random.rademacher(key, (), jnp.float32))
        return state, self._observe(state)

    def step(self, key, state, action, params):
        both = jnp.array([1.0, 2.0])
        reward = {
            "constant": lambda: both,
            "cue": lambda: state.cue * jnp.array([1.0, -1.0]),
            "delayed": lambda: both * (state.t == 1),
            "choice": lambda: jnp.where(action == 0, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])),
            "apart": lambda: jnp.where(action == 0, jnp.array([100.0, 0.0]), jnp.array([0.0, 1.0])),
            "dent": lambda: jnp.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4]])[action],
            "endless": lambda: both,
            "steer": lambda: -((action[0] - jnp.array([0.6, -0.2])) ** 2),
        }[self.kind]()
        state = state._replace(t=state.t + 1)
        terminated = (state.t >= 2) if self.kind == "delayed" else jnp.bool_(self.kind != "endless")
        return state, self._observe(state), reward, terminated, jnp.bool_(False), {}
