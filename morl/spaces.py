"""Observations as flat float32 features, by observation space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.errors import UserError

Encoder = Callable[[jax.Array], jax.Array]


def encoder(space: Space[Any]) -> tuple[Encoder, int]:
    """``(encode, size)``: ``encode`` maps a batch of observations (..., *space.shape) to features (..., size).

    A ``Box`` is flattened, the parts of ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` are one-hot.

    Raises:
        UserError: another kind of space.
    """
    if isinstance(space, spaces.Box):
        shape, size = space.shape, math.prod(space.shape)
        return lambda obs: obs.reshape(*obs.shape[: obs.ndim - len(shape)], size).astype(jnp.float32), size
    if isinstance(space, spaces.Discrete):
        return lambda obs: jax.nn.one_hot(obs - space.start, int(space.n)), int(space.n)
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return lambda obs: obs.astype(jnp.float32), space.shape[0]
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        sizes = np.asarray(space.nvec).tolist()
        starts = np.asarray(space.start)

        def encode(obs: jax.Array) -> jax.Array:
            parts = [jax.nn.one_hot(obs[..., i] - starts[i], n) for i, n in enumerate(sizes)]
            return jnp.concatenate(parts, axis=-1)

        return encode, sum(sizes)
    raise UserError(
        f"observation space {space} is not supported; allowed: Box, Discrete, MultiDiscrete and MultiBinary of one axis"
        " (flatten others with gymnasium.wrappers.FlattenObservation)"
    )
