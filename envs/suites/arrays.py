"""Observations of suites as one array, and their bounded actions as a space."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces


def observation_space(obs: Any) -> Space[Any]:
    """Return the space of an observation, given by shapes and types.

    A picture (H, W, C) of uint8 stays one, and a single array keeps its shape, in float32. The arrays of any other
    observation are joined into one vector of float32, in the order of ``jax.tree.leaves``. Bounds are left out: those
    that suites declare do not always hold.
    """
    leaves = jax.tree.leaves(obs)
    shape = leaves[0].shape if len(leaves) == 1 else (sum(math.prod(leaf.shape) for leaf in leaves),)
    if len(leaves) == 1 and leaves[0].dtype == np.uint8 and len(shape) == 3:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape or (1,), np.float32)


def observed(obs: Any, space: Space[Any]) -> jax.Array:
    """Return an observation as an array of its :func:`observation_space`, or as a number of ``Discrete``."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(obs)]
    if isinstance(space, spaces.Discrete):
        return leaves[0].astype(jnp.int32)
    dtype: Any = space.dtype
    return jnp.concatenate([leaf.ravel().astype(dtype) for leaf in leaves]).reshape(space.shape or ())


def bounded(low: Any, high: Any, shape: tuple[int, ...]) -> spaces.Box:
    """Return the ``Box`` of float32 actions of that shape; bounds are numbers or arrays."""
    lows, highs = (np.broadcast_to(np.asarray(bound, np.float32), shape) for bound in (low, high))
    return spaces.Box(lows, highs, dtype=np.float32)
