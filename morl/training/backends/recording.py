"""Recorded episodes in JAX: what a policy saw and did, for agents that learn from single episodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from morl.envs.overflow import check_overflow
from morl.training.evaluation import MAX_STEPS
from morl.training.rollout import AnyEnv, EnvRunnerState, start, step
from morl.types import Learner, PyTree, Recorded

Act = Callable[[PyTree, jax.Array, jax.Array], jax.Array]


class Recorder:
    """Compiled :func:`record` of one environment and kind of actor, see :class:`morl.types.Recorder`."""

    def __init__(
        self,
        env: AnyEnv,
        params: PyTree,
        learner: Learner,
        act: Act,
        jit: Callable[..., Any],
        *,
        episodes: int,
        gamma: float,
    ) -> None:
        obs = jax.eval_shape(partial(start, env, params), jax.random.key(0)).obs
        self.bytes_each = obs.size * obs.dtype.itemsize * (env.max_episode_steps or MAX_STEPS)
        self._env = env
        self._run = jit(partial(record, env, params, act, learner.to_env, episodes=episodes, gamma=gamma))

    def __call__(self, actors: PyTree, limits: Any, key: jax.Array) -> Recorded:
        """Run episodes of N stacked actors."""
        found: Recorded = self._run(actors, limits, key)
        check_overflow(self._env, found.overflow)
        return found


def record(
    env: AnyEnv,
    params: PyTree,
    act: Act,
    to_env: Callable[[jax.Array], jax.Array],
    actors: PyTree,
    limits: jax.Array,
    key: jax.Array,
    *,
    episodes: int,
    gamma: float,
) -> Recorded:
    """Run ``episodes`` episodes of each of N stacked actors. To be jitted by the caller.

    Episode e has the same random numbers for all actors, and for any number of episodes.

    Args:
        env, params: the environment.
        act: actions (E, ...) of one actor for observations (E, ...) at a step (), of all its episodes at once.
        to_env: converts recorded actions to those of the environment.
        actors: stacked.
        limits: (N,) int32 steps after which episodes are given up.
        key: of all episodes.
        episodes: E.
        gamma: discount.
    """
    count = len(limits)
    most = env.max_episode_steps or MAX_STEPS
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(episodes, dtype=jnp.int32))
    key_start, key_steps = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    begin = jax.vmap(partial(start, env, params))(key_start)
    runners: EnvRunnerState = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (count, *x.shape)), begin)

    def flat(x: jax.Array) -> jax.Array:
        return x.reshape(count * episodes, *x.shape[2:])  # an array of a state may be empty

    def acted(obs: jax.Array, t: jax.Array) -> jax.Array:
        return jax.vmap(act, (0, 0, None))(actors, obs, t)

    action = jax.eval_shape(acted, runners.obs, jnp.int32(0))
    empty = Recorded(
        discounted=jnp.zeros((count, episodes, len(env.objectives)), jnp.float32),
        length=jnp.zeros((count, episodes), jnp.int32),
        ended=jnp.zeros((count, episodes), bool),
        obs=jnp.zeros((most, *runners.obs.shape), runners.obs.dtype),
        action=jnp.zeros((most, *action.shape), action.dtype),
        overflow=runners.overflow,
    )

    def running(carry: tuple[jax.Array, EnvRunnerState, jax.Array, Recorded]) -> jax.Array:
        return jnp.any(carry[2]) & (carry[0] < most)

    def advance(
        carry: tuple[jax.Array, EnvRunnerState, jax.Array, Recorded],
    ) -> tuple[jax.Array, EnvRunnerState, jax.Array, Recorded]:
        t, runners, alive, found = carry
        action = acted(runners.obs, t)
        key_step = flat(jnp.broadcast_to(jax.vmap(jax.random.fold_in, (0, None))(key_steps, t)[None], alive.shape))
        following, out = jax.vmap(partial(step, env, params))(
            key_step, jax.tree.map(flat, runners), to_env(flat(action))
        )
        following, out = jax.tree.map(lambda x: x.reshape(*alive.shape, *x.shape[1:]), (following, out))
        done = out.terminated | out.truncated
        discount = jnp.float32(gamma) ** t.astype(jnp.float32)
        found = Recorded(
            discounted=found.discounted + discount * jnp.where(alive[..., None], out.reward, 0.0),
            length=found.length + alive.astype(jnp.int32),
            ended=found.ended | (alive & done),
            obs=found.obs.at[t].set(runners.obs),
            action=found.action.at[t].set(action),
            overflow=None if found.overflow is None else jnp.where(alive, following.overflow, found.overflow),
        )
        return t + 1, following, alive & ~done & (t + 1 < limits)[:, None], found

    carry = (jnp.int32(0), runners, jnp.ones((count, episodes), bool), empty)
    found: Recorded = jax.lax.while_loop(running, advance, carry)[3]
    return found._replace(obs=jnp.moveaxis(found.obs, 0, 2), action=jnp.moveaxis(found.action, 0, 2))
