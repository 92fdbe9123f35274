"""The Pareto archive: non-dominated policies as one stacked pytree of fixed capacity, under ``jit`` and ``vmap``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.types import PyTree


class Archive(NamedTuple):
    """Capacity C.

    Attributes:
        returns: (C, R) float32 vector returns.
        valid: (C,) bool, which rows are taken.
        items: pytree with leading axis C: what the returns are of.
    """

    returns: jax.Array
    valid: jax.Array
    items: PyTree


def empty(capacity: int, num_objectives: int, item: PyTree) -> Archive:
    """Nothing archived yet; ``item`` is one element, for its shapes."""
    items = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), item)
    return Archive(jnp.zeros((capacity, num_objectives)), jnp.zeros(capacity, bool), items)


def insert(archive: Archive, returns: jax.Array, items: PyTree, valid: jax.Array) -> Archive:
    """Offer N candidates: what is kept is non-dominated, each return once (the older stays), within capacity.

    Beyond capacity the point of the smallest crowding distance goes, one at a time with distances computed anew, so
    that of two close neighbours one stays. The extremes of each objective have infinite distance and are kept; only
    when more than the capacity are extremes do the newest of them go.

    Args:
        archive: what is there.
        returns: (N, R); rows that are not finite are refused.
        items: pytree with leading axis N.
        valid: (N,) bool, candidates to look at.
    """
    capacity = archive.valid.shape[0]
    returns = returns.astype(jnp.float32)
    points = jnp.concatenate([archive.returns, returns])
    offered = jnp.concatenate([archive.valid, valid & jnp.isfinite(returns).all(axis=-1)])
    points = jnp.where(offered[:, None], points, 0.0)
    kept = non_dominated_masked(points, offered)

    def too_many(kept: jax.Array) -> jax.Array:
        return kept.sum() > capacity

    def drop(kept: jax.Array) -> jax.Array:
        distance = jnp.where(kept, crowding_distance_masked(points, kept), jnp.inf)
        last = jnp.where(kept, jnp.arange(len(kept)), -1).argmax()
        return kept.at[jnp.where(jnp.isfinite(distance.min()), distance.argmin(), last)].set(False)

    kept = jax.lax.while_loop(too_many, drop, kept)
    # Positions of the kept rows, in order; a scatter, as XLA's sort is slow on CPU.
    slot = jnp.where(kept, jnp.cumsum(kept) - 1, capacity)
    rows = jnp.zeros(capacity, jnp.int32).at[slot].set(jnp.arange(len(kept), dtype=jnp.int32), mode="drop")
    taken = jnp.arange(capacity) < kept.sum()
    merged = jax.tree.map(lambda old, new: jnp.concatenate([old, new.astype(old.dtype)])[rows], archive.items, items)
    return Archive(jnp.where(taken[:, None], points[rows], 0.0), taken, merged)


def compact(archive: Archive) -> tuple[NDArray[np.float64], PyTree]:
    """The taken rows: returns (n, R) and the items, stacked, as NumPy arrays."""
    valid = np.asarray(archive.valid)
    items = jax.tree.map(lambda x: np.asarray(x)[valid], archive.items)
    return np.asarray(archive.returns, np.float64)[valid], items


def non_dominated_masked(points: jax.Array, valid: jax.Array) -> jax.Array:
    """Which of the valid points (n, R) no valid one dominates or precedes as an exact duplicate; (n,) bool."""
    at_least = (points[:, None] >= points[None]).all(axis=-1)  # [i, j]: i is nowhere worse than j
    equal = at_least & at_least.T
    earlier = jnp.arange(len(points))[:, None] < jnp.arange(len(points))[None]
    beats = (at_least & ~equal) | (equal & earlier)
    return valid & ~(beats & valid[:, None]).any(axis=0)


def crowding_distance_masked(points: jax.Array, valid: jax.Array) -> jax.Array:
    """:func:`morl.ops.pareto.crowding_distance` of the valid points (n, R); (n,), 0 for the others."""
    invalid_last = jnp.where(valid[:, None], points, jnp.inf)
    order = jnp.argsort(invalid_last, axis=0)
    ordered = jnp.take_along_axis(points, order, axis=0)
    count = valid.sum()
    rank = jnp.arange(len(points))[:, None]
    below, above = jnp.roll(ordered, 1, axis=0), jnp.roll(ordered, -1, axis=0)
    span = (ordered[jnp.maximum(count - 1, 0)] - ordered[0])[None]
    gap = (above - below) / jnp.where(span > 0, span, 1.0)
    extreme = (rank == 0) | (rank == count - 1)
    per_objective = jnp.where(extreme, jnp.inf, gap)
    per_objective = jnp.where((span > 0) & (rank < count), per_objective, 0.0)
    back = jnp.zeros_like(points).at[order, jnp.arange(points.shape[1])[None]].set(per_objective)
    return jnp.where(valid, back.sum(axis=-1), 0.0)
