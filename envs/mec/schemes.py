"""Schemes that need no learning by gradient, as policies of the common evaluation: what a learner has to beat.

They act on what :class:`Revealed` shows: the observation, and what each server would give. ``policies`` are stacked
along their first axis, one for each preference, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.mec.environment import MecOffloading, State
from morl.envs.mec.params import Params
from morl.ops.batching import with_leading_axes
from morl.runs.front import Front, from_evaluation
from morl.training.evaluation import evaluate, in_blocks
from morl.types import Evaluation, Learner, PyTree

Floats = NDArray[np.float64]
SCALES = (0.01, 50.0)  # α_T per s and α_E per J: both objectives in one order of magnitude (Yang et al., 2025)
EXTRAS = 4  # columns that Revealed adds: the outlook's three, and the step


@dataclass(frozen=True)
class Revealed:
    """The simulator with four columns more in each server's row: its :meth:`MecOffloading.outlook`, and the step."""

    env: MecOffloading

    @property
    def id(self) -> str:
        return self.env.id

    @property
    def observation_space(self) -> spaces.Box:
        rows, columns = self.env.observation_space.shape
        return spaces.Box(-np.inf, np.inf, (rows, columns + EXTRAS), np.float32)

    @property
    def action_space(self) -> Space[Any]:
        return self.env.action_space

    @property
    def reward_space(self) -> spaces.Box:
        return self.env.reward_space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self.env.objectives

    @property
    def max_episode_steps(self) -> int:
        return self.env.max_episode_steps

    @property
    def reference_point(self) -> Floats:
        return self.env.reference_point

    @property
    def default_params(self) -> Params:
        return self.env.default_params

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state, obs = self.env.reset(key, params)
        return state, self._more(obs, state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        state, obs, *rest = self.env.step(key, state, action, params)
        return state, self._more(obs, state, params), *rest  # type: ignore[return-value]

    def _more(self, obs: jax.Array, state: State, params: Params) -> jax.Array:
        step = jnp.full((len(obs), 1), state.step, jnp.float32)
        return jnp.concatenate([obs, self.env.outlook(state, params), step], axis=1)


class View(NamedTuple):
    """The parts of what :class:`Revealed` shows; ``rewards`` (..., S, 2), ``own_delay`` (..., S), ``step`` (...)."""

    servers: jax.Array
    exists: jax.Array
    rewards: jax.Array
    own_delay: jax.Array
    step: jax.Array


def view(obs: jax.Array) -> View:
    """Observations (..., S, F + 4) in parts."""
    servers = obs[..., :-EXTRAS]
    return View(servers, servers[..., 2] >= 0, obs[..., -4:-2], -obs[..., -2], obs[..., 0, -1].astype(jnp.int32))


class Scheme(Protocol):
    """How to act on observations (B, S, F + 4) of :class:`Revealed`, given one policy of a stack."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Actions (B,)."""
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """The same."""
        ...


@dataclass(frozen=True)
class _Scheme:
    def to_env(self, action: jax.Array) -> jax.Array:
        return action


@dataclass(frozen=True)
class Random(_Scheme):
    """The cloud with a probability, which is the policy; else any edge server."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        key_cloud, key_edge = jax.random.split(key)
        exists = view(obs).exists
        cloud = jax.random.uniform(key_cloud, exists.shape[:1]) < policy
        num_edges = exists.sum(axis=-1) - 1
        return jnp.where(cloud, 0, 1 + jax.random.randint(key_edge, exists.shape[:1], 0, num_edges))


@dataclass(frozen=True)
class Greedy(_Scheme):
    """The server that gives most now, ω·(α_T r_T, α_E r_E); the least increase in delay among equals.

    It needs no policy. ``tie``: what is at most this share worse than the best counts as equal to it.
    """

    tie: float = 1e-3
    scales: tuple[float, float] = SCALES

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        gain = jnp.where(seen.exists, _dot(seen.rewards, preference * jnp.asarray(self.scales)), -jnp.inf)
        best = gain.max(axis=-1, keepdims=True)
        equal = gain >= best - self.tie * jnp.abs(best)
        return jnp.argmax(jnp.where(equal, seen.rewards[..., 0], -jnp.inf), axis=-1)


@dataclass(frozen=True)
class LeastDelay(_Scheme):
    """The server where the task itself is done first; it needs no policy."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return jnp.argmin(view(obs).own_delay, axis=-1)


@dataclass(frozen=True)
class LeastEnergy(_Scheme):
    """The server where the task costs least energy; it needs no policy."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return jnp.argmax(view(obs).rewards[..., 1], axis=-1)


@dataclass(frozen=True)
class Plan(_Scheme):
    """A fixed server for each step, which are the policy, (T,) int32; the cloud where there is no such server."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        server = policy[seen.step % len(policy)]
        there = jnp.take_along_axis(seen.exists, server[:, None], axis=1)[:, 0]
        return jnp.where(there, server, 0)


@dataclass(frozen=True)
class Linear(_Scheme):
    """The arm with the largest estimate; the policy has a row of weights for each, ``theta`` (S, D).

    LinUCB's bandit once it has learnt (see :func:`morl.envs.mec.search.linucb`, and there for ``products``).
    """

    products: bool = False

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        estimate = jnp.sum(features(seen.servers, preference, self.products) * policy, axis=-1)
        return jnp.argmax(jnp.where(seen.exists, estimate, -jnp.inf), axis=-1)


@dataclass(frozen=True)
class Learned(_Scheme):
    """A learner's policies, which see the simulator's own observation alone."""

    learner: Learner

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return self.learner.act(policy, view(obs).servers, preference, key, greedy=greedy)


def features(servers: jax.Array, preference: jax.Array, products: bool) -> jax.Array:
    """(..., S, D) what the bandit sees of each server: 1, ω and its row, scaled to about 1; or ω times (1, its row)."""
    rows = servers / jnp.asarray([10.0, 500.0, 1.0, 1.0, 10.0, *[1.0] * (servers.shape[-1] - 5)])
    rows = jnp.concatenate([jnp.ones((*rows.shape[:-1], 1)), rows], axis=-1)
    if products:
        return jnp.concatenate([preference[i] * rows for i in range(len(preference))], axis=-1)
    return jnp.concatenate([jnp.broadcast_to(preference, (*rows.shape[:-1], len(preference))), rows], axis=-1)


def grid(number: int) -> Floats:
    """(number, 2) preferences, equally spaced, from energy alone to delay alone."""
    first = np.linspace(0.0, 1.0, number)
    return np.stack([first, 1.0 - first], axis=1)


def front(
    env: MecOffloading,
    scheme: Scheme,
    policies: PyTree,
    preferences: Floats,
    *,
    params: Params | None = None,
    episodes: int = 1000,
    seed: int = 0,
) -> Front:
    """The front of a scheme by the common evaluation.

    Args:
        env: the simulator.
        scheme: how to act.
        policies: N stacked ones, one a preference; any array of N for a scheme that needs none.
        preferences: (N, 2).
        params: the system, or range of systems; by default the environment's.
        episodes: of each policy.
        seed: of the episodes. All policies, and all schemes of the same seed, meet the same ones.

    Returns:
        The policies no other dominates.
    """
    evaluation = evaluated(env, scheme, policies, preferences, params=params, episodes=episodes, seed=seed)
    names = tuple(objective.name for objective in env.objectives)
    return from_evaluation(
        evaluation,
        policies,
        preferences,
        objectives=names,
        gamma=1.0,
        reference_point=env.reference_point,
        learner=scheme,  # type: ignore[arg-type]
        observation_ndim=2,
    )


def evaluated(
    env: MecOffloading,
    scheme: Scheme,
    policies: PyTree,
    preferences: Floats,
    *,
    params: Params | None = None,
    episodes: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Returns of every policy, dominated or not, (N, episodes, 2); arguments as of :func:`front`."""
    params = env.default_params if params is None else params
    each, block = min(episodes, 128), min(len(preferences), 8)
    run = _evaluate(Revealed(env), scheme, each)
    keys = jnp.stack([jax.random.key(seed)] * len(preferences))
    return in_blocks(partial(run, params), policies, preferences, keys, block=block, episodes=episodes, each=each)


def _evaluate(env: Revealed, scheme: Any, episodes: int) -> Callable[..., Evaluation]:
    def run(params: Params, policies: PyTree, preferences: jax.Array, keys: jax.Array) -> Evaluation:
        return evaluate(env, params, scheme, policies, preferences, keys, episodes=episodes, gamma=1.0)

    compiled: Callable[..., Evaluation] = jax.jit(run)
    return compiled


def _dot(rewards: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted sums (...), where 0 times minus infinity is 0."""
    weights = with_leading_axes(weights, rewards.ndim)
    return jnp.sum(jnp.where(weights > 0, rewards * weights, 0.0), axis=-1)
