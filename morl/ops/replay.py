"""Replay ring of past rows (transitions, finished objects) in device memory, under ``jit`` and ``vmap``."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.initial import zeros
from morl.types import PyTree


class Replay(NamedTuple):
    """Ring of capacity C.

    Attributes:
        rows: pytree of arrays with leading axis C.
        added: () int32, number of rows ever added modulo C: the place of the next one.
        filled: () int32, number of rows there are, at most C.
    """

    rows: PyTree
    added: jax.Array
    filled: jax.Array


def empty(capacity: int, row: PyTree) -> Replay:
    """Return a ring without rows.

    Args:
        capacity: C, the number of rows that it holds.
        row: one row, of arrays or ``jax.ShapeDtypeStruct``; only shapes and dtypes are looked at.
    """
    rows = jax.tree.map(lambda x: zeros((capacity, *x.shape), x.dtype), row)
    return Replay(rows, jnp.int32(0), jnp.int32(0))


def size_in_bytes(capacity: int, row: PyTree) -> int:
    """Return the bytes that the rows of a ring take, arguments as for :func:`empty`."""
    each: int = sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(row))
    return capacity * each


def add(replay: Replay, rows: PyTree) -> Replay:
    """Return the ring with N more rows in place of its oldest ones.

    Where N divides the capacity C the rows are written in one piece, which is much faster than the scatter of any other
    N. A ring that is written in one piece takes batches of one size only: after others they would not be aligned.

    Args:
        replay: the ring.
        rows: pytree of arrays with leading axis N, in the structure of the ring's rows.

    Raises:
        ValueError: N above C.
    """
    number = jax.tree.leaves(rows)[0].shape[0]
    capacity = jax.tree.leaves(replay.rows)[0].shape[0]
    if number > capacity:
        raise ValueError(f"{number} rows are more than the capacity of {capacity}")

    def write(old: jax.Array, new: jax.Array) -> jax.Array:
        new = new.astype(old.dtype)
        if capacity % number == 0:
            return jax.lax.dynamic_update_slice_in_dim(old, new, replay.added, axis=0)
        return jnp.asarray(old).at[(replay.added + jnp.arange(number, dtype=jnp.int32)) % capacity].set(new)

    return Replay(
        jax.tree.map(write, replay.rows, rows),
        (replay.added + number) % capacity,
        jnp.minimum(replay.filled + number, capacity),
    )


def sample(replay: Replay, key: jax.Array, number: int) -> PyTree:
    """Return ``number`` rows, uniformly and with replacement; of a ring without rows, rows of zeros."""
    index = jax.random.randint(key, (number,), 0, jnp.maximum(replay.filled, 1), dtype=jnp.int32)
    return jax.tree.map(lambda x: jnp.asarray(x).at[index].get(mode="promise_in_bounds"), replay.rows)
