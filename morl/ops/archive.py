"""Pareto archive: non-dominated policies as one stacked pytree of fixed capacity, under ``jit`` and ``vmap``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.types import PyTree


class Archive(NamedTuple):
    """Archive of capacity C.

    Attributes:
        returns: (C, R) float32 vector returns.
        valid: (C,) bool, whether a row is taken.
        items: pytree of arrays (C, ...), the policies that have these returns.
    """

    returns: jax.Array
    valid: jax.Array
    items: PyTree


def empty(capacity: int, num_objectives: int, item: PyTree) -> Archive:
    """Return an archive without rows.

    Args:
        capacity: C, the largest number of rows.
        num_objectives: R.
        item: one item, for its shapes and dtypes.
    """
    items = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), item)
    return Archive(jnp.zeros((capacity, num_objectives), jnp.float32), jnp.zeros(capacity, bool), items)


def insert(archive: Archive, returns: jax.Array, items: PyTree, valid: jax.Array) -> Archive:
    """Return the archive after offering it N candidates.

    It keeps the non-dominated rows, and of equal returns the oldest one. Beyond the capacity it drops the row of the
    smallest crowding distance, one at a time with distances computed anew, so that one of two close neighbours stays.
    The extremes of each objective have infinite distance and are kept. Only where there are more extremes than the
    capacity, the newest of them are dropped.

    Args:
        archive: the archive.
        returns: (N, R) vector returns; rows that are not finite are refused.
        items: pytree of arrays (N, ...).
        valid: (N,) bool, whether a candidate is offered.
    """
    capacity = archive.valid.shape[0]
    returns = returns.astype(jnp.float32)
    points = jnp.concatenate([archive.returns, returns])
    offered = jnp.concatenate([archive.valid, valid & jnp.isfinite(returns).all(axis=-1)])
    points = jnp.where(offered[:, None], points, 0.0)
    kept = non_dominated_masked(points, offered)

    def too_many(kept: jax.Array) -> jax.Array:
        return kept.sum(dtype=jnp.int32) > capacity

    def drop(kept: jax.Array) -> jax.Array:
        distance = jnp.where(kept, crowding_distance_masked(points, kept), jnp.inf)
        last = jnp.where(kept, jnp.arange(len(kept), dtype=jnp.int32), -1).argmax().astype(jnp.int32)
        return kept.at[jnp.where(jnp.isfinite(distance.min()), distance.argmin().astype(jnp.int32), last)].set(False)

    kept = jax.lax.while_loop(too_many, drop, kept)
    # the positions of the kept rows in order, by a scatter: XLA's sort is slow on CPU
    slot = jnp.where(kept, jnp.cumsum(kept, dtype=jnp.int32) - 1, capacity)
    rows = jnp.zeros(capacity, jnp.int32).at[slot].set(jnp.arange(len(kept), dtype=jnp.int32), mode="drop")
    taken = jnp.arange(capacity, dtype=jnp.int32) < kept.sum(dtype=jnp.int32)
    merged = jax.tree.map(lambda old, new: jnp.concatenate([old, new.astype(old.dtype)])[rows], archive.items, items)
    return Archive(jnp.where(taken[:, None], points[rows], 0.0), taken, merged)


def compact(archive: Archive) -> tuple[NDArray[np.float64], PyTree]:
    """Return the n taken rows as NumPy arrays: returns (n, R), and the pytree of items (n, ...)."""
    valid = np.asarray(archive.valid)
    items = jax.tree.map(lambda x: np.asarray(x)[valid], archive.items)
    return np.asarray(archive.returns, np.float64)[valid], items


def non_dominated_masked(points: jax.Array, valid: jax.Array) -> jax.Array:
    """Return whether each point is valid and no valid one dominates it or is an equal one before it, (n,) bool.

    Args:
        points: (n, R) vector returns, every objective maximised.
        valid: (n,) bool.
    """
    at_least = (points[:, None] >= points[None]).all(axis=-1)  # [i, j]: i is at least as good as j in each objective
    equal = at_least & at_least.T
    earlier = jnp.arange(len(points), dtype=jnp.int32)[:, None] < jnp.arange(len(points), dtype=jnp.int32)[None]
    beats = (at_least & ~equal) | (equal & earlier)
    return valid & ~(beats & valid[:, None]).any(axis=0)


def crowding_distance_masked(points: jax.Array, valid: jax.Array) -> jax.Array:
    """Return :func:`morl.ops.pareto.crowding_distance` among the valid points, and 0 for the others, (n,).

    Args:
        points: (n, R) vector returns.
        valid: (n,) bool.
    """
    invalid_last = jnp.where(valid[:, None], points, jnp.inf)
    order = jnp.argsort(invalid_last, axis=0)
    ordered = jnp.take_along_axis(points, order, axis=0)
    count = valid.sum(dtype=jnp.int32)
    rank = jnp.arange(len(points), dtype=jnp.int32)[:, None]
    below, above = jnp.roll(ordered, 1, axis=0), jnp.roll(ordered, -1, axis=0)
    span = (ordered[jnp.maximum(count - 1, 0)] - ordered[0])[None]
    gap = (above - below) / jnp.where(span > 0, span, 1.0)
    extreme = (rank == 0) | (rank == count - 1)
    per_objective = jnp.where(extreme, jnp.inf, gap)
    per_objective = jnp.where((span > 0) & (rank < count), per_objective, 0.0)
    back = jnp.zeros_like(points).at[order, jnp.arange(points.shape[1], dtype=jnp.int32)[None]].set(per_objective)
    return jnp.where(valid, back.sum(axis=-1), 0.0)
