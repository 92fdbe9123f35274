"""Pareto archive: non-dominated policies as one stacked pytree of fixed capacity, under ``jit`` and ``vmap``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.types import PyTree


class Archive(NamedTuple):
    """Archive of capacity C; its rows are in the order in which they came.

    Attributes:
        returns: (C, R) float32 vector returns.
        stderr: (C, R) float32 standard errors of the returns; 0 where they are exact or unknown.
        episodes: (C,) int32 episodes behind the returns.
        valid: (C,) bool, whether a row is taken.
        items: pytree of arrays (C, ...), the policies that have these returns.
    """

    returns: jax.Array
    stderr: jax.Array
    episodes: jax.Array
    valid: jax.Array
    items: PyTree


class Candidates(NamedTuple):
    """N policies that are offered to an archive.

    Attributes:
        returns, stderr, episodes, items: as in :class:`Archive`, of N rows. Returns that are not finite are refused,
            standard errors that are not finite are unknown.
        valid: (N,) bool, whether a row is offered.
    """

    returns: jax.Array
    stderr: jax.Array
    episodes: jax.Array
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
    numbers = jnp.zeros((capacity, num_objectives), jnp.float32)
    return Archive(numbers, numbers, jnp.zeros(capacity, jnp.int32), jnp.zeros(capacity, bool), items)


def insert(archive: Archive, candidates: Candidates, epsilon: float = 0.0) -> Archive:
    """Return the archive after offering it N candidates, those that came first preferred to equal later ones.

    1. Of two rows closer than their errors that of fewer episodes goes (:func:`closer_than_errors`), even where its
       returns are the higher ones: they are the luckier.
    2. Dominated rows go, and of equal returns all but the oldest.
    3. Near-duplicates go: rows within ``epsilon`` of a kept one in every objective (:func:`thinned_masked`).
    4. Beyond the capacity the row of the smallest crowding distance goes, one at a time with distances computed anew,
       so that one of two close neighbours stays. The extremes of each objective have infinite distance and are kept.
       Only where there are more extremes than the capacity, the newest of them go.

    A row that dominates another replaces it however close they are, so the archive still converges. Where all rows have
    the same number of episodes and fit, no kept row but an extreme is within ``epsilon`` of another, and each row that
    was held or offered is, lowered by ``epsilon``, weakly dominated by a kept one: an ε-approximate Pareto set
    (Laumanns et al., 2002, Combining convergence and diversity in evolutionary multiobjective optimization,
    definition 5).

    Args:
        archive: the archive.
        candidates: of N rows.
        epsilon: share of the range of each objective among the non-dominated rows; 0 keeps near-duplicates.
    """
    capacity = archive.valid.shape[0]
    returns, stderr = (x.astype(jnp.float32) for x in candidates[:2])
    stderr = jnp.where(jnp.isfinite(stderr), stderr, 0.0)
    points, errors = jnp.concatenate([archive.returns, returns]), jnp.concatenate([archive.stderr, stderr])
    episodes = jnp.concatenate([archive.episodes, candidates.episodes.astype(jnp.int32)])
    offered = jnp.concatenate([archive.valid, candidates.valid & jnp.isfinite(returns).all(axis=-1)])
    points = jnp.where(offered[:, None], points, 0.0)
    better_known = closer_than_errors(points, errors) & (episodes[:, None] > episodes[None])
    kept = thinned_masked(points, non_dominated_masked(points, _undefeated(better_known, offered)), epsilon, episodes)

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
    merged = jax.tree.map(
        lambda old, new: jnp.concatenate([old, new.astype(old.dtype)])[rows], archive.items, candidates.items
    )
    numbers, errors = (jnp.where(taken[:, None], x[rows], 0.0) for x in (points, errors))
    return Archive(numbers, errors, jnp.where(taken, episodes[rows], 0), taken, merged)


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


def thinned_masked(points: jax.Array, valid: jax.Array, epsilon: float, episodes: jax.Array) -> jax.Array:
    """Return which valid points stay when near-duplicates go, (n,) bool; see :func:`morl.ops.pareto.thinned`.

    The best of each objective come first, then those of more episodes, then the order given.

    Args:
        points: (n, R) vector returns.
        valid: (n,) bool.
        epsilon: share of the range of each objective among the valid points.
        episodes: (n,) int32.
    """
    half = points / 2  # the difference of two halves does not overflow
    high = jnp.where(valid[:, None], half, -jnp.inf).max(axis=0)
    low = jnp.where(valid[:, None], half, jnp.inf).min(axis=0)
    tolerance = epsilon * jnp.where(valid.any(), high - low, 0.0)
    near = (jnp.abs(half[:, None] - half[None]) <= tolerance[None, None]).all(axis=-1)
    best = jnp.where(valid[:, None], half, -jnp.inf).argmax(axis=0)
    extreme = jnp.zeros(len(points), bool).at[best].set(valid.any())
    index = jnp.arange(len(points), dtype=jnp.int32)
    more, as_many = episodes[:, None] > episodes[None], episodes[:, None] == episodes[None]
    before = extreme[:, None] | more | (as_many & (index[:, None] < index[None]))
    return _undefeated(near & before & ~extreme[None], valid)


def closer_than_errors(points: jax.Array, stderr: jax.Array) -> jax.Array:
    """Return whether each two points differ in every objective by at most the standard error of their difference.

    That is √(s₁² + s₂²) of two standard errors, for independent episodes.

    Args:
        points: (n, R) vector returns.
        stderr: (n, R) standard errors.

    Returns:
        (n, n) bool.
    """
    one, other = stderr[:, None] / 2, stderr[None] / 2
    large, small = jnp.maximum(one, other), jnp.minimum(one, other)
    ratio = small / jnp.where(large > 0, large, 1.0)
    error = large * jnp.sqrt(1 + ratio**2)  # the square of a large number overflows
    return (jnp.abs(points[:, None] / 2 - points[None] / 2) <= error).all(axis=-1)


def _undefeated(beats: jax.Array, valid: jax.Array) -> jax.Array:
    """Return which valid rows stay, (n,) bool: all but those that a row that stays beats.

    Args:
        beats: (n, n) bool, whether row i beats row j; without cycles.
        valid: (n,) bool.
    """

    def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        stays = state[0]
        return valid & ~(beats & stays[:, None]).any(axis=0), stays

    # after k steps the rows are right that at most k others in a chain lead to; so it ends after n at most
    return jax.lax.while_loop(lambda state: (state[0] != state[1]).any(), step, step((valid, valid)))[0]


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
