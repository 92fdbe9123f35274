"""Numbers of 32 bits at the border of functional environments, in every dtype mode of JAX.

With ``jax_enable_x64`` an environment of a user computes in float64 unless it states another type. Agents and archives
have float32, and loops carry a state of unchanged types, so :func:`reset` and :func:`step` convert.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

KINDS = (jnp.floating, jnp.signedinteger, jnp.unsignedinteger)


def reset(env: Any, key: jax.Array, params: Any) -> tuple[Any, Any]:
    """Call an environment's ``reset``; return the state, and the observation with float32 for float64."""
    state, obs = env.reset(key, params)
    return state, _float32(obs)


def step(env: Any, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple[Any, ...]:
    """Call an environment's ``step``; return its results with float32 for float64, and a state of unchanged widths."""
    following, *out = env.step(key, state, action, params)
    return _as_before(following, state), *_float32(out)


def _float32(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.astype(jnp.float32) if _dtype(x) == jnp.float64 else x, tree)


def _as_before(after: Any, before: Any) -> Any:
    """Return a pytree with each number as wide as before; another kind of number is left, as it might change."""

    def convert(new: Any, old: Any) -> Any:
        given, wanted = _dtype(new), _dtype(old)
        if given is None or wanted is None or given == wanted:
            return new
        same = any(jnp.issubdtype(given, kind) and jnp.issubdtype(wanted, kind) for kind in KINDS)
        return new.astype(wanted) if same else new

    if jax.tree.structure(after) != jax.tree.structure(before):
        return after  # JAX says what differs
    return jax.tree.map(convert, after, before)


def _dtype(x: Any) -> Any:
    return getattr(x, "dtype", None)
