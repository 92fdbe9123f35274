"""Contract of a functional environment: its attributes, and what ``reset`` and ``step`` return, found by tracing.

Nothing is compiled. ``morl check-env`` and a training say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.envs import widths
from morl.envs.base import Objective
from morl.errors import UserError, blame
from morl.ops.spaces import narrow, to_jax

NEEDED = (
    *("id", "observation_space", "action_space", "reward_space", "objectives", "max_episode_steps"),
    *("reference_point", "default_params", "reset", "step"),
)
CONSTRUCTIVE = ("horizon", "num_backward_actions", "observation_key", "action_mask", "backward_mask", "backward_step")
HINTS = {
    "TracerBoolConversionError": "use jnp.where or jax.lax.cond in place of a Python condition",
    "TracerArrayConversionError": "use jax.numpy in place of NumPy",
    "TracerIntegerConversionError": "use jnp.take or x[i] of a JAX array in place of a Python index",
    "ConcretizationTypeError": "shapes and Python numbers cannot depend on the state or the action",
}

Violation = tuple[str, str]  # the name of what is wrong, and how


def missing_attributes(env: Any) -> list[Violation]:
    """Return what a functional environment lacks, in order: what all need, what masks need, and backward steps."""
    needed = dict.fromkeys(NEEDED, "morl.envs.base.Environment")
    if hasattr(env, "action_mask"):
        needed["observation_key"] = "morl.envs.base.Environment"
    if hasattr(env, "overflow"):
        needed["overflow_message"] = "morl.envs.base.Environment"
    if hasattr(env, "backward_step"):
        needed.update(dict.fromkeys(CONSTRUCTIVE, "morl.envs.constructive.base.Constructive"))
    return [(name, f"is missing; see {where}") for name, where in needed.items() if not hasattr(env, name)]


def wrong_attributes(env: Any) -> list[Violation]:
    """Return which attributes of a functional environment, none of which is missing, break the contract, in order."""
    found = []
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        if not isinstance(space, Space) or space.shape is None or space.dtype is None:
            found.append((name, f"must be a gymnasium.Space of one array, not {space!r}"))
    space = env.reward_space
    size = space.shape[0] if isinstance(space, spaces.Box) and len(space.shape) == 1 else 0
    if size < 2 or not np.issubdtype(space.dtype, np.floating):
        text = f"must be a gymnasium.spaces.Box of shape (R,), R >= 2, of floats, not {space!r}"
        found.append(("reward_space", text))
    objectives = env.objectives if isinstance(env.objectives, Iterable) else ()
    names = [objective.name if isinstance(objective, Objective) else None for objective in objectives]
    if len(names) != size or None in names or len(set(names)) != len(names):
        text = f"must be {size} morl.envs.base.Objective of different names, not {env.objectives!r}"
        found.append(("objectives", text))
    if env.reference_point is not None and not _are_finite(env.reference_point, size):
        found.append(("reference_point", f"must be {size} finite numbers or None, not {env.reference_point!r}"))
    if env.max_episode_steps is not None and not _is_count(env.max_episode_steps):
        text = f"must be None or an integer of at least 1, not {env.max_episode_steps!r}"
        found.append(("max_episode_steps", text))
    if hasattr(env, "action_mask") and not isinstance(env.action_space, spaces.Discrete):
        text = f"is for a Discrete action space, not for {type(env.action_space).__name__}"
        found.append(("action_mask", text))
    if hasattr(env, "backward_step"):
        found += _wrong_of_constructive(env)
    try:
        hash(env)
    except TypeError:
        text = "it must be hashable, to be compiled once: make it a dataclass(frozen=True) of plain fields"
        found.append(("hash", text))
    for leaf in jax.tree.leaves(env.default_params):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int):
            found.append(("default_params", f"must be a pytree of arrays; it holds a {type(leaf).__name__}"))
    return found


def _wrong_of_constructive(env: Any) -> list[Violation]:
    """Return which attributes of a constructive task (:mod:`morl.envs.constructive.base`) break its contract."""
    counts = {name: getattr(env, name) for name in ("horizon", "num_backward_actions")}
    found = [
        (name, f"must be an integer of at least 1, not {value!r}")
        for name, value in counts.items()
        if not _is_count(value)
    ]
    if env.max_episode_steps is not None:
        text = f"must be None, not {env.max_episode_steps}: an object is finished by itself"
        found.append(("max_episode_steps", text))
    return found


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _are_finite(numbers: Any, size: int) -> bool:
    """Return whether an attribute is so many finite numbers."""
    try:
        return np.shape(numbers) == (size,) and bool(np.isfinite(numbers).all())
    except (TypeError, ValueError):  # not numbers, or ragged
        return False


def front_violation(front: Any, size: int) -> str:
    """Return how what ``true_front`` gives breaks the contract, or an empty text.

    Args:
        front: finite returns (n, R).
        size: R.
    """
    try:
        points = np.asarray(front, np.float64)
    except (TypeError, ValueError):  # not numbers, or ragged
        return f"must return finite returns of shape (n, {size}), not a {type(front).__name__}"
    if points.ndim != 2 or points.shape[1] != size or len(points) == 0 or not np.isfinite(points).all():
        return f"must return finite returns of shape (n, {size}), not of {points.shape}"
    return ""


def check_attributes(env: Any, name: str) -> None:
    """Check the attributes of a functional environment before a training.

    Args:
        env: the environment.
        name: its id, for the error.

    Raises:
        UserError: one is missing or wrong; the first one, as ``morl check-env`` tells it.
    """
    if found := missing_attributes(env) or wrong_attributes(env):
        raise broken_contract(name, found[0])


def broken_contract(name: str, violation: Violation) -> UserError:
    """Return the one line of a training on an environment that breaks its contract."""
    text = " ".join(": ".join(violation).split())
    return UserError(f"{name}: {text}; morl check-env {name} tells what to fix")


class _Returned(Exception):
    """Return value of ``reset`` or ``step`` that is no tuple of so many."""


def violations(env: Any) -> list[Violation]:
    """Return how the results of ``reset`` and ``step`` differ from the contract (:mod:`morl.envs.base`), in order.

    They are looked at after the conversions of :mod:`morl.envs.widths`, by which everything runs environments.

    Raises:
        UserError: the environment raised it.
    """
    key, params = jax.random.key(0), env.default_params
    before = dict(getattr(env, "__dict__", {}))
    name = "reset"

    def start(key: jax.Array, params: Any) -> Any:
        returned = env.reset(key, params)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise _Returned("must return (state, observation)")
        return widths.converted_start(env, returned)

    def advance(key: jax.Array, state: Any, action: jax.Array, params: Any) -> Any:
        returned = env.step(key, state, action, params)
        if not isinstance(returned, tuple) or len(returned) != 6:
            raise _Returned("must return (state, observation, reward, terminated, truncated, info)")
        return widths.converted_step(env, state, returned)

    try:
        state, obs = jax.eval_shape(start, key, params)
        if found := _of_observation(env, "observation of reset", obs):
            return found
        name = "step"
        sample = np.asarray(env.action_space.sample())
        action = jnp.asarray(to_jax(env.action_space, sample, narrow(sample.dtype)))
        following, *results = jax.eval_shape(advance, key, state, action, params)
        if changed := changed_attribute(env, before):
            return [("jit", changed)]
    except UserError:
        raise
    except _Returned as fault:
        return [(name, str(fault))]
    except (Exception, SystemExit) as error:  # any exception: it is the environment's
        hint = HINTS.get(type(error).__name__)
        return [("jit", f"{name} cannot be compiled: {blame(error)}{f'; {hint}' if hint else ''}")]
    return [*_of_results(env, results), *_of_states(state, following), *_of_overflow(env, state)]


def changed_attribute(env: Any, before: dict[str, Any]) -> str:
    """Return a fault if an attribute was set since ``before``, or an empty text; cached properties may appear."""
    for name, value in getattr(env, "__dict__", {}).items():
        if (name in before and before[name] is not value) or isinstance(value, jax.core.Tracer):
            return f"reset or step sets self.{name}: keep it in the state, which they return"
    return ""


def _of_observation(env: Any, name: str, obs: Any) -> list[Violation]:
    dtype = narrow(env.observation_space.dtype)
    kinds = (dtype, jax.dtypes.canonicalize_dtype(env.observation_space.dtype))
    return _of_array(name, obs, env.observation_space.shape, kinds)


def _of_results(env: Any, results: Any) -> list[Violation]:
    obs, reward, terminated, truncated, info = results
    found = _of_observation(env, "observation of step", obs)
    found += _of_array("reward", reward, (len(env.objectives),), (np.dtype(np.float32),))
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        found += _of_array(name, flag, (), (np.dtype(bool),))
    if not isinstance(info, dict):
        found.append(("info", f"must be a dictionary, not a {type(info).__name__}"))
    return found


def _of_array(name: str, value: Any, shape: tuple[int, ...], kinds: tuple[Any, ...]) -> list[Violation]:
    if hasattr(value, "dtype") and value.shape == shape and value.dtype in kinds:
        return []
    told = _type(value) if hasattr(value, "dtype") else f"a {type(value).__name__}"
    return [(name, f"must be a JAX array of {kinds[0]} and shape {shape}, not {told}")]


def _of_overflow(env: Any, state: Any) -> list[Violation]:
    if not hasattr(env, "overflow"):
        return []
    try:
        return _of_array("overflow", jax.eval_shape(env.overflow, state), (), (np.dtype(np.int32),))
    except (Exception, SystemExit) as error:  # any exception: it is the environment's
        return [("jit", f"overflow cannot be compiled: {blame(error)}")]


def _of_states(state: Any, following: Any) -> list[Violation]:
    one: Any = jax.tree.structure(state)
    two: Any = jax.tree.structure(following)
    if one != two:
        return [("state", f"has another structure after reset ({one}) than after step ({two})")]
    pairs = zip(jax.tree.leaves_with_path(state), jax.tree.leaves(following), strict=True)
    return [
        (
            "state",
            f"{jax.tree_util.keystr(path) or 'it'} is {_type(before)} after reset but {_type(after)} after step, so"
            " that it compiles twice, or in a scan not at all: make both the same array, such as jnp.float32(0)",
        )
        for (path, before), after in pairs
        if _type(before) != _type(after)
    ]


def _type(leaf: Any) -> str:
    weak = " (a Python number's weak type)" if leaf.weak_type else ""
    return f"{leaf.dtype} of shape {leaf.shape}{weak}"
