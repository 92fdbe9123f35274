"""Helpers of the parity tests: a trace of random steps of a reference, and its replay in ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import mo_gymnasium
import numpy as np
from numpy.typing import NDArray

STEPS = 10_000
Policy = Callable[[NDArray[Any]], Any]


def mo_make(id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered")
        return mo_gymnasium.make(id, **kwargs)


class Trace(NamedTuple):
    """Trace of T steps: observation before (of a reset where ``start``), action and results."""

    start: NDArray[np.bool_]
    obs: NDArray[Any]
    action: NDArray[Any]
    next_obs: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]


def record(env: gymnasium.Env[Any, Any], new_policy: Callable[[], Policy], max_episode_steps: int | None) -> Trace:
    """Record STEPS steps of the reference, whose time limit must be ours unless that is ``None``."""
    rows = []
    start, length = True, 0
    for _ in range(STEPS):
        if start:
            obs, _ = env.reset()
            policy, length = new_policy(), 0
        action = policy(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        length += 1
        if max_episode_steps is not None:
            assert truncated == (length == max_episode_steps)
        rows.append((start, obs, action, next_obs, reward, terminated))
        start, obs = terminated or truncated, next_obs
    return Trace(*(np.array(column) for column in zip(*rows, strict=True)))


def replay(env: Any, start: NDArray[np.bool_], actions: NDArray[Any], keys: jax.Array) -> tuple[Any, ...]:
    """Replay the actions in ours, from a reset where ``start``; return observations, rewards and flags."""
    params = env.default_params

    def one(carry: Any, xs: Any) -> Any:
        begin, action, key = xs
        state, obs = jax.tree.map(lambda new, old: jnp.where(begin, new, old), env.reset(key, params), carry)
        state, next_obs, reward, terminated, truncated, _ = env.step(key, state, action, params)
        return (state, next_obs), (obs, next_obs, reward, terminated, truncated)

    scan = jax.jit(lambda xs: jax.lax.scan(one, env.reset(keys[0], params), xs)[1])
    actions = actions if actions.dtype == np.float32 else actions.astype(np.int32)
    return tuple(np.asarray(x) for x in scan((start, actions, keys)))


def check(trace: Trace, outcome: tuple[Any, ...], where: NDArray[np.bool_] | slice, tolerance: float) -> None:
    """Compare the result of ``replay`` with the trace: dtypes, flags and, to an absolute tolerance, numbers."""
    *numbers, terminated, truncated = outcome
    np.testing.assert_array_equal(terminated[where], trace.terminated[where])
    assert not truncated.any()  # the core adds the time limit
    for ours, theirs in zip(numbers, (trace.obs, trace.next_obs, trace.reward), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours[where], theirs[where], rtol=0, atol=tolerance)
