"""Contract of what a functional environment's ``reset`` and ``step`` return, checked by tracing: nothing is compiled.

``morl check-env`` and a training that cannot be traced say the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs import widths
from morl.errors import UserError, blame
from morl.ops.spaces import narrow, to_jax

HINTS = {
    "TracerBoolConversionError": "use jnp.where or jax.lax.cond in place of a Python condition",
    "TracerArrayConversionError": "use jax.numpy in place of NumPy",
    "TracerIntegerConversionError": "use jnp.take or x[i] of a JAX array in place of a Python index",
    "ConcretizationTypeError": "shapes and Python numbers cannot depend on the state or the action",
}

Violation = tuple[str, str]  # the name of what is wrong, and how


def violations(env: Any) -> list[Violation]:
    """Return how the results of ``reset`` and ``step`` differ from the contract (:mod:`morl.envs.base`), in order.

    They are looked at after the conversions of :mod:`morl.envs.widths`, by which everything runs environments.

    Raises:
        UserError: the environment raised it.
    """
    key, params = jax.random.key(0), env.default_params
    before = dict(getattr(env, "__dict__", {}))
    name = "reset"
    try:
        first = jax.eval_shape(env.reset, key, params)
        if not isinstance(first, tuple) or len(first) != 2:
            return [(name, "must return (state, observation)")]
        first = jax.eval_shape(partial(widths.reset, env), key, params)
        if found := _of_observation(env, "observation of reset", first[1]):
            return found
        name = "step"
        sample = np.asarray(env.action_space.sample())
        action = jnp.asarray(to_jax(env.action_space, sample, narrow(sample.dtype)))
        following = jax.eval_shape(env.step, key, first[0], action, params)
        if not isinstance(following, tuple) or len(following) != 6:
            return [(name, "must return (state, observation, reward, terminated, truncated, info)")]
        if changed := changed_attribute(env, before):
            return [("jit", changed)]
        following = jax.eval_shape(partial(widths.step, env), key, first[0], action, params)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # any exception: it is the environment's
        hint = HINTS.get(type(error).__name__)
        return [("jit", f"{name} cannot be compiled: {blame(error)}{f'; {hint}' if hint else ''}")]
    return [*_of_results(env, following[1:]), *_of_states(first[0], following[0])]


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
