"""Encoders of observations as flat float32 features, by observation space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.errors import UserError
from morl.ops.spaces import check_observation_space

MOST_CELLS = 512  # largest number of values in all for which a vector of integers is one-hot


class Encoder(NamedTuple):
    """Map from a space's observations to features.

    Attributes:
        encode: maps a batch of observations (..., *space.shape) to features (..., size).
        size: number of features.
        one_hot: whether the features are 0 or 1. Such features must not be normalised: dividing a rare one by its
            standard deviation would make it huge.
    """

    encode: Callable[[jax.Array], jax.Array]
    size: int
    one_hot: bool


def encoder(space: Space[Any]) -> Encoder:
    """Return the encoder of an observation space.

    A ``Box`` is flattened. The parts of ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` become one-hot. So do those
    of an integer ``Box`` of one axis with at most ``MOST_CELLS`` values in all: they are cells of a grid, whose numbers
    have no order that rewards follow.

    Raises:
        UserError: another kind of space.
    """
    check_observation_space(space)
    if isinstance(space, spaces.Box):
        if np.issubdtype(space.dtype, np.integer) and len(space.shape) == 1:
            low = space.low.astype(np.int64)
            sizes = space.high.astype(np.int64) - low + 1
            if sizes.sum() <= MOST_CELLS:
                return _one_hot(sizes, low)
        shape, size = space.shape, math.prod(space.shape)
        return Encoder(
            lambda obs: obs.reshape(*obs.shape[: obs.ndim - len(shape)], size).astype(jnp.float32), size, False
        )
    if isinstance(space, spaces.Discrete):
        return Encoder(
            lambda obs: jax.nn.one_hot(obs - int(space.start), int(space.n), dtype=jnp.float32), int(space.n), True
        )
    if isinstance(space, spaces.MultiBinary):
        flat = _flat(space.shape)
        return Encoder(lambda obs: flat(obs).astype(jnp.float32), math.prod(space.shape), True)
    if isinstance(space, spaces.MultiDiscrete):
        flat, parts = _flat(space.shape), _one_hot(np.ravel(space.nvec), np.ravel(space.start))
        return parts._replace(encode=lambda obs: parts.encode(flat(obs)))
    raise UserError(f"observations of a {type(space).__name__} must be flattened first, into one array")


def _flat(shape: tuple[int, ...]) -> Callable[[jax.Array], jax.Array]:
    """Return a function that flattens arrays (..., *shape) to (..., n)."""
    return lambda x: x.reshape(*x.shape[: x.ndim - len(shape)], math.prod(shape))


def _one_hot(sizes: NDArray[np.int64], starts: NDArray[np.int64]) -> Encoder:
    """Return an encoder of vectors of integers, with one feature for each value of each part."""

    def encode(obs: jax.Array) -> jax.Array:
        parts = [
            jax.nn.one_hot(obs[..., i] - int(start), int(size), dtype=jnp.float32)
            for i, (size, start) in enumerate(zip(sizes, starts, strict=True))
        ]
        return jnp.concatenate(parts, axis=-1)

    return Encoder(encode, int(sizes.sum()), True)
