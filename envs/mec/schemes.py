"""Baseline schemes without gradient learning, as policies of the common evaluation.

Schemes act on the observations of :class:`Revealed`, which include the rewards that each server would give.
``policies`` are stacked along their first axis, one for each preference.
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
from morl.envs.gymnasium.presentation import observations_of
from morl.envs.mec.environment import MecOffloading, State
from morl.envs.mec.params import Params
from morl.envs.overflow import check_overflow
from morl.ops.batching import with_leading_axes
from morl.runs.front import Front, from_evaluation
from morl.training.evaluation import evaluate, in_blocks
from morl.types import Evaluation, Learner, PyTree

Floats = NDArray[np.float64]
SCALES = (0.01, 50.0)  # α_T per s and α_E per J: both objectives in one order of magnitude (Yang et al., 2025)
EXTRAS = 4  # columns that Revealed adds: three of the outlook, and the step


@dataclass(frozen=True)
class Revealed:
    """Simulator whose observation has four more columns: :meth:`MecOffloading.outlook` of each server, and the step."""

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

    def overflow(self, state: State) -> jax.Array:
        return self.env.overflow(state)

    def overflow_message(self, number: int) -> str:
        return self.env.overflow_message(number)

    def _more(self, obs: jax.Array, state: State, params: Params) -> jax.Array:
        step = jnp.full((len(obs), 1), state.step, jnp.float32)
        return jnp.concatenate([obs, self.env.outlook(state, params), step], axis=1)


class View(NamedTuple):
    """Parts of an observation of :class:`Revealed`.

    Attributes:
        servers: (..., S, F) observation of the simulator.
        exists: (..., S) bool.
        rewards: (..., S, 2) rewards of placing the task on each server.
        own_delay: (..., S) seconds of the task itself.
        step: (...) int32.
    """

    servers: jax.Array
    exists: jax.Array
    rewards: jax.Array
    own_delay: jax.Array
    step: jax.Array


def view(obs: jax.Array) -> View:
    """Split observations (..., S, F + 4) of :class:`Revealed`."""
    servers = obs[..., :-EXTRAS]
    return View(servers, servers[..., 2] >= 0, obs[..., -4:-2], -obs[..., -2], obs[..., 0, -1].astype(jnp.int32))


class Scheme(Protocol):
    """Rule that acts on observations (B, S, F + 4) of :class:`Revealed`, given one policy of a stack."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B,)."""
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return the actions as the environment takes them, which are the same."""
        ...


@dataclass(frozen=True)
class _Scheme:
    def to_env(self, action: jax.Array) -> jax.Array:
        return action


@dataclass(frozen=True)
class Random(_Scheme):
    """Cloud with a probability, which is the policy; else a uniformly random edge server."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        key_cloud, key_edge = jax.random.split(key)
        exists = view(obs).exists
        cloud = jax.random.uniform(key_cloud, exists.shape[:1], dtype=jnp.float32) < policy
        num_edges = exists.sum(axis=-1) - 1
        return jnp.where(cloud, 0, 1 + jax.random.randint(key_edge, exists.shape[:1], 0, num_edges, dtype=jnp.int32))


@dataclass(frozen=True)
class Greedy(_Scheme):
    """Server with the largest weighted reward now, ω·(α_T r_T, α_E r_E); the least delay among equals. Needs no policy.

    Attributes:
        tie: relative difference to the best up to which a server counts as equal.
        scales: α_T and α_E.
    """

    tie: float = 1e-3
    scales: tuple[float, float] = SCALES

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        return self.best(seen.exists, seen.rewards, preference)

    def best(self, exists: jax.Array, rewards: jax.Array, preference: jax.Array) -> jax.Array:
        """Return the servers (...) of rewards (..., S, 2), of those that exist (..., S)."""
        gain = jnp.where(exists, _dot(rewards, preference * jnp.asarray(self.scales, jnp.float32)), -jnp.inf)
        best = gain.max(axis=-1, keepdims=True)
        equal = gain >= best - self.tie * jnp.abs(best)
        return jnp.argmax(jnp.where(equal, rewards[..., 0], -jnp.inf), axis=-1)


@dataclass(frozen=True)
class Foresight(Greedy):
    """Greedy whose delay has a price for the tasks to come; the policy holds two prices p (2,), at least 0.

    A task of L Mbit on a server of C_e Mbit/s that runs n tasks costs, besides what it adds now,
    min(steps to come / ``horizon``, 1) (L / C_e) (p_0 + p_1 n C_e / Σ C) seconds: for so long it is in the way of
    others, and the more so, the fuller the server is. :func:`morl.envs.mec.search.prices` finds the prices.

    Attributes:
        steps: T of the simulator.
        horizon: steps before the end from which on less is in the way.
        cycles_per_bit: η of the simulator.
    """

    scales: tuple[float, float] = (0.003, 1.5)
    steps: int = 100
    horizon: float = 20.0
    cycles_per_bit: float = 1e3

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        size, running = seen.servers[..., 0], seen.servers[..., 3]
        speed = jnp.where(seen.exists, seen.servers[..., 2], 0.0) * 1e3 / self.cycles_per_bit
        share = speed / jnp.sum(speed, axis=-1, keepdims=True)
        to_come = jnp.minimum((self.steps - 1 - seen.step[..., None]).astype(jnp.float32) / self.horizon, 1.0)
        alone = jnp.where(seen.exists, size / jnp.where(seen.exists, speed, 1.0), 0.0)
        price = to_come * alone * (policy[0] + policy[1] * running * share)
        return self.best(seen.exists, seen.rewards.at[..., 0].add(-price), preference)


@dataclass(frozen=True)
class LeastDelay(_Scheme):
    """Server where the task itself is done first. Needs no policy."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return jnp.argmin(view(obs).own_delay, axis=-1)


@dataclass(frozen=True)
class LeastEnergy(_Scheme):
    """Server where the task costs least energy. Needs no policy."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return jnp.argmax(view(obs).rewards[..., 1], axis=-1)


@dataclass(frozen=True)
class Plan(_Scheme):
    """Fixed server for each step; the policy is (T,) int32. The cloud replaces servers that do not exist."""

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        server = policy[seen.step % len(policy)]
        there = jnp.take_along_axis(seen.exists, server[:, None], axis=1)[:, 0]
        return jnp.where(there, server, 0)


@dataclass(frozen=True)
class Linear(_Scheme):
    """Server with the largest linear estimate; the policy holds its weights ``theta`` (S, D).

    The weights are those of LinUCB (:func:`morl.envs.mec.search.linucb`, which explains ``products``).
    """

    products: bool = False

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        seen = view(obs)
        estimate = jnp.einsum(
            "...ad,ad->...a", features(seen.servers, preference, self.products), policy, precision="highest"
        )
        return jnp.argmax(jnp.where(seen.exists, estimate, -jnp.inf), axis=-1)


@dataclass(frozen=True)
class Learned(_Scheme):
    """Policies of a learner, which see the simulator's own observation only."""

    learner: Learner

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        return self.learner.act(policy, view(obs).servers, preference, key, greedy=greedy)


def features(servers: jax.Array, preference: jax.Array, products: bool) -> jax.Array:
    """Return inputs (..., S, D) of the bandit: 1, ω and the server's row, scaled to about 1; or ω times (1, row)."""
    scales = jnp.asarray([10.0, 500.0, 1.0, 1.0, 10.0, *[1.0] * (servers.shape[-1] - 5)], jnp.float32)
    rows = servers / jnp.broadcast_to(scales, servers.shape)
    rows = jnp.concatenate([jnp.ones((*rows.shape[:-1], 1), jnp.float32), rows], axis=-1)
    if products:
        return jnp.concatenate([preference[i] * rows for i in range(len(preference))], axis=-1)
    return jnp.concatenate([jnp.broadcast_to(preference, (*rows.shape[:-1], len(preference))), rows], axis=-1)


def grid(number: int) -> Floats:
    """Return preferences (number, 2), equally spaced, from energy alone to delay alone."""
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
    """Evaluate a scheme and return its front.

    Args:
        env: the simulator.
        scheme: rule that acts.
        policies: N stacked policies, one for each preference; any array of length N for a scheme that needs none.
        preferences: (N, 2).
        params: the system, or range of systems; by default the environment's.
        episodes: number for each policy.
        seed: seed of the episodes, which are the same for all policies, and for all schemes with this seed.

    Returns:
        Front of the non-dominated policies.
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
        observations=observations_of(Revealed(env)),  # as schemes see it
        action_space=env.action_space,
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
    """Return the returns (N, episodes, 2) of every policy, dominated or not; arguments are those of :func:`front`.

    Raises:
        UserError: an episode has lost tasks.
    """
    params = env.default_params if params is None else params
    each, block = min(episodes, 128), min(len(preferences), 8)
    run = _evaluate(Revealed(env), scheme, each)
    keys = jnp.stack([jax.random.key(seed)] * len(preferences))
    evaluation = in_blocks(partial(run, params), policies, preferences, keys, block=block, episodes=episodes, each=each)
    check_overflow(env, evaluation.overflow)
    return evaluation


def _evaluate(env: Revealed, scheme: Any, episodes: int) -> Callable[..., Evaluation]:
    def run(params: Params, policies: PyTree, preferences: jax.Array, keys: jax.Array) -> Evaluation:
        return evaluate(env, params, scheme, policies, preferences, keys, episodes=episodes, gamma=1.0)

    compiled: Callable[..., Evaluation] = jax.jit(run)
    return compiled


def _dot(rewards: jax.Array, weights: jax.Array) -> jax.Array:
    """Return weighted sums (...), with 0 times minus infinity taken as 0."""
    weights = with_leading_axes(weights, rewards.ndim)
    return jnp.sum(jnp.where(weights > 0, rewards * weights, 0.0), axis=-1)
