"""Archive of the best different objects for each of M preferences, under ``jit``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.mogfn.trajectories import Finished
from morl.types import PyTree


class Archive(NamedTuple):
    """The K best objects for each of M preferences, the best first.

    Attributes:
        preferences: (M, R).
        log_reward: (M, K) float32 log R under the preference, -inf where there is no object yet.
        objects: rows (M, K, ...); one object may be among the best for several preferences.
    """

    preferences: jax.Array
    log_reward: jax.Array
    objects: Finished


def empty(preferences: jax.Array, best: int, row: Finished) -> Archive:
    """Return an archive without objects.

    Args:
        preferences: (M, R).
        best: K.
        row: one object, for its shapes and dtypes.
    """
    number = len(preferences)
    objects = jax.tree.map(lambda x: jnp.zeros((number, best, *jnp.shape(x)), jnp.asarray(x).dtype), row)
    return Archive(jnp.asarray(preferences, jnp.float32), jnp.full((number, best), -jnp.inf, jnp.float32), objects)


def add(archive: Archive, found: Finished, log_reward: jax.Array) -> Archive:
    """Return the archive after N objects (N, ...) with log R (M, N) are offered to it; each counts once."""
    number, best = archive.log_reward.shape
    new = found.obs.reshape(len(found.obs), -1)
    held = archive.objects.obs.reshape(number, best, 1, -1)
    known = jnp.any(jnp.all(held == new[None, None], axis=-1) & jnp.isfinite(archive.log_reward)[..., None], axis=1)
    equal = jnp.all(new[:, None] == new[None], axis=-1)
    repeated = jnp.any(jnp.tril(equal, -1), axis=1)  # an earlier one of the N is the same
    offered = jnp.where(known | repeated[None], -jnp.inf, log_reward)
    rewards, place = jax.lax.top_k(jnp.concatenate([archive.log_reward, offered], axis=1), best)

    def chosen(old: jax.Array, fresh: jax.Array) -> jax.Array:
        is_old = (place < best).reshape(number, best, *(1,) * (old.ndim - 2))
        row = jnp.arange(number, dtype=jnp.int32)[:, None]
        kept = old[row, jnp.minimum(place, best - 1)]
        return jnp.where(is_old, kept, fresh[jnp.maximum(place - best, 0)].astype(old.dtype))

    return Archive(archive.preferences, rewards, jax.tree.map(chosen, archive.objects, found))


def draw(archive: Archive, preference: jax.Array, key: jax.Array) -> tuple[Finished, jax.Array]:
    """Draw one of the best objects for the archive's preference that is nearest to each of n preferences (n, R).

    Returns:
        The objects (n, ...), and whether there are any, (n,) bool; where not, rows are arbitrary.
    """
    apart = jnp.sum((preference[:, None] - archive.preferences[None]) ** 2, axis=-1)
    cell = jnp.argmin(apart, axis=1).astype(jnp.int32)
    there = jnp.sum(jnp.isfinite(archive.log_reward[cell]), axis=1, dtype=jnp.int32)
    rank = jax.random.randint(key, cell.shape, 0, jnp.maximum(there, 1), dtype=jnp.int32)
    objects: PyTree = jax.tree.map(lambda x: x[cell, rank], archive.objects)
    return objects, there > 0
