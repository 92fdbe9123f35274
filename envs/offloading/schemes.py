"""Schemes that do not learn, for every scenario of the suite, as policies of the common evaluation.

Schemes see the whole state, through :class:`Whole`. Policies are stacked along their first axis, one for each
preference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.gymnasium.presentation import observations_of
from morl.envs.offloading.devices import MecDevices
from morl.ops.preferences import equally_spaced_weights
from morl.runs.front import Front, from_evaluation
from morl.training.evaluation import evaluate, in_blocks
from morl.types import Evaluation, PyTree

Floats = NDArray[np.float64]
SEED = 0  # of the episodes that the figures of the suite are of


@dataclass(frozen=True)
class Whole:
    """Scenario whose observation is its whole state, as a vector of float32."""

    env: Any

    @property
    def id(self) -> str:
        return str(self.env.id)

    @property
    def observation_space(self) -> spaces.Box:
        size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(_shapes(self.env)))
        return spaces.Box(-np.inf, np.inf, (size,), np.float32)

    @property
    def action_space(self) -> Space[Any]:
        space: Space[Any] = self.env.action_space
        return space

    @property
    def reward_space(self) -> spaces.Box:
        space: spaces.Box = self.env.reward_space
        return space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(self.env.objectives)

    @property
    def max_episode_steps(self) -> None:
        return None

    @property
    def reference_point(self) -> Floats:
        return np.asarray(self.env.reference_point)

    @property
    def default_params(self) -> PyTree:
        return self.env.default_params

    def reset(self, key: jax.Array, params: PyTree) -> tuple[PyTree, jax.Array]:
        state = self.env.reset(key, params)[0]
        return state, self._vector(state)

    def step(
        self, key: jax.Array, state: PyTree, action: jax.Array, params: PyTree
    ) -> tuple[PyTree, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        state, _, *rest = self.env.step(key, state, action, params)
        return state, self._vector(state), *rest

    def state(self, vector: jax.Array) -> PyTree:
        """Return the state that a vector (N,) is of; its whole numbers are all below 2^24."""
        leaves, structure = jax.tree.flatten(_shapes(self.env))
        ends = np.cumsum([int(np.prod(leaf.shape)) for leaf in leaves])
        parts = [
            vector[end - int(np.prod(leaf.shape)) : end].reshape(leaf.shape).astype(leaf.dtype)
            for leaf, end in zip(leaves, ends, strict=True)
        ]
        return jax.tree.unflatten(structure, parts)

    def _vector(self, state: PyTree) -> jax.Array:
        return jnp.concatenate([leaf.ravel().astype(jnp.float32) for leaf in jax.tree.leaves(state)])


@cache
def _shapes(env: Any) -> PyTree:
    return jax.eval_shape(env.reset, jax.random.key(0), env.default_params)[0]


@dataclass(frozen=True)
class Scheme:
    """Rule that acts on the states of a scenario with its default parameters, given one policy of a stack.

    Attributes:
        env: the scenario.
        choose: returns the action for a policy, a preference (R,), a state and a key.
    """

    env: Any
    choose: Callable[[Any, PyTree, jax.Array, PyTree, jax.Array], jax.Array]

    def act(self, policy: PyTree, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B, ...) for vectors (B, N) of :class:`Whole`."""
        states = jax.vmap(Whole(self.env).state)(obs)
        keys = jax.random.split(key, len(obs))
        return jax.vmap(partial(self.choose, self.env, policy, preference))(states, keys)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return the actions as the environment takes them, which are the same."""
        return action


class Entry(NamedTuple):
    """Scheme with its N stacked policies and preferences (N, R)."""

    scheme: Scheme
    policies: PyTree
    preferences: Floats


# --- Rules ------------------------------------------------------------------------------------------------------------


def at_random(env: Any, policy: jax.Array, preference: jax.Array, state: PyTree, key: jax.Array) -> jax.Array:
    """Choose the cloud with the probability ``policy`` (), else a uniformly random one of the other allowed actions."""
    key_cloud, key_other = jax.random.split(key)
    if isinstance(env, MecDevices):
        shape: tuple[int, ...] = (env.devices,)
        other = jax.random.randint(key_other, shape, 1, env.num_servers, dtype=jnp.int32)
    else:
        shape = ()
        noise = jax.random.uniform(key_other, (env.num_actions,), dtype=jnp.float32)
        allowed = env.allowed(state, env.default_params) & (jnp.arange(env.num_actions, dtype=jnp.int32) > 0)
        other = jnp.argmax(jnp.where(allowed, 1.0 + noise, 0.0)).astype(jnp.int32)
    cloud = jax.random.uniform(key_cloud, shape, dtype=jnp.float32) < policy
    return jnp.where(cloud, jnp.int32(0), other)


def always(env: Any, policy: jax.Array, preference: jax.Array, state: PyTree, key: jax.Array) -> jax.Array:
    """Choose the action ``policy`` () int32; the environment takes the first allowed one where it is not."""
    return jnp.full(env.action_space.shape, policy, jnp.int32)


def least_loaded(env: Any, policy: PyTree, preference: jax.Array, state: PyTree, key: jax.Array) -> jax.Array:
    """Choose the allowed server with the fewest seconds of work; devices take turns, and see the others' tasks."""
    if not isinstance(env, MecDevices):
        return jnp.argmin(env.backlog(state, env.default_params)).astype(jnp.int32)

    def one(backlog: jax.Array, seconds: jax.Array) -> tuple[jax.Array, jax.Array]:
        server = jnp.argmin(backlog).astype(jnp.int32)
        return backlog.at[server].add(seconds[server]), server

    backlog = env.backlog(state, env.default_params)
    return jax.lax.scan(one, backlog, env.seconds(state, env.default_params))[1]


def greedy(scales: tuple[float, ...]) -> Callable[..., jax.Array]:
    """Return the rule of the largest weighted outlook Σ ω_i α_i r_i, the least delay among equals.

    Devices take turns; each sees the tasks that those before it have placed.

    Args:
        scales: α_i of the objectives.
    """

    def best(rewards: jax.Array, preference: jax.Array) -> jax.Array:
        weights = preference * jnp.asarray(scales, jnp.float32)
        gain = jnp.sum(jnp.where(weights[None] > 0, rewards * weights[None], 0.0), axis=1)
        gain = jnp.where(rewards[:, 0] > -jnp.inf, gain, -jnp.inf)
        equal = gain >= jnp.max(gain) - 1e-4 * jnp.abs(jnp.max(gain))
        return jnp.argmax(jnp.where(equal, rewards[:, 0], -jnp.inf)).astype(jnp.int32)

    def choose(env: Any, policy: PyTree, preference: jax.Array, state: PyTree, key: jax.Array) -> jax.Array:
        params = env.default_params
        if not isinstance(env, MecDevices):
            return best(env.outlook(state, params), preference)

        def one(action: jax.Array, device: jax.Array) -> tuple[jax.Array, None]:
            server = best(env.outlook(state, params, action, device), preference)
            return jnp.where(jnp.arange(env.devices, dtype=jnp.int32) == device, server, action), None

        nowhere = jnp.zeros(env.devices, jnp.int32)
        return jax.lax.scan(one, nowhere, jnp.arange(env.devices, dtype=jnp.int32))[0]

    return choose


def catalogue(env: Any, number: int = 11) -> dict[str, Entry]:
    """Return the schemes of a scenario by name.

    Args:
        env: the scenario.
        number: probabilities of the random scheme, and the fewest preferences of the greedy one.
    """
    size = len(env.objectives)
    even = np.full((1, size), 1.0 / size)
    if size == 2:
        preferences = equally_spaced_weights(2, number)
    else:
        divisions = next(n for n in range(1, 100) if (n + 1) * (n + 2) // 2 >= number)
        preferences = equally_spaced_weights(size, (divisions + 1) * (divisions + 2) // 2)
    scales = tuple(float(1 / abs(x)) for x in env.reference_point)
    shares = np.linspace(0.0, 1.0, number, dtype=np.float32)
    found = {
        "cloud": Entry(Scheme(env, always), np.zeros(1, np.int32), even),
        "random": Entry(Scheme(env, at_random), shares, np.repeat(even, number, axis=0)),
        "least loaded": Entry(Scheme(env, least_loaded), np.zeros(1, np.float32), even),
        "greedy": Entry(Scheme(env, _greedy(scales)), np.zeros(len(preferences), np.float32), preferences),
    }
    if getattr(env, "can_drop", False):
        found["local"] = Entry(Scheme(env, always), np.full(1, env.rows - 1, np.int32), even)
    return found


_greedy = cache(greedy)  # one function for equal scales, so that it compiles once


def evaluated(env: Any, entry: Entry, *, episodes: int = 256, seed: int = SEED) -> Evaluation:
    """Return the returns (N, episodes, R) of every policy of a scheme, dominated or not.

    Args:
        env: the scenario.
        entry: of :func:`catalogue`.
        episodes: number for each policy.
        seed: of the episodes, which are the same for all policies, and for all schemes with this seed.
    """
    each, block = min(episodes, 128), min(len(entry.preferences), 8)
    run = _evaluate(Whole(env), entry.scheme, each)
    keys = jnp.stack([jax.random.key(seed)] * len(entry.preferences))
    params = env.default_params
    return in_blocks(
        partial(run, params),
        *(entry.policies, entry.preferences, keys),
        block=block,
        episodes=episodes,
        each=each,
    )


def front(env: Any, entry: Entry, *, episodes: int = 256, seed: int = SEED) -> Front:
    """Evaluate a scheme, as :func:`evaluated`, and return the front of its policies that others do not dominate."""
    return from_evaluation(
        evaluated(env, entry, episodes=episodes, seed=seed),
        entry.policies,
        entry.preferences,
        objectives=tuple(objective.name for objective in env.objectives),
        gamma=1.0,
        reference_point=env.reference_point,
        learner=entry.scheme,  # type: ignore[arg-type]
        observations=observations_of(env),
        action_space=env.action_space,
    )


def _evaluate(env: Whole, scheme: Any, episodes: int) -> Callable[..., Evaluation]:
    def run(params: PyTree, policies: PyTree, preferences: jax.Array, keys: jax.Array) -> Evaluation:
        return evaluate(env, params, scheme, policies, preferences, keys, episodes=episodes, gamma=1.0)

    compiled: Callable[..., Evaluation] = jax.jit(run)
    return compiled
