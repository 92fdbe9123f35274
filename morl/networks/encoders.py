"""Encoders of observations as flat float32 features, by observation space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import Space, spaces

from morl.errors import UserError
from morl.ops.spaces import check_observation_space
from morl.spaces import value_counts


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
    have no order that rewards follow. Whole numbers of more values are numbers, as float32 has them.

    Raises:
        UserError: another kind of space, or one-hot parts that count from more than 32 bits hold.
    """
    check_observation_space(space)
    shape: tuple[int, ...] = space.shape or ()
    flat = _flat(shape)
    if isinstance(space, spaces.MultiBinary):
        return Encoder(lambda obs: flat(obs).astype(jnp.float32), math.prod(shape), True)
    if (found := value_counts(space)) is not None:
        sizes, starts = found
        if not -(2**31) <= min(starts) <= max(starts) < 2**31:
            raise UserError(f"{space} counts from {max(starts, key=abs)}, which 32 bits do not hold; count from 0")
        parts = _one_hot(sizes, starts)
        return parts._replace(encode=lambda obs: parts.encode(flat(obs)))
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete):
        return Encoder(lambda obs: flat(obs).astype(jnp.float32), math.prod(shape), False)
    raise UserError(f"observations of a {type(space).__name__} must be flattened first, into one array")


def _flat(shape: tuple[int, ...]) -> Callable[[jax.Array], jax.Array]:
    """Return a function that flattens arrays (..., *shape) to (..., n)."""
    return lambda x: x.reshape(*x.shape[: x.ndim - len(shape)], math.prod(shape))


def _one_hot(sizes: Sequence[int], starts: Sequence[int]) -> Encoder:
    """Return an encoder of vectors of integers, with one feature for each value of each part.

    Args:
        sizes: number of values of each part.
        starts: least value of each part.
    """

    def encode(obs: jax.Array) -> jax.Array:
        parts = [
            jax.nn.one_hot(obs[..., i] - start, size, dtype=jnp.float32)
            for i, (size, start) in enumerate(zip(sizes, starts, strict=True))
        ]
        return jnp.concatenate(parts, axis=-1)

    return Encoder(encode, sum(sizes), True)
