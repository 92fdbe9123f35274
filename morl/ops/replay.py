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
        priorities: (L,) float32 of the rows, 0 for rows that are not there; None where all are drawn alike. L is the
            first cube from C on, so that a draw looks at parts of parts.
    """

    rows: PyTree
    added: jax.Array
    filled: jax.Array
    priorities: jax.Array | None = None


def empty(capacity: int, row: PyTree, *, prioritised: bool = False) -> Replay:
    """Return a ring without rows.

    Args:
        capacity: C, the number of rows that it holds.
        row: one row, of arrays or ``jax.ShapeDtypeStruct``; only shapes and dtypes are looked at.
        prioritised: rows have priorities.
    """
    rows = jax.tree.map(lambda x: zeros((capacity, *x.shape), x.dtype), row)
    priorities = zeros((_cube(capacity),), np.float32) if prioritised else None
    return Replay(rows, jnp.int32(0), jnp.int32(0), priorities)


def _cube(capacity: int) -> int:
    """Return the first cube from a capacity on."""
    width: int = math.ceil(capacity ** (1 / 3) - 1e-9)
    return width * width * width


def size_in_bytes(capacity: int, row: PyTree, *, prioritised: bool = False) -> int:
    """Return the bytes that the rows of a ring take, arguments as for :func:`empty`."""
    each: int = sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(row))
    return capacity * each + (4 * _cube(capacity) if prioritised else 0)


def add(replay: Replay, rows: PyTree, weight: jax.Array | None = None) -> Replay:
    """Return the ring with N more rows in place of its oldest ones.

    Where N divides the capacity C the rows are written in one piece, which is much faster than the scatter of any other
    N. A ring that is written in one piece takes batches of one size only: after others they would not be aligned.

    Args:
        replay: the ring.
        rows: pytree of arrays with leading axis N, in the structure of the ring's rows.
        weight: (N,) 0 for rows that a ring with priorities never draws, 1 for others, which get the largest priority
            there is, or 1 in a ring without any; by default 1 for all.

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

    priorities = replay.priorities
    if priorities is not None:
        largest = jnp.max(priorities)
        new = jnp.broadcast_to(jnp.where(largest > 0, largest, 1.0), (number,))
        priorities = write(priorities, new if weight is None else new * weight.astype(jnp.float32))
    return Replay(
        jax.tree.map(write, replay.rows, rows),
        (replay.added + number) % capacity,
        jnp.minimum(replay.filled + number, capacity),
        priorities,
    )


def sample(replay: Replay, key: jax.Array, number: int) -> PyTree:
    """Return ``number`` rows, uniformly and with replacement; of a ring without rows, rows of zeros."""
    return rows_at(replay.rows, draw(replay, key, number))


def draw(replay: Replay, key: jax.Array, number: int) -> jax.Array:
    """Return where ``number`` rows are (number,) int32, drawn uniformly and with replacement; 0 in an empty ring."""
    return jax.random.randint(key, (number,), 0, jnp.maximum(replay.filled, 1), dtype=jnp.int32)


def rows_at(rows: PyTree, place: jax.Array) -> PyTree:
    """Return the rows of a ring at places (N,), all within it."""
    return jax.tree.map(lambda x: jnp.asarray(x).at[place].get(mode="promise_in_bounds"), rows)


def sample_by_priority(replay: Replay, key: jax.Array, number: int) -> tuple[PyTree, jax.Array, jax.Array]:
    """Return N rows drawn by :func:`draw_by_priority`, their places and their priorities."""
    place, priority = draw_by_priority(replay, key, number)
    return rows_at(replay.rows, place), place, priority


def draw_by_priority(replay: Replay, key: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """Draw N rows with replacement in proportion to their priorities; in a ring without any, rows of zeros.

    Without a tree of sums: they are added up anew for each draw, over L, L^(2/3) and L^(1/3) numbers, and each row is
    found among the last, then among a part of those before. Unlike running sums, these gather no rounding.

    Args:
        replay: the ring, with priorities.
        key: random key.
        number: N.

    Returns:
        place: (N,) int32, where they are in the ring.
        priority: (N,) of the rows.
    """
    priorities = jnp.asarray(replay.priorities)
    capacity = jax.tree.leaves(replay.rows)[0].shape[0]
    width = round(priorities.shape[0] ** (1 / 3))
    cube = priorities.reshape(width, width, width)
    square = jnp.sum(cube, axis=-1)
    line = jnp.sum(square, axis=-1)
    keys = jax.random.split(key, 3)
    first = _draw(keys[0], jnp.broadcast_to(line, (number, width)))
    second = _draw(keys[1], square[first])
    third = _draw(keys[2], cube[first, second])
    place = jnp.minimum((first * width + second) * width + third, capacity - 1)
    return place, priorities[place]


def _draw(key: jax.Array, parts: jax.Array) -> jax.Array:
    """Return an index (N,) int32 for each row of parts (N, K), at least 0, in proportion to them."""
    ends = jnp.cumsum(parts, axis=-1)
    at = jax.random.uniform(key, (parts.shape[0], 1), jnp.float32) * ends[:, -1:]
    index = jnp.sum(ends <= at, axis=-1, dtype=jnp.int32)
    last = parts.shape[1] - 1 - jnp.argmax(parts[:, ::-1] > 0, axis=-1).astype(jnp.int32)  # where rounding went beyond
    return jnp.minimum(index, last)


def with_priorities(replay: Replay, place: jax.Array, priority: jax.Array) -> Replay:
    """Return the ring with other priorities (N,) at places (N,); of several for one row the largest.

    A priority that is not finite, and that of a row of priority 0, stay as they were.
    """
    before = jnp.asarray(replay.priorities)
    there = before[place]
    new = jnp.where(jnp.isfinite(priority) & (there > 0), priority, there)
    return replay._replace(priorities=before.at[place].set(0.0).at[place].max(new))
