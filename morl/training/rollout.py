"""Environments in JAX: time limit and auto-reset as layers over the functional contract, and rollouts of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.base import Environment
from morl.ops.batching import batched_with
from morl.types import Learner, PyTree, Transition

AnyEnv = Environment[Any, Any]


class Lane(NamedTuple):
    """One running environment.

    Attributes:
        env_state: the environment's own state.
        obs: what to act on next.
        steps: () int32, steps taken in this episode.
    """

    env_state: PyTree
    obs: jax.Array
    steps: jax.Array


def start(env: AnyEnv, params: PyTree, key: jax.Array) -> Lane:
    """A lane at the start of an episode."""
    env_state, obs = env.reset(key, params)
    return Lane(env_state, obs, jnp.int32(0))


def start_batch(env: AnyEnv, params: PyTree, key: jax.Array, num_envs: int) -> Lane:
    """``num_envs`` lanes, stacked."""
    return jax.vmap(partial(start, env, params))(jax.random.split(key, num_envs))


class Outcome(NamedTuple):
    """What one step of a lane gave; ``next_obs`` is the true successor, before any reset."""

    next_obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


def step(env: AnyEnv, params: PyTree, key: jax.Array, lane: Lane, action: jax.Array) -> tuple[Lane, Outcome]:
    """One step of a lane, cut off at the time limit and reset when the episode ends."""
    key_step = jax.random.split(key)[0]
    env_state, obs, reward, terminated, truncated, _ = env.step(key_step, lane.env_state, action, params)
    steps = lane.steps + 1
    if env.max_episode_steps is not None:
        truncated = truncated | (steps >= env.max_episode_steps)
    truncated = truncated & ~terminated
    done = terminated | truncated
    following = _restarted(env)(params, done, key, Lane(env_state, obs, steps))
    return following, Outcome(obs, reward, terminated, truncated)


def _restarted(env: AnyEnv) -> Callable[..., Lane]:
    """``(params, done, key, lane)``: the lane, at the start of an episode where it is done; free where none is."""

    def restart(params: PyTree, axis: int | None, done: jax.Array, keys: jax.Array, lanes: Lane) -> Lane:
        def fresh(carry: tuple[jax.Array, Lane]) -> tuple[jax.Array, Lane]:
            key_reset = jax.vmap(jax.random.split)(keys)[:, 1]
            starts = jax.vmap(partial(start, env), (axis, 0))(params, key_reset)
            chosen: Lane = jax.tree.map(
                lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old), starts, carry[1]
            )
            return jnp.bool_(False), chosen

        # a loop of one or no turn: a branch would copy the lanes where there is nothing to do
        restarted: Lane = jax.lax.while_loop(lambda carry: carry[0], fresh, (jnp.any(done), lanes))[1]
        return restarted

    return batched_with(restart)


def rollout(
    env: AnyEnv,
    params: PyTree,
    learner: Learner,
    policy: PyTree,
    preference: jax.Array,
    lanes: Lane,
    key: jax.Array,
    steps: int,
) -> tuple[Lane, Transition]:
    """``steps`` sampled steps of each lane (B): the lanes to go on from, and the transitions (T, B)."""
    num_envs = lanes.steps.shape[0]
    # all keys at once: drawn at each step, they take longer than the steps of most environments
    key_act, key_env = jnp.moveaxis(jax.vmap(jax.random.split)(jax.random.split(key, steps)), 1, 0)
    keys_env = jax.vmap(partial(jax.random.split, num=num_envs))(key_env)

    def one(lanes: Lane, keys: tuple[jax.Array, jax.Array]) -> tuple[Lane, Transition]:
        action = learner.act(policy, lanes.obs, preference, keys[0], greedy=False)
        following, out = jax.vmap(partial(step, env, params))(keys[1], lanes, learner.to_env(action))
        valid = jnp.ones_like(out.terminated)
        return following, Transition(lanes.obs, action, out.reward, out.next_obs, out.terminated, out.truncated, valid)

    return jax.lax.scan(one, lanes, (key_act, keys_env))
