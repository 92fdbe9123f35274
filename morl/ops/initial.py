"""Initial arrays of learners: made by NumPy, or abstract where only their shapes are asked for.

``jax.eval_shape(learner.init, key)`` then gives the shapes of a learner of any size and allocates nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class AbstractGenerator:
    """Stand-in for a random generator while shapes are computed: all it draws are abstract zeros."""

    def standard_normal(self, shape: tuple[int, ...], dtype: Any = np.float32) -> jax.Array:
        """Return abstract zeros of a shape; always float32, as JAX has no other by default."""
        return jnp.zeros(shape, jnp.float32)


def generator(key: jax.Array) -> Any:
    """Return NumPy's generator for a key of JAX; an :class:`AbstractGenerator` for an abstract one."""
    if isinstance(key, jax.core.Tracer):
        return AbstractGenerator()
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return NumPy's zeros, or abstract ones while shapes are computed."""
    if isinstance(jnp.zeros((), jnp.float32), jax.core.Tracer):
        return jnp.zeros(shape, jax.dtypes.canonicalize_dtype(dtype))
    return np.zeros(shape, dtype)


def stacked(*arrays: Any) -> Any:
    """Stack arrays: NumPy's on the host, abstract ones by JAX."""
    return (jnp if isinstance(arrays[0], jax.Array) else np).stack(arrays)
