"""Checks of the functional contract (:mod:`morl.envs.base`). Called by :func:`morl.envs.checks.check.check_env`."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.envs import widths
from morl.envs.checks.constructive import check_constructive
from morl.envs.checks.generators import drawn_from, global_state, seed_global_generators
from morl.envs.checks.report import (
    ENDLESS,
    Fault,
    Report,
    check_reference_point,
    check_terminations_at_limit,
    note_lost,
    outside,
)
from morl.envs.contract import (
    changed_attribute,
    front_violation,
    missing_attributes,
    violations,
    wrong_attributes,
)
from morl.errors import UserError
from morl.ops.pareto import non_dominated
from morl.ops.spaces import narrow, to_jax
from morl.registry import EnvSpec
from morl.training.backends.devices import quick_to_compile

BATCH, STEPS = 8, 200  # environments, and random steps of each without a time limit; else a step beyond the limit
MAX_STEPS, BYTES = 1001, 2**27  # bounds on the steps and on the memory of their observations
EAGER = 3  # steps taken one by one, outside of jit


class Steps(NamedTuple):
    """Results of T steps of B environments before any reset, (T, B, ...), and the first observations ``start``."""

    start: Any
    obs: Any
    reward: Any
    terminated: Any
    truncated: Any
    count: Any


def check_functional(
    report: Report, env: Any, seed: int, registered: EnvSpec | None = None, *, changed: bool = False
) -> None:
    """Check a functional environment, and its registration if it has one.

    Args:
        report: to add to.
        env: the environment.
        seed: of keys and actions.
        registered: its registration.
        changed: it was made with other keywords, of which the registration says nothing.
    """
    with report.about("attributes", "spaces, objectives, reference point, parameters"):
        _check_attributes(report, env)
    if registered is not None and not changed and report.passed():
        with report.about("registration"):
            _check_registration(report, env, registered)
    if report.passed():
        with report.about("jit", "reset and step compile"):
            for subject, text in violations(env):
                report.fix(subject, text)
    if not report.passed():
        report.skip("steps", "fix the above first")
        return
    with report.about("pure functions", "the same by themselves, compiled and batched"):
        _check_pure(report, env, seed)
    if report.passed():
        with report.about("steps", "random ones, in a scan"):
            _check_steps(report, env, seed, registered.gamma if registered else 0.99)
    if hasattr(env, "backward_step") or (registered is not None and registered.constructive):
        if report.passed():
            check_constructive(report, env, seed)
        else:
            report.skip("constructive", "fix the above first")
    name = next((name for name in ("true_front", "true_coverage_set") if hasattr(env, name)), None)
    if name is not None:
        with report.about(name):
            _check_front(report, env, name, registered.gamma if registered else 0.99)


def _check_attributes(report: Report, env: Any) -> None:
    for subject, text in missing_attributes(env) or wrong_attributes(env):
        report.fix(subject, text)


def _check_registration(report: Report, env: Any, registered: EnvSpec) -> None:
    for name, own, told in (
        ("id", env.id, registered.id),
        ("objectives", tuple(objective.name for objective in env.objectives), registered.objective_names),
        ("reference_point", _numbers(env.reference_point), _numbers(registered.reference_point)),
        ("max_episode_steps", env.max_episode_steps, registered.max_episode_steps),
    ):
        if own != told:
            report.fix("registration", f"{name} is {own!r} in the environment but {told!r} in its EnvSpec")


def _numbers(point: Any) -> tuple[float, ...] | None:
    return None if point is None else tuple(map(float, point))


def _sample(space: Space[Any], seed: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Sample an action space, (*shape, ...), in JAX's types."""
    space.seed(seed)
    flat = np.stack([np.asarray(space.sample()) for _ in range(int(np.prod(shape, dtype=int)))])
    return to_jax(space, flat, narrow(flat.dtype)).reshape((*shape, *flat.shape[1:]))


def _check_pure(report: Report, env: Any, seed: int) -> None:
    """Compare the first steps, repeated, with the same steps compiled, and compiled and batched."""
    params = env.default_params
    key_reset, key_step = jax.random.split(jax.random.key(seed))
    reset_keys, keys = jax.random.split(key_reset, 2), jax.random.split(key_step, (EAGER, 2))
    actions = _sample(env.action_space, seed, (EAGER, 2))
    compiled = partial(jax.jit, compiler_options=quick_to_compile())
    plain_reset, plain_step = partial(widths.reset, env), partial(widths.step, env)
    reset, step = compiled(plain_reset), compiled(plain_step)
    reset_all, step_all = compiled(jax.vmap(plain_reset, (0, None))), compiled(jax.vmap(plain_step, (0, 0, 0, None)))
    states, batch_obs = reset_all(reset_keys, params)
    before = dict(getattr(env, "__dict__", {}))
    seed_global_generators(0)
    generators = global_state()
    state, obs = plain_reset(reset_keys[0], params)
    plain_step(keys[0, 0], state, actions[0, 0], params)
    if moved := drawn_from(generators):
        raise Fault(f"{moved} was drawn from, which is frozen under jit: use jax.random with the key")
    _compare(report, "reset", plain_reset(reset_keys[0], params), (state, obs), "called again", exact=True)
    _compare(report, "reset", reset(reset_keys[0], params), (state, obs), "compiled")
    _compare(report, "reset", jax.tree.map(lambda x: x[0], (states, batch_obs)), (state, obs), "batched")
    for t in range(EAGER):
        arguments = (keys[t, 0], state, actions[t, 0], params)
        plain = plain_step(*arguments)
        _compare(report, "step", plain_step(*arguments), plain, "called again", exact=True)
        _compare(report, "step", step(*arguments), plain, "compiled")
        batched = step_all(keys[t], states, actions[t], params)
        _compare(report, "step", jax.tree.map(lambda x: x[0], batched), plain, "batched")
        state, states = plain[0], batched[0]
    if changed := changed_attribute(env, before):
        raise Fault(changed)


def _compare(report: Report, name: str, got: Any, plain: Any, how: str, exact: bool = False) -> None:
    rtol, atol = (0.0, 0.0) if exact else (1e-4, 1e-5)
    for (path, one), two in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(plain), strict=True):
        if jnp.issubdtype(jnp.asarray(one).dtype, jax.dtypes.prng_key):
            one, two = jax.random.key_data(one), jax.random.key_data(two)
        if not np.allclose(one, two, rtol=rtol, atol=atol, equal_nan=True):
            part = ("state", "observation", "reward", "terminated", "truncated", "info")[path[0].idx]
            report.fix(
                "pure functions",
                f"{name} gives another {part} {how} than by itself: it must depend on nothing but its arguments",
            )


def _check_steps(report: Report, env: Any, seed: int, gamma: float) -> None:
    limit = env.max_episode_steps
    size = BATCH * max(1, int(np.prod(env.observation_space.shape))) * 4
    steps = min(limit + 1 if limit else STEPS, MAX_STEPS, max(20, BYTES // size))
    actions = _sample(env.action_space, seed, (steps, BATCH))
    params = env.default_params

    @partial(jax.jit, compiler_options=quick_to_compile())
    def run(key_reset: jax.Array, key_step: jax.Array) -> Steps:
        """Step environments that restart at their end; ``reset`` draws from one key and ``step`` from the other."""

        def starts(key: jax.Array) -> Any:
            return jax.vmap(partial(widths.reset, env), (0, None))(jax.random.split(key, BATCH), params)

        def advance(carry: Any, now: Any) -> Any:
            state, count = carry
            t, action = now
            keys = jax.random.split(jax.random.fold_in(key_step, t), BATCH)
            state, obs, reward, terminated, truncated, _ = jax.vmap(partial(widths.step, env), (0, 0, 0, None))(
                keys, state, action, params
            )
            count = count + 1
            done = terminated | truncated | (count >= (limit or steps + 1))
            fresh, _ = starts(jax.random.fold_in(key_reset, t))
            state = jax.tree.map(
                lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, state
            )
            return (state, jnp.where(done, 0, count)), (obs, reward, terminated, truncated, count)

        state, start = starts(jax.random.fold_in(key_reset, steps))
        carry = (state, jnp.zeros(BATCH, jnp.int32))
        _, rows = jax.lax.scan(advance, carry, (jnp.arange(steps, dtype=jnp.int32), actions))
        return Steps(start, *rows)

    keys = jax.random.split(jax.random.key(seed), 4)
    first, other_steps, other_start = (
        jax.tree.map(np.asarray, run(keys[i], keys[j])) for i, j in ((0, 1), (0, 2), (3, 1))
    )
    _check_spaces(report, env, first)
    both = first.terminated & first.truncated
    if both.any():
        t, b = np.argwhere(both)[0]
        report.fix(
            "terminated and truncated",
            f"are both set at step {first.count[t, b]} of an episode; what is cut off is not over",
        )
    ends = first.terminated | first.truncated
    if limit:
        lengths = zip(first.count[ends], (first.terminated & ~first.truncated)[ends], strict=True)
        check_terminations_at_limit(report, [(int(n), bool(over)) for n, over in lengths], limit)
    elif not ends.any():
        report.note("time limit", f"{ENDLESS.format(f'{steps} x {BATCH}')}; give it max_episode_steps")
    start = "random" if not np.array_equal(first.start, other_start.start) else "fixed"
    same = all(np.array_equal(a, b) for a, b in zip(first[1:], other_steps[1:], strict=True))
    report.note("randomness", f"the start is {start}, the steps are {'not random' if same else 'random'}")
    done = ends | (first.count == limit if limit else False)
    alive = np.cumsum(done, axis=0) - done == 0  # first episode of each environment
    weights = np.where(alive, gamma ** (first.count - 1.0), 0.0)[..., None]
    names = [objective.name for objective in env.objectives]
    check_reference_point(report, env.reference_point, names, (weights * first.reward).sum(axis=0))


def _check_spaces(report: Report, env: Any, rows: Steps) -> None:
    space = env.observation_space
    for values, when in ((rows.start[None], "a reset"), (rows.obs, "a step")):
        flat = values.reshape(-1, *space.shape).astype(space.dtype)
        if isinstance(space, spaces.Box):
            inside = ((flat >= space.low) & (flat <= space.high)).reshape(len(flat), -1).all(axis=1)
        else:
            inside = np.array([space.contains(obs[()]) for obs in flat])
        if not inside.all():
            report.fix("observations", f"{flat[~inside][0].tolist()} after {when} is not in {space}")
    bounds, reward = env.reward_space, rows.reward
    wrong = ~np.isfinite(reward) | outside(reward, bounds)
    if wrong.any():
        t, b = np.argwhere(wrong.any(axis=-1))[0]
        where = f"step {rows.count[t, b]} of an episode"
        report.fix("reward", f"{reward[t, b].tolist()} at {where} is not in reward_space {bounds}")
        return
    advice = "subtract a constant from it in the environment"
    note_lost(report, "reward", reward.reshape(-1, reward.shape[-1]), advice)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        note_lost(report, "observations", rows.obs.reshape(-1, *space.shape), advice)


def _check_front(report: Report, env: Any, name: str, gamma: float) -> None:
    try:
        points = getattr(env, name)(gamma)
    except UserError as error:
        report.note(name, f"not known: {error}")
        return
    if wrong := front_violation(points, len(env.objectives)):
        report.fix(name, wrong)
    elif dominated := (~non_dominated(np.asarray(points))).sum():
        report.fix(name, f"{dominated} of its {len(points)} points are dominated by others")
