"""Environments so small that what a learner must find can be written down."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


ALIKE = ("constant", "cue", "delayed", "choice", "apart", "endless"), ("steer", "adrift"), ("dent",), ("parts",)


@dataclass(frozen=True)
class Probe:
    """Environment with two objectives; ``kind`` says how they are earned.

    constant: one step, (1, 2). cue: one step, (cue, -cue), the cue of -1 or 1 is observed.
    delayed: two steps, (0, 0) then (1, 2), the time is observed.
    choice: one step, action 0 gives (1, 0), 1 gives (0, 1). apart: the same with (100, 0).
    dent: one step, actions give (1, 0), (0, 1) and (0.4, 0.4), which no weighted sum prefers.
    endless: (1, 2) every step, cut off after 5 steps and never ending by itself.
    parts: one step, [[3], [2]] values from -1 on; (1, 0) for the last of the first part, (0, 1) for that of the second.
    steer: one step, continuous, (-(a - 0.6)^2, -(a + 0.2)^2) for a in [-2, 2]. adrift: endless with such actions.

    Its parameters are its place among the kinds of the same spaces. These differ in nothing else: a program that takes
    the parameters as an argument serves them all.
    """

    kind: str
    default_params: Any = field(default=None, kw_only=True)
    alike: tuple = field(init=False, repr=False)  # kinds of the same spaces
    num_actions: int = field(init=False)  # 0 where they are continuous
    id = "probe-v0"
    objectives = (Objective("a"), Objective("b"))
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    reference_point = np.array([-10.0, -10.0])
    max_episode_steps = 5

    def __post_init__(self):
        object.__setattr__(self, "alike", next(kinds for kinds in ALIKE if self.kind in kinds))
        if self.default_params is None:
            object.__setattr__(self, "default_params", np.int32(self.alike.index(self.kind)))
        object.__setattr__(self, "num_actions", {"dent": 3, "steer": 0, "parts": 0}.get(self.alike[0], 2))

    @property
    def action_space(self):
        if self.kind == "parts":
            return spaces.MultiDiscrete([[3], [2]], start=[[-1], [-1]])
        return spaces.Discrete(self.num_actions) if self.num_actions else spaces.Box(-2, 2, (1,), np.float32)

    def _observe(self, state, params):
        later = jnp.array([0.0, 1.0]) * (state.t > 0)
        seen = {"cue": jnp.stack([state.cue, 0.0]), "delayed": later}
        return jnp.stack([seen.get(kind, jnp.zeros(2)) for kind in self.alike])[params]

    def reset(self, key, params):
        state = State(jnp.int32(0), jax.random.rademacher(key, (), jnp.float32))
        return state, self._observe(state, params)

    def _reward(self, state, action, params):
        both, first, second = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        rewards = {
            "cue": lambda: state.cue * jnp.array([1.0, -1.0]),
            "delayed": lambda: both * (state.t == 1),
            "choice": lambda: jnp.where(action == 0, first, second),
            "apart": lambda: jnp.where(action == 0, 100 * first, second),
            "dent": lambda: jnp.stack([first, second, jnp.array([0.4, 0.4])])[action],
            "parts": lambda: jnp.stack([action[0, 0] == 1, action[1, 0] == 0]).astype(jnp.float32),
            "steer": lambda: -((action[0] - jnp.array([0.6, -0.2])) ** 2),
        }
        return jnp.stack([rewards.get(kind, lambda: both)() for kind in self.alike])[params]

    def step(self, key, state, action, params):
        reward = self._reward(state, action, params)
        state = state._replace(t=state.t + 1)
        last = {"delayed": state.t >= 2, "endless": jnp.bool_(False), "adrift": jnp.bool_(False)}
        terminated = jnp.stack([last.get(kind, jnp.bool_(True)) for kind in self.alike])[params]
        return state, self._observe(state, params), reward, terminated, jnp.bool_(False), {}


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


def train_together(kinds, learner, preferences, updates, states=None, seed=3):
    """Train one policy of ``learner`` on each kind of probe by one compiled program, as their spaces are the same.

    Args:
        kinds: of probes.
        learner: of each of them.
        preferences: (R,) or (B, R) of each.
        updates: of each.
        states: to start from, one for each; by default fresh ones.
        seed: of each.

    Returns:
        for each kind the state and the metrics (updates,).
    """
    envs, keys = [Probe(kind) for kind in kinds], [jax.random.key(seed)] * len(kinds)
    preferences = np.asarray(preferences, np.float32)

    def train(params, key, state):
        env = Probe(kinds[0], default_params=params)
        update = trainer(env, learner, preferences)._update_once
        state = state._replace(runners=start_batch(env, params, key, learner.num_envs))
        return jax.lax.scan(lambda state, _: update(state), state, length=updates)

    begun = trainer(envs[0], learner, preferences, devices=jax.devices()[:1]).init(keys, states)
    params = np.stack([env.default_params for env in envs])
    trained, sums = jax.jit(jax.vmap(train))(params, jnp.stack(keys), begun)
    assert not np.asarray(trained.nonfinite.number).any()
    found = jax.tree.map(np.asarray, (trained.learners, sums.metrics))
    return [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(len(kinds))]


def actor(env, learner):
    """Return a compiled function from a state, a preference (R,) or (B, R) and a key to one rollout (T, B).

    It is as the back-end gives it to ``update``; ``params`` are by default those of ``env``.
    """

    @jax.jit
    def run(policy, preference, key, params):
        key_start, key_rollout = jax.random.split(key)
        runners = start_batch(env, params, key_start, learner.num_envs)
        return rollout(env, params, learner, policy, preference, runners, key_rollout, learner.rollout_steps)[2]

    def act(state, preference, key=0, params=env.default_params):
        return run(learner.policy(state), jnp.asarray(preference, jnp.float32), jax.random.key(key), params)

    return act


def experience(env, learner, state, preference, key=0):
    """Return one rollout (T, B) of a learner's policy, see :func:`actor`."""
    return actor(env, learner)(state, preference, key)
