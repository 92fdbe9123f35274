"""A ring of past transitions in device memory, under ``jit`` and ``vmap``."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.types import PyTree


class Replay(NamedTuple):
    """Capacity C.

    Attributes:
        rows: pytree with leading axis C.
        added: () int32, rows ever added modulo C, that is where the next ones go.
        filled: () int32, rows there are.
    """

    rows: PyTree
    added: jax.Array
    filled: jax.Array


def empty(capacity: int, row: PyTree) -> Replay:
    """Nothing there yet; ``row`` is one of arrays or ``jax.ShapeDtypeStruct``, for its shapes."""
    rows = jax.tree.map(lambda x: np.zeros((capacity, *x.shape), x.dtype), row)
    return Replay(rows, jnp.int32(0), jnp.int32(0))


def size_in_bytes(capacity: int, row: PyTree) -> int:
    """Of a full ring."""
    each: int = sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(row))
    return capacity * each


def add(replay: Replay, rows: PyTree) -> Replay:
    """With N rows more, over the oldest ones. N has to divide the capacity, so that none are split over its end."""
    number = jax.tree.leaves(rows)[0].shape[0]
    capacity = jax.tree.leaves(replay.rows)[0].shape[0]
    if capacity % number:
        raise ValueError(f"{number} rows do not divide a capacity of {capacity}")

    def write(old: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), replay.added, axis=0)

    return Replay(
        jax.tree.map(write, replay.rows, rows),
        (replay.added + number) % capacity,
        jnp.minimum(replay.filled + number, capacity),
    )


def sample(replay: Replay, key: jax.Array, number: int) -> PyTree:
    """``number`` rows, uniformly and with replacement."""
    index = jax.random.randint(key, (number,), 0, jnp.maximum(replay.filled, 1))
    return jax.tree.map(lambda x: x.at[index].get(mode="promise_in_bounds"), replay.rows)
