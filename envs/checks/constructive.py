"""Checks of constructive tasks (:mod:`morl.envs.constructive.base`) on random trajectories and their backward steps."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.checks.report import Report
from morl.envs.constructive.base import HIGHEST, scale_fault
from morl.envs.contract import missing_attributes, wrong_attributes
from morl.training.backends.devices import quick_to_compile

BATCH = 8  # objects that are built together
MOST_STEPS = 200  # largest number of steps that are checked of each


class Walks(NamedTuple):
    """Results of T random allowed steps of B objects, (T, B), and of the K backward actions after each, (T, B, K).

    Attributes:
        finished: (T, B) the object was finished before the step.
        mask_empty: (T, B) no action was allowed.
        terminated, reward: (T, B) and (T, B, R) results of the step.
        other_key: (T, B) another key gave another result.
        stays: (T, B) the step did not change the state.
        allowed: (T, B, K) the backward action is allowed.
        parent_changed: (T, B, K) the backward action led to another state.
        returns: (T, B, K) the action that it returned leads back to the state.
        legal: (T, B, K) that action is allowed in the parent.
        undoes: (T, B, K) the parent is the state before the step, and the action is that of the step.
        obs_right: (T, B, K) where it undoes the step, the parent's observation is the one seen before the step.
        repeated: (T, B, K) an earlier backward action gave the same parent and action.
    """

    finished: Any
    mask_empty: Any
    terminated: Any
    reward: Any
    other_key: Any
    stays: Any
    allowed: Any
    parent_changed: Any
    returns: Any
    legal: Any
    undoes: Any
    obs_right: Any
    repeated: Any


def check_constructive(report: Report, env: Any, seed: int) -> None:
    """Check the constructive part of a task that has passed the checks of a functional environment."""
    with report.about("constructive", "horizon, masks and backward steps"):
        _check_attributes(report, env)
    if not report.passed():
        report.skip("backward steps", "fix the above first")
        return
    with report.about("backward steps", "each leads back, and each step can be undone"):
        walks, start_mask, ends = _walk(env, seed)
        _check_masks(report, env, seed, walks, start_mask)
        _check_objects(report, walks)
        _check_backward(report, walks)
        if hasattr(env, "values"):
            _check_values(report, env, walks, ends)


def _check_attributes(report: Report, env: Any) -> None:
    if not hasattr(env, "backward_step"):
        report.fix("backward_step", "is missing; see morl.envs.constructive.base.Constructive")
    for subject, text in missing_attributes(env) or wrong_attributes(env):
        report.fix(subject, text)
    if fault := scale_fault(env):
        report.fix("reward_space", fault)
    if not isinstance(env.action_space, spaces.Discrete) or env.action_space.start != 0:
        report.fix("action_space", f"must be a gymnasium.spaces.Discrete from 0 on, not {env.action_space!r}")
    if not report.passed():
        return
    state, obs = jax.eval_shape(env.reset, jax.random.key(0), env.default_params)
    for name, argument, size in (
        ("action_mask", obs, int(env.action_space.n)),
        ("backward_mask", state, env.num_backward_actions),
    ):
        mask = jax.eval_shape(getattr(env, name), argument)
        if (mask.shape, mask.dtype) != ((size,), np.int8):
            report.fix(name, f"must be int8 of shape ({size},), not {mask.dtype} of shape {mask.shape}")


def _walk(env: Any, seed: int) -> tuple[Walks, NDArray[Any], Any]:
    """Return random walks, the backward mask of the start, and the final states."""
    params, number = env.default_params, env.num_backward_actions
    backward_actions = jnp.arange(number, dtype=jnp.int32)

    def one(carry: Any, key: jax.Array) -> Any:
        state, obs, finished = carry
        key_action, key_step, key_other = jax.random.split(key, 3)
        mask = jnp.asarray(env.action_mask(obs))
        action = jax.random.categorical(key_action, jnp.where(mask > 0, 0.0, -1e9)).astype(jnp.int32)
        after, seen, reward, terminated, _, _ = env.step(key_step, state, action, params)
        other = env.step(key_other, state, action, params)
        parents, parent_obs, actions = jax.vmap(env.backward_step, (None, 0, None))(after, backward_actions, params)
        again, *_ = jax.vmap(env.step, (None, 0, 0, None))(key_step, parents, actions, params)
        same_parent = jax.vmap(lambda p: jax.vmap(lambda q: _equal(p, q))(parents))(parents)
        earlier = backward_actions[:, None] > backward_actions[None]
        alike = same_parent & (actions[:, None] == actions[None]) & earlier
        allowed = env.backward_mask(after) > 0
        undoes = jax.vmap(lambda p: _equal(p, state))(parents) & (actions == action)
        row = Walks(
            finished=finished,
            mask_empty=~(mask > 0).any(),
            terminated=terminated,
            reward=reward,
            other_key=~(_equal(other[0], after) & (other[2] == reward).all()),
            stays=_equal(after, state),
            allowed=allowed,
            parent_changed=~jax.vmap(lambda p: _equal(p, after))(parents),
            returns=jax.vmap(lambda p: _equal(p, after))(again),
            legal=jax.vmap(lambda o, a: jnp.asarray(env.action_mask(o))[a] > 0)(parent_obs, actions),
            undoes=undoes,
            obs_right=~undoes | jax.vmap(lambda o: (o == obs).all())(parent_obs),
            repeated=(alike & allowed[:, None] & allowed[None]).any(axis=1),
        )
        return (after, seen, finished | terminated), row

    @partial(jax.jit, compiler_options=quick_to_compile())
    def run(key: jax.Array) -> Any:
        steps = min(env.horizon + 1, MOST_STEPS)
        keys = jax.random.split(key, (steps, BATCH))
        state, obs = jax.vmap(env.reset, (0, None))(keys[0], params)
        first = env.backward_mask(jax.tree.map(lambda x: x[0], state))
        carry = (state, obs, jnp.zeros(BATCH, bool))
        (ends, _, _), rows = jax.lax.scan(jax.vmap(one), carry, keys)
        return rows, first, ends

    rows, first, ends = run(jax.random.key(seed))
    return jax.tree.map(np.asarray, rows), np.asarray(first), ends


def _equal(one: Any, other: Any) -> jax.Array:
    """Return () bool, whether two states are equal."""
    leaves = [
        jnp.all((x == y) | ((x != x) & (y != y)))
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    ]
    return jnp.all(jnp.stack(leaves))


def _first(wrong: NDArray[Any]) -> str:
    """Return the first step at which ``wrong`` (T, ...) is True, as text."""
    return f"at step {np.argwhere(wrong)[0][0] + 1} of an object"


def _check_masks(report: Report, env: Any, seed: int, walks: Walks, start_mask: NDArray[Any]) -> None:
    if walks.mask_empty.any():
        report.fix("action_mask", f"allows nothing {_first(walks.mask_empty)}; it must never be empty")
    if start_mask.any():
        report.fix("backward_mask", "allows a backward action at the start, which no step leads to")
    _, obs = env.reset(jax.random.key(seed), env.default_params)
    on_host, traced = env.action_mask(np.asarray(obs)), env.action_mask(obs)
    if not np.array_equal(on_host, traced):
        report.fix("action_mask", "is another of a NumPy array than of JAX's")


def _check_objects(report: Report, walks: Walks) -> None:
    if walks.other_key.any():
        report.fix("step", f"depends on its key {_first(walks.other_key)}; steps must draw nothing")
    if len(walks.terminated) < MOST_STEPS and not walks.terminated[-2].all():
        report.fix("horizon", f"is {len(walks.terminated) - 1} steps, after which an object was not finished")
    moved = walks.finished & (~walks.stays | ~walks.terminated)
    if moved.any():
        report.fix("finished objects", f"change {_first(moved)}; step must leave them, and say terminated again")
    rewarded = (walks.reward != 0).any(axis=-1)
    if (walks.finished & rewarded).any():
        report.fix("reward", f"is given again {_first(walks.finished & rewarded)}, after the object was finished")
    unfinished = ~walks.terminated & rewarded
    if unfinished.any():
        report.fix("reward", f"is not 0 {_first(unfinished)}, before it is finished")
    outside = (walks.reward < 0) | (walks.reward > HIGHEST)
    if outside.any():
        t, b, _ = np.argwhere(outside)[0]
        report.fix("reward", f"must be objectives from 0 to about 1, not {walks.reward[t, b].tolist()}")


def _check_backward(report: Report, walks: Walks) -> None:
    moves = ~walks.finished
    ways = walks.allowed & moves[..., None]
    for wrong, text in (
        (ways & ~walks.returns, "leads to a parent from which its action does not lead back"),
        (ways & ~walks.obs_right, "gives another observation than was seen in the parent"),
        (ways & ~walks.legal, "names an action that action_mask does not allow in the parent"),
        (walks.repeated & moves[..., None], "leads to the same parent by the same action as another"),
        (walks.parent_changed & ~walks.allowed, "changes the state although backward_mask does not allow it"),
    ):
        if wrong.any():
            t, _, k = np.argwhere(wrong)[0]
            report.fix("backward_step", f"backward action {k} {text} (step {t + 1} of an object)")
    lost = moves & ~walks.stays & ~(ways & walks.undoes).any(axis=-1)
    if lost.any():
        report.fix("backward_mask", f"allows nothing that undoes the step taken {_first(lost)}")
    idle = moves & walks.stays
    if idle.any():
        report.fix("action_mask", f"allows an action that changes nothing {_first(idle)}")


def _check_values(report: Report, env: Any, walks: Walks, ends: Any) -> None:
    told = walks.reward.sum(axis=0)
    values = np.asarray(jax.jit(env.values)(ends, env.default_params))
    if values.shape != told.shape or not np.allclose(values, told, rtol=1e-4, atol=1e-5):
        report.fix("values", f"are {values[0].tolist()} of a finished object whose reward was {told[0].tolist()}")
