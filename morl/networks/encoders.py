"""Observations as flat float32 features, by observation space."""

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

MOST_CELLS = 512  # values in all up to which a vector of integers is one-hot


class Encoder(NamedTuple):
    """How a space's observations become features.

    Attributes:
        encode: maps a batch of observations (..., *space.shape) to features (..., size).
        size: number of features.
        one_hot: the features are 0 or 1. Dividing a rare one by its deviation would make it huge, so they are not to be
            normalised.
    """

    encode: Callable[[jax.Array], jax.Array]
    size: int
    one_hot: bool


def encoder(space: Space[Any]) -> Encoder:
    """The encoder of a space.

    A ``Box`` is flattened. The parts of ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` are one-hot, and so are
    those of an integer ``Box`` of one axis (the cells of a grid: no order of rewards is to be read into their numbers),
    up to ``MOST_CELLS`` values in all.

    Raises:
        UserError: another kind of space.
    """
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
        return Encoder(lambda obs: jax.nn.one_hot(obs - space.start, int(space.n)), int(space.n), True)
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return Encoder(lambda obs: obs.astype(jnp.float32), space.shape[0], True)
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        return _one_hot(np.asarray(space.nvec), np.asarray(space.start))
    raise UserError(
        f"observation space {space} is not supported; allowed: Box, Discrete, MultiDiscrete and MultiBinary of one axis"
        " (flatten others with gymnasium.wrappers.FlattenObservation)"
    )


def _one_hot(sizes: NDArray[np.int64], starts: NDArray[np.int64]) -> Encoder:
    """Each part of a vector of integers in as many features as it has values."""

    def encode(obs: jax.Array) -> jax.Array:
        parts = [
            jax.nn.one_hot(obs[..., i] - start, int(size))
            for i, (size, start) in enumerate(zip(sizes, starts, strict=True))
        ]
        return jnp.concatenate(parts, axis=-1)

    return Encoder(encode, int(sizes.sum()), True)
