"""Environments so small that what a learner must find can be written down."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from morl.envs.base import Objective
from morl.training.rollout import rollout


class State(NamedTuple):
    t: jax.Array
    cue: jax.Array


KINDS = ("constant", "cue", "delayed", "choice", "apart", "dent", "endless", "steer")


def of_kind(params, values, otherwise):
    """What ``values`` has for the kind that ``params`` is the number of."""
    return jnp.stack([values.get(kind, otherwise) for kind in KINDS])[params]


@dataclass(frozen=True)
class Probe:
    """Two objectives; ``kind`` says how they are earned.

    constant: one step, (1, 2). cue: one step, (cue, -cue), the cue of -1 or 1 is observed.
    delayed: two steps, (0, 0) then (1, 2), the time is observed.
    choice: one step, action 0 gives (1, 0), 1 gives (0, 1). apart: the same with (100, 0).
    dent: one step, actions give (1, 0), (0, 1) and (0.4, 0.4), which no weighted sum prefers.
    endless: (1, 2) every step, cut off after 5 steps and never ending by itself.
    steer: one step, continuous, (-(a - 0.6)^2, -(a + 0.2)^2) for a in [-2, 2].

    Kinds with the same actions are equal and differ in their parameters alone: a program compiled for one does for all.
    """

    kind: str = field(compare=False)
    num_actions: int = field(init=False)  # 0 where they are continuous
    id = "probe-v0"
    objectives = (Objective("a"), Objective("b"))
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    reference_point = np.array([-10.0, -10.0])
    max_episode_steps = 5

    def __post_init__(self):
        object.__setattr__(self, "num_actions", {"dent": 3, "steer": 0}.get(self.kind, 2))

    @property
    def default_params(self):
        return jnp.int32(KINDS.index(self.kind))

    @property
    def action_space(self):
        return spaces.Discrete(self.num_actions) if self.num_actions else spaces.Box(-2, 2, (1,), np.float32)

    def _observe(self, state, params):
        seen = {"cue": jnp.stack([state.cue, 0.0]), "delayed": jnp.array([0.0, 1.0]) * (state.t > 0)}
        return of_kind(params, seen, jnp.zeros(2))

    def reset(self, key, params):
        state = State(jnp.int32(0), jax.random.rademacher(key, (), jnp.float32))
        return state, self._observe(state, params)

    def step(self, key, state, action, params):
        both, first, second = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        if self.num_actions:
            rewards = {
                "constant": both,
                "cue": state.cue * jnp.array([1.0, -1.0]),
                "delayed": both * (state.t == 1),
                "choice": jnp.where(action == 0, first, second),
                "apart": jnp.where(action == 0, 100 * first, second),
                "dent": jnp.stack([first, second, jnp.array([0.4, 0.4])])[action],
                "endless": both,
            }
        else:
            rewards = {"steer": -((action[0] - jnp.array([0.6, -0.2])) ** 2)}
        reward = of_kind(params, rewards, jnp.zeros(2))
        state = state._replace(t=state.t + 1)
        terminated = of_kind(params, {"delayed": state.t >= 2, "endless": jnp.bool_(False)}, jnp.bool_(True))
        return state, self._observe(state, params), reward, terminated, jnp.bool_(False), {}


def training(env, learner, watch=lambda batch: ()):
    """Compiled, for ``env`` and those equal to it: from its parameters, a learner's state, lanes, preferences and keys.

    An update for each key. Gives the state and the lanes, and of each update the metrics and what ``watch`` says of its
    rollout.
    """

    @jax.jit
    def run(params, state, lanes, preferences, keys):
        def body(carry, key):
            state, lanes = carry
            key_rollout, key_update = jax.random.split(key)
            policy, steps = learner.policy(state), learner.rollout_steps
            lanes, batch = rollout(env, params, learner, policy, preferences, lanes, key_rollout, steps)
            state, metrics = learner.update(state, batch, key_update)
            return (state, lanes), (metrics, watch(batch))

        return jax.lax.scan(body, (state, lanes), keys)

    return run
