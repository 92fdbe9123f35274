"""Types at the border of functional environments, in every dtype mode of JAX.

With ``jax_enable_x64`` an environment of a user computes in float64 unless it states another type. Agents and archives
have float32, and loops carry a state of unchanged types, so :func:`reset` and :func:`step` convert. They also take
flags that are Python's or numbers, and lists and Python's numbers in place of arrays. :mod:`morl.envs.contract` refuses
the rest.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.spaces import narrow

KINDS = (jnp.floating, jnp.signedinteger, jnp.unsignedinteger)


def reset(env: Any, key: jax.Array, params: Any) -> tuple[Any, Any]:
    """Call an environment's ``reset``; return the state, and the observation with float32 for float64."""
    return converted_start(env, env.reset(key, params))


def step(env: Any, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
    """Call an environment's ``step``; return its results, the reward as float32, flags as bool, and the state's types.

    Observations have float32 for float64.
    """
    return converted_step(env, state, env.step(key, state, action, params))


def converted_start(env: Any, start: tuple[Any, Any]) -> tuple[Any, Any]:
    """Convert what ``reset`` has returned, as :func:`reset` does."""
    state, obs = start
    return jax.tree.map(_strong, state), _float32(_array(obs, narrow(env.observation_space.dtype)))


def converted_step(env: Any, state: Any, results: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert what ``step`` has returned for a state, as :func:`step` does."""
    following, obs, reward, terminated, truncated, info = results
    observed = _float32(_array(obs, narrow(env.observation_space.dtype)))
    flags = (_as_type(_array(flag, bool), bool) for flag in (terminated, truncated))
    rewarded = _as_type(_array(reward, jnp.float32), jnp.float32)
    return _as_before(following, state), observed, rewarded, *flags, _float32(info)


def _array(x: Any, dtype: Any) -> Any:
    """Return a Python number, or a list or tuple of numbers, as an array; anything else as it is."""
    if not isinstance(x, bool | int | float | list | tuple | np.ndarray | np.generic):
        return x
    try:
        return jnp.asarray(x, dtype)
    except (TypeError, ValueError):  # not numbers, or ragged
        return x


def _as_type(x: Any, dtype: Any) -> Any:
    """Return an array of numbers or flags in another type; anything else as it is."""
    given = _dtype(x)
    known = given is not None and (given == jnp.bool_ or jnp.issubdtype(given, jnp.number))
    return x.astype(dtype) if known and given != dtype else x


def _strong(x: Any) -> Any:
    """Return a Python number, or an array that one has made, as an array of its type that meets others on a par."""
    if isinstance(x, bool | int | float) or getattr(x, "weak_type", False):
        x = jnp.asarray(x)
        return jax.lax.convert_element_type(x, narrow(x.dtype))
    return x


def _float32(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.astype(jnp.float32) if _dtype(x) == jnp.float64 else x, tree)


def _as_before(after: Any, before: Any) -> Any:
    """Return a pytree with each number as wide as before; another kind of number is left, as it might change."""

    def convert(new: Any, old: Any) -> Any:
        new = _strong(new)
        given, wanted = _dtype(new), _dtype(old)
        if given is None or wanted is None or given == wanted:
            return new
        same = any(jnp.issubdtype(given, kind) and jnp.issubdtype(wanted, kind) for kind in KINDS)
        return new.astype(wanted) if same else new

    one: Any = jax.tree.structure(after)
    if one != jax.tree.structure(before):
        return after  # JAX says what differs
    return jax.tree.map(convert, after, before)


def _dtype(x: Any) -> Any:
    return getattr(x, "dtype", None)
