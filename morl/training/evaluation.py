"""Evaluation: seeded, greedy, batched over policies and episodes, the same for every agent and apart from logging."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.training.rollout import AnyEnv, EnvRunnerState, TimeStep, start_batch, step
from morl.types import Evaluation, Learner, PyTree

MAX_STEPS = 10_000  # for an environment without a time limit


def evaluate(
    env: AnyEnv,
    params: PyTree,
    learner: Learner,
    policies: PyTree,
    preferences: jax.Array,
    keys: jax.Array,
    *,
    episodes: int,
    gamma: float,
    conditional: bool = False,
) -> Evaluation:
    """Run greedy episodes of N stacked policies under their preferences (N, R). To be jitted by the caller.

    ``conditional`` policies are evaluated under M preferences each, (N, M, R), all on the same episodes. Policies of
    the same key (N keys) meet the same episodes too (common random numbers), so that their differences are their own.
    An episode ends by itself or at the environment's time limit; what comes after is not counted.
    """
    shape = (*preferences.shape[:-1], episodes)  # (N, E) or (N, M, E)
    act = partial(learner.act, greedy=True)
    if conditional:
        act = jax.vmap(act, in_axes=(None, 0, 0, None))

    def flat(x: jax.Array) -> jax.Array:
        """Flatten policies and episodes to one axis, as nested ones take longer to trace and compile."""
        if conditional:
            x = jnp.broadcast_to(x[:, None], (*shape, *x.shape[2:]))
        return x.reshape(math.prod(shape), *x.shape[len(shape) :])  # an array of a state may be empty

    key_start, key_steps = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    runners = jax.tree.map(flat, jax.vmap(partial(start_batch, env, params, num_envs=episodes))(key_start))
    count = math.prod(shape)
    zeros = jnp.zeros((count, preferences.shape[-1]), jnp.float32)
    most = env.max_episode_steps or MAX_STEPS

    def running(carry: tuple[jax.Array, EnvRunnerState, jax.Array, Evaluation]) -> jax.Array:
        t, _, alive, _ = carry
        return jnp.any(alive) & (t < most)

    def advance(
        carry: tuple[jax.Array, EnvRunnerState, jax.Array, Evaluation],
    ) -> tuple[jax.Array, EnvRunnerState, jax.Array, Evaluation]:
        t, runners, alive, sums = carry
        key_act, key_env = jnp.moveaxis(
            jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, t)))(key_steps), 1, 0
        )
        obs = runners.obs.reshape(*shape, *runners.obs.shape[1:])
        action = jax.vmap(act)(policies, obs, preferences, key_act)
        action = learner.to_env(action.reshape(-1, *action.shape[len(shape) :]))
        key_env = flat(jax.vmap(partial(jax.random.split, num=episodes))(key_env))
        out: TimeStep
        runners, out = jax.vmap(partial(step, env, params))(key_env, runners, action)
        before, overflow = sums.overflow, runners.overflow
        reward = jnp.where(alive[:, None], out.reward, 0.0)
        terminated: Any = sums.terminated
        discount = jnp.float32(gamma) ** t.astype(jnp.float32)
        sums = Evaluation(
            sums.discounted + discount * reward,
            sums.undiscounted + reward,
            sums.length + alive.astype(jnp.int32),
            terminated=terminated | (alive & out.terminated),
            overflow=None if overflow is None or before is None else jnp.where(alive, overflow, before),
        )
        return t + 1, runners, alive & ~(out.terminated | out.truncated), sums

    nothing = Evaluation(
        zeros, zeros, jnp.zeros(count, jnp.int32), terminated=jnp.zeros(count, bool), overflow=runners.overflow
    )
    carry = (jnp.int32(0), runners, jnp.ones(count, bool), nothing)
    sums = jax.lax.while_loop(running, advance, carry)[3]
    evaluation: Evaluation = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), sums)
    return evaluation


def in_blocks(
    run: Callable[[PyTree, np.ndarray[Any, Any], jax.Array], Evaluation],
    policies: PyTree,
    preferences: np.ndarray[Any, Any],
    keys: jax.Array,
    *,
    block: int,
    episodes: int,
    each: int,
) -> Evaluation:
    """Evaluate N stacked policies by calls of ``run`` that all have the one shape that is compiled.

    Args:
        run: evaluates ``block`` policies under as many preferences and keys for ``each`` episodes.
        policies, preferences, keys: of N policies; the last block is filled up by repeating the last policy.
        block: policies a call.
        episodes: E, reached by as many calls on fresh episodes as it takes; what is too much is cut.
        each: episodes of one call.

    Returns:
        NumPy arrays (N, E, ...); where preferences are (N, M, R), as policies that take any have them, (N, M, E, ...).
    """
    axis = preferences.ndim - 1  # of the episodes

    def gathered(*parts: Any) -> Any:
        return np.concatenate(parts, axis=axis).take(np.arange(episodes), axis=axis)

    rows = []
    for begin in range(0, len(preferences), block):
        index = np.minimum(np.arange(begin, begin + block), len(preferences) - 1)
        chosen = jax.tree.map(lambda x, i=index: np.asarray(x)[i], policies)
        weights = preferences[index].astype(np.float32)
        runs = [run(chosen, weights, _fold(keys[index], i)) for i in range(-(-episodes // each))]
        rows.append(jax.tree.map(gathered, *runs))
    result: Evaluation = jax.tree.map(lambda *x: np.concatenate(x)[: len(preferences)], *rows)
    return result


def in_widths(
    run: Callable[[PyTree, np.ndarray[Any, Any], jax.Array], Evaluation], width: int
) -> Callable[[PyTree, np.ndarray[Any, Any], jax.Array], Evaluation]:
    """Extend ``run``, which takes (P, width, R) preferences, to any number of them, (P, M, R)."""

    def wide(policies: PyTree, preferences: np.ndarray[Any, Any], keys: jax.Array) -> Evaluation:
        number = preferences.shape[1]
        parts = [
            run(policies, preferences[:, np.minimum(np.arange(begin, begin + width), number - 1)], keys)
            for begin in range(0, number, width)
        ]
        joined: Evaluation = jax.tree.map(lambda *x: np.concatenate(x, axis=1)[:, :number], *parts)
        return joined

    return wide


_fold = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(0, None)))
