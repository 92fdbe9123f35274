"""Environments in JAX: time limit and auto-reset as layers over the functional contract, and rollouts of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.envs import widths
from morl.envs.base import Environment
from morl.envs.overflow import overflow_of
from morl.ops.batching import batched_with
from morl.types import Learner, PyTree, Transition

AnyEnv = Environment[Any, Any]
DrawPreference = Callable[[jax.Array], jax.Array]


class EnvRunnerState(NamedTuple):
    """State of one running environment.

    Attributes:
        env_state: the environment's own state.
        obs: observation to act on next.
        steps: () int32, steps taken in this episode.
        overflow: () int32, most objects that any episode so far had no room for; None where the environment has room
            for all (:mod:`morl.envs.overflow`).
    """

    env_state: PyTree
    obs: jax.Array
    steps: jax.Array
    overflow: jax.Array | None = None


class TimeStep(NamedTuple):
    """Result of one step of an environment; ``next_obs`` is the true successor, before any reset."""

    next_obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array


def start(env: AnyEnv, params: PyTree, key: jax.Array) -> EnvRunnerState:
    """Return an environment at the start of an episode."""
    env_state, obs = widths.reset(env, key, params)
    return EnvRunnerState(env_state, obs, jnp.int32(0), overflow_of(env, env_state))


def start_batch(env: AnyEnv, params: PyTree, key: jax.Array, num_envs: int) -> EnvRunnerState:
    """Return ``num_envs`` environments at the start of an episode, stacked."""
    return jax.vmap(partial(start, env, params))(jax.random.split(key, num_envs))


def step(
    env: AnyEnv, params: PyTree, key: jax.Array, runner: EnvRunnerState, action: jax.Array
) -> tuple[EnvRunnerState, TimeStep]:
    """Step an environment, cut it off at the time limit and reset it when the episode ends."""
    key_step = jax.random.split(key)[0]
    env_state, obs, reward, terminated, truncated, _ = widths.step(env, key_step, runner.env_state, action, params)
    steps = runner.steps + 1
    if env.max_episode_steps is not None:
        truncated = truncated | (steps >= env.max_episode_steps)
    truncated = truncated & ~terminated
    done = terminated | truncated
    overflow = overflow_of(env, env_state)
    following = _auto_reset(env)(params, done, key, EnvRunnerState(env_state, obs, steps, overflow))
    if overflow is not None and runner.overflow is not None:
        following = following._replace(overflow=jnp.maximum(runner.overflow, overflow))
    return following, TimeStep(obs, reward, terminated, truncated)


def _auto_reset(env: AnyEnv) -> Callable[..., EnvRunnerState]:
    """Return a function ``(params, done, key, runner)`` that resets environments that are done; free where none is."""

    def reset(
        params: PyTree, axis: int | None, done: jax.Array, keys: jax.Array, runners: EnvRunnerState
    ) -> EnvRunnerState:
        def fresh(carry: tuple[jax.Array, EnvRunnerState]) -> tuple[jax.Array, EnvRunnerState]:
            key_reset = jax.vmap(jax.random.split)(keys)[:, 1]
            starts = jax.vmap(partial(start, env), (axis, 0))(params, key_reset)
            chosen: EnvRunnerState = jax.tree.map(
                lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old), starts, carry[1]
            )
            return jnp.bool_(False), chosen

        # a loop of one or no turn: a branch would copy the environments where there is nothing to do
        after: EnvRunnerState = jax.lax.while_loop(lambda carry: carry[0], fresh, (jnp.any(done), runners))[1]
        return after

    return batched_with(reset)


def rollout(
    env: AnyEnv,
    params: PyTree,
    learner: Learner,
    policy: PyTree,
    preference: jax.Array,
    runners: EnvRunnerState,
    key: jax.Array,
    steps: int,
    draw_preference: DrawPreference | None = None,
) -> tuple[EnvRunnerState, jax.Array, Transition]:
    """Run ``steps`` sampled steps of each environment (B).

    Args:
        env, params: the environment.
        learner, policy: act.
        preference: (R,), or (B, R) one for each environment; (B, R) with ``draw_preference``.
        runners: (B,) environments.
        key: of everything random.
        steps: T.
        draw_preference: draws the preference (R,) of a new episode from a key; without it preferences stay.

    Returns:
        the environments and the preference to go on with, and the transitions (T, B).
    """
    num_envs = runners.steps.shape[0]
    # all keys at once: drawn at each step, they take longer than the steps of most environments
    key_act, key_env = jnp.moveaxis(jax.vmap(jax.random.split)(jax.random.split(key, steps)), 1, 0)
    keys_env = jax.vmap(partial(jax.random.split, num=num_envs))(key_env)

    def one(
        carry: tuple[EnvRunnerState, jax.Array], keys: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[EnvRunnerState, jax.Array], Transition]:
        runners, preference = carry
        action = learner.act(policy, runners.obs, preference, keys[0], greedy=False)
        following, out = jax.vmap(partial(step, env, params))(keys[1], runners, learner.to_env(action))
        acted_for, preference = preference, _redrawn(draw_preference, preference, out, keys[1])
        return (following, preference), Transition(
            obs=runners.obs,
            action=action,
            reward=out.reward,
            next_obs=out.next_obs,
            terminated=out.terminated,
            truncated=out.truncated,
            valid=jnp.ones_like(out.terminated),
            preference=acted_for,
        )

    (runners, preference), batch = jax.lax.scan(one, (runners, preference), (key_act, keys_env))
    if preference.ndim == 1:
        batch = batch._replace(preference=jnp.broadcast_to(batch.preference[:, None], batch.reward.shape))
    return runners, preference, batch


def _redrawn(
    draw_preference: DrawPreference | None, preference: jax.Array, out: TimeStep, keys: jax.Array
) -> jax.Array:
    """Return the preferences (B, R) with new ones where an episode has ended."""
    if draw_preference is None:
        return preference
    drawn = jax.vmap(draw_preference)(jax.vmap(jax.random.fold_in, (0, None))(keys, 2))
    return jnp.where((out.terminated | out.truncated)[:, None], drawn, preference)
