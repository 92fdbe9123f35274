"""Compiled steps and resets of JAX-native environments, single and batched, for the Gymnasium adapters.

Functions are compiled once for equal environments, which are static arguments.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from morl.envs import widths
from morl.envs.base import Environment
from morl.envs.overflow import overflow_of

AnyEnv = Environment[Any, Any]


class BatchState(NamedTuple):
    """State of B environments between two steps.

    Attributes:
        key: (B,) random keys.
        state: (B, ...) environment states.
        steps: (B,) int32, steps taken in this episode.
        ended: (B,) bool, True where the last step ended the episode and no reset has followed.
    """

    key: jax.Array
    state: Any
    steps: jax.Array
    ended: jax.Array


class BatchStep(NamedTuple):
    """Results of a batched step.

    Attributes:
        obs: (B, ...) observation to act on next, after any reset.
        final_obs: (B, ...) true successor, before any reset.
        reward: (B, R) float32.
        terminated, truncated: (B,) bool.
        info: batched info of the step.
        overflow: (B,) int32 of :mod:`morl.envs.overflow`, or None.
    """

    obs: jax.Array
    final_obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    info: dict[str, Any]
    overflow: jax.Array | None


@partial(jax.jit, static_argnums=0)
def reset_one(env: AnyEnv, key: jax.Array, params: Any) -> tuple[jax.Array, Any, jax.Array, dict[str, Any]]:
    """Start an episode; return the next key, the state, the observation and the info."""
    key, key_reset = jax.random.split(key)
    state, obs = widths.reset(env, key_reset, params)
    return key, state, obs, _info(env, state, params)


def _info(env: AnyEnv, state: Any, params: Any) -> dict[str, Any]:
    """Return the info after a reset, empty if the environment has none."""
    info: dict[str, Any] = env.info(state, params) if hasattr(env, "info") else {}
    return info


@partial(jax.jit, static_argnums=0)
def step_one(env: AnyEnv, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
    """Advance one step; return the next key, the results of ``env.step``, and the overflow."""
    key, key_step = jax.random.split(key)
    state, *rest = widths.step(env, key_step, state, action, params)
    return key, state, *rest, overflow_of(env, state)


@jax.jit
def keys_of(seeds: NDArray[Any]) -> jax.Array:
    """Return the keys (B,) of seeds (B,)."""
    return jax.vmap(jax.random.key)(seeds)


def _split(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Split keys (B,) into keys (B,) to keep and keys (B,) to use."""
    pairs = jax.vmap(jax.random.split)(keys)
    return pairs[:, 0], pairs[:, 1]


@partial(jax.jit, static_argnums=0)
def reset_all(env: AnyEnv, keys: jax.Array, params: Any) -> tuple[BatchState, jax.Array, dict[str, Any]]:
    """Start an episode in each environment, with keys (B,)."""
    keys, keys_reset = _split(keys)
    state, obs = jax.vmap(partial(widths.reset, env), (0, None))(keys_reset, params)
    info = jax.vmap(partial(_info, env), (0, None))(state, params)
    return BatchState(keys, state, jnp.zeros(len(keys), jnp.int32), jnp.zeros(len(keys), bool)), obs, info


@partial(jax.jit, static_argnums=0)
def reset_some(
    env: AnyEnv, rows: jax.Array, keys: jax.Array, batch: BatchState, obs: jax.Array, params: Any
) -> tuple[BatchState, jax.Array, dict[str, Any]]:
    """Start an episode in the environments of ``rows`` (B,), with keys (B,); the others stay as they are."""
    fresh, first_obs, info = reset_all(env, keys, params)

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    chosen: BatchState = jax.tree.map(choose, fresh, batch)
    return chosen, choose(first_obs, obs), info


@partial(jax.jit, static_argnums=(0, 1, 2))
def step_all(
    env: AnyEnv, mode: AutoresetMode, limit: int | None, batch: BatchState, actions: jax.Array, params: Any
) -> tuple[BatchState, BatchStep]:
    """Advance all environments by one step, with time limit and auto-reset."""
    keys, keys_use = _split(batch.key)
    state, obs, reward, terminated, truncated, info = jax.vmap(partial(widths.step, env), (0, 0, 0, None))(
        keys_use, batch.state, actions, params
    )
    overflow = jax.vmap(partial(overflow_of, env))(state)
    steps = batch.steps + 1
    if limit is not None:
        truncated = truncated | (steps >= limit)

    if mode is AutoresetMode.NEXT_STEP:
        again = batch.ended  # rows that took no step, so that their key is unused
        state, obs, steps = _reset_where(env, again, keys_use, params, (state, obs, steps))
        reward = jnp.where(again[:, None], 0.0, reward)
        terminated, truncated = terminated & ~again, truncated & ~again
        overflow = None if overflow is None else jnp.where(again, 0, overflow)
        out = BatchStep(obs, obs, reward, terminated, truncated, info, overflow)
        return BatchState(keys, state, steps, terminated | truncated), out

    again = terminated | truncated
    if mode is AutoresetMode.DISABLED:
        out = BatchStep(obs, obs, reward, terminated, truncated, info, overflow)
        return BatchState(keys, state, steps, again), out

    kept, keys_reset = _split(keys)
    keys = jnp.where(again, kept, keys)
    state, next_obs, steps = _reset_where(env, again, keys_reset, params, (state, obs, steps))
    out = BatchStep(next_obs, obs, reward, terminated, truncated, info, overflow)
    return BatchState(keys, state, steps, batch.ended), out


def _reset_where(env: AnyEnv, again: jax.Array, keys: jax.Array, params: Any, running: Any) -> Any:
    """Return ``(state, obs, steps)`` with the rows of ``again`` at the start of an episode.

    Resets are computed only if there is such a row.
    """

    def fresh() -> Any:
        state, obs = jax.vmap(partial(widths.reset, env), (0, None))(keys, params)
        started = (state, obs, jnp.zeros_like(running[2]))

        def choose(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(again.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return jax.tree.map(choose, started, running)

    return jax.lax.cond(jnp.any(again), fresh, lambda: running)
