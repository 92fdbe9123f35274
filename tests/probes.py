"""Environments so small that what a learner must find can be written down."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from morl.envs.base import Objective
from morl.training.backends.jax import JaxBackend
from morl.training.rollout import rollout, start_batch


class State(NamedTuple):
    t: jax.Array
    cue: jax.Array


KINDS = ("constant", "cue", "delayed", "choice", "apart", "dent", "endless", "steer", "parts")


@dataclass(frozen=True)
class Probe:
    """Environment with two objectives; ``kind`` says how they are earned.

    constant: one step, (1, 2). cue: one step, (cue, -cue), the cue of -1 or 1 is observed.
    delayed: two steps, (0, 0) then (1, 2), the time is observed.
    choice: one step, action 0 gives (1, 0), 1 gives (0, 1). apart: the same with (100, 0).
    dent: one step, actions give (1, 0), (0, 1) and (0.4, 0.4), which no weighted sum prefers.
    endless: (1, 2) every step, cut off after 5 steps and never ending by itself.
    parts: one step, [[3], [2]] values from -1 on; (1, 0) for the last of the first part, (0, 1) for that of the second.
    steer: one step, continuous, (-(a - 0.6)^2, -(a + 0.2)^2) for a in [-2, 2].
    """

    kind: str
    num_actions: int = field(init=False)  # 0 where they are continuous
    id = "probe-v0"
    objectives = (Objective("a"), Objective("b"))
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    reference_point = np.array([-10.0, -10.0])
    max_episode_steps = 5
    default_params = ()

    def __post_init__(self):
        assert self.kind in KINDS
        object.__setattr__(self, "num_actions", {"dent": 3, "steer": 0, "parts": 0}.get(self.kind, 2))

    @property
    def action_space(self):
        if self.kind == "parts":
            return spaces.MultiDiscrete([[3], [2]], start=[[-1], [-1]])
        return spaces.Discrete(self.num_actions) if self.num_actions else spaces.Box(-2, 2, (1,), np.float32)

    def _observe(self, state):
        if self.kind == "cue":
            return jnp.stack([state.cue, 0.0])
        return jnp.array([0.0, 1.0]) * (state.t > 0) if self.kind == "delayed" else jnp.zeros(2)

    def reset(self, key, params):
        state = State(jnp.int32(0), jax.random.rademacher(key, (), jnp.float32))
        return state, self._observe(state)

    def _reward(self, state, action):
        both, first, second = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        match self.kind:
            case "cue":
                return state.cue * jnp.array([1.0, -1.0])
            case "delayed":
                return both * (state.t == 1)
            case "choice":
                return jnp.where(action == 0, first, second)
            case "apart":
                return jnp.where(action == 0, 100 * first, second)
            case "dent":
                return jnp.stack([first, second, jnp.array([0.4, 0.4])])[action]
            case "parts":
                return jnp.stack([action[0, 0] == 1, action[1, 0] == 0]).astype(jnp.float32)
            case "steer":
                return -((action[0] - jnp.array([0.6, -0.2])) ** 2)
        return both

    def step(self, key, state, action, params):
        reward = self._reward(state, action)
        state = state._replace(t=state.t + 1)
        terminated = {"delayed": state.t >= 2, "endless": jnp.bool_(False)}.get(self.kind, jnp.bool_(True))
        return state, self._observe(state), reward, terminated, jnp.bool_(False), {}


def trainer(env, learner, preferences, **options):
    """Return the JAX back-end."""
    return JaxBackend(env, learner, preferences, eval_episodes=1, gamma=0.9, **options)


def training(env, learner):
    """Return a function that trains one policy of ``learner`` on ``env`` by the back-end that production trains with.

    ``run(preference, updates, state=None, seed=3, chunk=1)`` takes a preference (R,), or (B, R) with one for each
    environment, and the state to start from, by default a fresh one. It returns the state after these updates and the
    metrics, (updates / chunk,) means over as many updates each.
    """
    backend = trainer(env, learner, np.full((1, 2), 0.5))

    def run(preference, updates, state=None, seed=3, chunk=1):
        learners = None if state is None else [state]
        trained = backend.init([jax.random.key(seed)], learners, np.asarray(preference, np.float32)[None])
        metrics = []
        for _ in range(updates // chunk):
            trained, sums = backend.run(trained, chunk)
            metrics.append({name: value[0] / chunk for name, value in sums.metrics.items()})
        assert backend.nonfinite(trained).number.sum() == 0
        state = jax.tree.map(lambda leaf: np.asarray(leaf)[0], trained.learners)
        return state, {name: np.array([row[name] for row in metrics]) for name in metrics[0]}

    return run


def experience(env, learner, state, preference, key=0):
    """Return one rollout (T, B) of a learner's policy, as the back-end gives it to ``update``."""
    key_start, key_rollout = jax.random.split(jax.random.key(key))
    runners = start_batch(env, env.default_params, key_start, learner.num_envs)
    preference, policy = jnp.asarray(preference, jnp.float32), learner.policy(state)
    return rollout(env, env.default_params, learner, policy, preference, runners, key_rollout, learner.rollout_steps)[2]
