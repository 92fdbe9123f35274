"""Archive of objects of many trade-offs, the population of NSGA-II (Deb et al., 2002), under ``jit``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.mogfn.trajectories import Finished


class Archive(NamedTuple):
    """At most C different objects, the best first.

    Attributes:
        objects: rows (C, ...).
        number: () int32, the rows that are taken; the others are arbitrary.
    """

    objects: Finished
    number: jax.Array


def empty(capacity: int, row: Finished) -> Archive:
    """Return an archive of ``capacity`` C without objects; ``row`` is one, for its shapes and dtypes."""
    objects = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), row)
    return Archive(objects, jnp.int32(0))


def add(archive: Archive, found: Finished) -> Archive:
    """Return the archive after N objects (N, ...) are offered to it.

    Objects of better fronts stay, and of the last front that has room those whose crowding distance is largest. An
    object is there once.
    """
    capacity = len(archive.objects.values)
    joined = jax.tree.map(lambda old, new: jnp.concatenate([old, new.astype(old.dtype)]), archive.objects, found)
    place = jnp.arange(len(joined.values), dtype=jnp.int32)
    valid = (place < archive.number) | (place >= capacity)
    rows = joined.obs.reshape(len(place), -1)
    equal = jnp.all(rows[:, None] == rows[None], axis=-1) & valid[None]
    valid &= ~jnp.any(jnp.tril(equal, -1), axis=1)
    rank = ranks(joined.values, valid)
    crowding = crowding_distances(joined.values, rank)
    # a number between 0 and 1 orders those of a front
    score = jnp.where(valid, crowding / (1 + crowding) - rank.astype(jnp.float32), -jnp.inf)
    _, best = jax.lax.top_k(jnp.where(jnp.isinf(crowding) & valid, 1 - rank.astype(jnp.float32), score), capacity)
    number = jnp.minimum(valid.sum(dtype=jnp.int32), capacity)
    return Archive(jax.tree.map(lambda x: x[best], joined), number)


def ranks(values: jax.Array, valid: jax.Array) -> jax.Array:
    """Return the number (n,) int32 of the front that each of the valid points (n, R) is in, from 0; n for others."""
    number = len(values)
    dominates = jnp.all(values[:, None] >= values[None], axis=-1) & jnp.any(values[:, None] > values[None], axis=-1)

    def peel(loop: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        rank, left, front = loop
        first = left & ~jnp.any(dominates & left[:, None], axis=0)
        return jnp.where(first, front, rank), left & ~first, front + 1

    start = jnp.full(number, number, jnp.int32), valid, jnp.int32(0)
    rank: jax.Array = jax.lax.while_loop(lambda loop: loop[1].any(), peel, start)[0]
    return rank


def crowding_distances(values: jax.Array, rank: jax.Array) -> jax.Array:
    """Return the crowding distance (n,) of points (n, R) within their fronts, infinite for the extremes of each.

    It is the sum over objectives of the gap between the next lower and the next higher value, in units of the range of
    the front. Of equal points all but the first have no gap.
    """
    together = rank[:, None] == rank[None]
    place = jnp.arange(len(rank), dtype=jnp.int32)
    earlier = place[:, None] < place[None]

    def of_objective(column: jax.Array) -> jax.Array:
        mine, other = column[:, None], column[None]
        is_above = together & ((other > mine) | ((other == mine) & earlier))
        is_below = together & ((other < mine) | ((other == mine) & earlier.T))
        above = jnp.min(jnp.where(is_above, other, jnp.inf), axis=1)
        below = jnp.max(jnp.where(is_below, other, -jnp.inf), axis=1)
        span = jnp.max(jnp.where(together, other, -jnp.inf), axis=1) - jnp.min(
            jnp.where(together, other, jnp.inf), axis=1
        )
        return jnp.where(span > 0, (above - below) / jnp.where(span > 0, span, 1.0), 0.0)

    distance: jax.Array = jax.vmap(of_objective, in_axes=1, out_axes=1)(values).sum(axis=1)
    return distance


def draw(archive: Archive, number: int, key: jax.Array) -> Finished:
    """Draw ``number`` objects with replacement; of an archive without any, arbitrary rows."""
    place = jax.random.randint(key, (number,), 0, jnp.maximum(archive.number, 1), dtype=jnp.int32)
    drawn: Finished = jax.tree.map(lambda x: x[place], archive.objects)
    return drawn
