"""Checks of the functional contract of a JAX-native environment (:mod:`morl.envs.base`)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.envs.base import Objective
from morl.envs.checking import UNBOUNDED, Report
from morl.pareto import non_dominated

LANES, STEPS = 8, 20
ATTRIBUTES = (
    "id",
    "observation_space",
    "action_space",
    "reward_space",
    "objectives",
    "max_episode_steps",
    "reference_point",
    "default_params",
    "reset",
    "step",
)


def check_functional(report: Report, env: Any, seed: int = 0) -> None:
    """Checks of a functional environment.

    Args:
        report: where findings go.
        env: the environment.
        seed: of keys and actions.
    """
    with report.about("attributes", "spaces, objectives, reference point, parameters"):
        _check_attributes(report, env)
    if not report.passed():
        return
    with report.about("step returns what the contract says"):
        _check_types(report, env, seed)
    if not report.passed():
        return
    with report.about("jit, vmap and scan agree", f"{LANES} lanes of {STEPS} steps"):
        _check_transformations(report, env, seed)
    for name in ("true_front", "true_coverage_set"):
        if hasattr(env, name):
            with report.about(f"{name}(gamma)"):
                _check_front(report, getattr(env, name)(0.99), name, len(env.objectives))


def _check_attributes(report: Report, env: Any) -> None:
    for name in ATTRIBUTES:
        if not hasattr(env, name):
            report.fix(name, "is missing; see morl.envs.base.Environment")
    if not report.passed():
        return
    size = env.reward_space.shape[0] if isinstance(env.reward_space, spaces.Box) and env.reward_space.shape else 0
    if size < 2:
        report.fix("reward_space", f"must be a gymnasium.spaces.Box of shape (R,), R >= 2, not {env.reward_space!r}")
    names = [objective.name if isinstance(objective, Objective) else None for objective in env.objectives]
    if len(names) != size or None in names or len(set(names)) != len(names):
        report.fix("objectives", f"must be {size} morl.envs.base.Objective of different names, not {env.objectives!r}")
    if np.shape(env.reference_point) != (size,):
        report.fix("reference_point", f"must have shape ({size},), not {np.shape(env.reference_point)}")
    limit = env.max_episode_steps
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        report.fix("max_episode_steps", f"must be None or at least 1, not {limit!r}")
    try:
        hash(env)
    except TypeError:
        report.fix("hash", "it must be hashable, to be compiled once: make it a dataclass(frozen=True) of plain fields")
    for leaf in jax.tree.leaves(env.default_params):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
            report.fix("default_params", f"must be a pytree of arrays; it holds a {type(leaf).__name__}")


def random_actions(space: Space[Any], key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random members of an action space, (*shape, ...).

    Raises:
        ValueError: neither ``Discrete`` nor ``Box``.
    """
    if isinstance(space, spaces.Discrete):
        return jax.random.randint(key, shape, int(space.start), int(space.start + space.n))
    if isinstance(space, spaces.Box):
        low, high = np.maximum(space.low, -UNBOUNDED), np.minimum(space.high, UNBOUNDED)
        return jax.random.uniform(key, (*shape, *space.shape), minval=low, maxval=high)
    raise ValueError(f"action_space must be Discrete or Box, not {space}")


def _check_types(report: Report, env: Any, seed: int) -> None:
    key, params = jax.random.key(seed), env.default_params
    state, obs = env.reset(key, params)
    action = random_actions(env.action_space, key, ())
    result = env.step(key, state, action, params)
    if not isinstance(result, tuple) or len(result) != 6:
        report.fix("step", "must return (state, observation, reward, terminated, truncated, info)")
        return
    following, next_obs, reward, terminated, truncated, info = result
    expected = jax.dtypes.canonicalize_dtype(env.observation_space.dtype)
    for where, value in (("reset", obs), ("step", next_obs)):
        if np.shape(value) != env.observation_space.shape or jnp.asarray(value).dtype != expected:
            report.fix(
                "observation",
                f"of {where} must be {expected} of shape {env.observation_space.shape} as observation_space says,"
                f" not {jnp.asarray(value).dtype} of shape {np.shape(value)}",
            )
    if np.shape(reward) != env.reward_space.shape or jnp.asarray(reward).dtype != jnp.float32:
        report.fix(
            "reward",
            f"must be float32 of shape {env.reward_space.shape}, not {jnp.asarray(reward).dtype} of {np.shape(reward)}",
        )
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if np.shape(flag) != () or jnp.asarray(flag).dtype != jnp.bool_:
            report.fix(name, f"must be one bool array, such as jnp.bool_(False), not {flag!r}")
    if not isinstance(info, dict):
        report.fix("info", f"must be a dictionary, not a {type(info).__name__}")
    structures: list[Any] = [jax.tree.structure(state), jax.tree.structure(following)]
    if structures[0] != structures[1]:
        report.fix("state", "step must return a state of the structure that reset returns")
        return
    for (path, before), after in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(following), strict=True):
        kinds = [f"{jnp.asarray(leaf).dtype} of shape {np.shape(leaf)}" for leaf in (before, after)]
        if kinds[0] != kinds[1]:
            where = jax.tree_util.keystr(path)
            report.fix("state", f"{where} is {kinds[0]} after reset but {kinds[1]} after step: cast it in one of them")


def _check_transformations(report: Report, env: Any, seed: int) -> None:
    """The same actions and keys compiled and batched in a scan, and one by one."""
    params = env.default_params
    keys = jax.random.split(jax.random.key(seed), (STEPS, LANES))
    actions = random_actions(env.action_space, jax.random.key(seed + 1), (STEPS, LANES))
    start = jax.jit(jax.vmap(env.reset, (0, None)))(keys[0], params)

    def advance(state: Any, now: Any) -> Any:
        key, action = now
        state, *rest = jax.vmap(env.step, (0, 0, 0, None))(key, state, action, params)
        return state, rest

    _, batched = jax.jit(lambda state: jax.lax.scan(advance, state, (keys, actions)))(start[0])
    step = jax.jit(env.step)
    for lane in range(2):
        state, obs = env.reset(keys[0, lane], params)
        if not _close(obs, start[1][lane]):
            report.fix("reset", "gives something else compiled and batched than by itself: it must be a pure function")
        for t in range(STEPS):
            compiled = step(keys[t, lane], state, actions[t, lane], params)
            # Python's own branches and side effects show where nothing is traced; a few such steps are enough.
            plain = env.step(keys[t, lane], state, actions[t, lane], params) if t < 3 else compiled
            now = jax.tree.map(lambda x, t=t, lane=lane: x[t, lane], batched)
            if not _close(plain[1:], compiled[1:]) or not _close(list(compiled[1:]), now):
                report.fix(
                    "jit, vmap and scan agree",
                    f"step {t + 1} gives something else compiled or batched than by itself: it must be a pure function"
                    " of its arguments, without state of its own",
                )
                return
            state = compiled[0]


def _close(one: Any, two: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in pairs)


def _check_front(report: Report, front: Any, name: str, size: int) -> None:
    points = np.asarray(front)
    if points.ndim != 2 or points.shape[1] != size or len(points) == 0 or not np.isfinite(points).all():
        report.fix(f"{name}(gamma)", f"must return finite returns of shape (n, {size}), not of {points.shape}")
    elif not non_dominated(points).all():
        report.fix(f"{name}(gamma)", f"{(~non_dominated(points)).sum()} of its points are dominated by others")
