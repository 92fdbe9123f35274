"""Priorities of the rows of a :mod:`morl.ops.replay` ring, under ``jit`` and ``vmap`` (Schaul et al., 2016).

Row i is drawn with the probability p_i / Σ_j p_j. Sums are kept of blocks of rows and not of a binary tree: a few wide
sums are faster on any device than many narrow ones.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.initial import zeros
from morl.ops.replay import Replay
from morl.types import PyTree

BLOCK = 64  # rows
BELOW = np.float32(1 - 1e-6)  # factor that keeps a draw below a sum that was rounded


class Priorities(NamedTuple):
    """Priorities of C rows.

    Attributes:
        value: (C,) float32, at least 0; 0 for rows that are never drawn.
        largest: () float32, the largest so far: the priority of new rows.
    """

    value: jax.Array
    largest: jax.Array


class Draw(NamedTuple):
    """Rows drawn.

    Attributes:
        place: (N,) int32 in the ring.
        probability: (N,) with which each was drawn.
    """

    place: jax.Array
    probability: jax.Array


def empty(capacity: int) -> Priorities:
    """Return the priorities of a ring without rows."""
    return Priorities(zeros((capacity,), np.float32), jnp.float32(1.0))


def add(priorities: Priorities, replay: Replay, valid: jax.Array) -> Priorities:
    """Return the priorities with those of N new rows, which are as likely as the likeliest.

    Args:
        priorities: of the ring before they are added.
        replay: that ring.
        valid: (N,) bool; rows that are not valid are never drawn.
    """
    new = jnp.where(valid, priorities.largest, 0.0)
    capacity, number = len(priorities.value), len(new)
    if capacity % number == 0:
        value = jax.lax.dynamic_update_slice_in_dim(jnp.asarray(priorities.value), new, replay.added, axis=0)
    else:
        place = (replay.added + jnp.arange(number, dtype=jnp.int32)) % capacity
        value = jnp.asarray(priorities.value).at[place].set(new)
    return priorities._replace(value=value)


def sample(priorities: Priorities, key: jax.Array, number: int) -> Draw:
    """Draw ``number`` rows in proportion to their priorities, with replacement; row 0 where all are 0."""
    value = jnp.pad(jnp.asarray(priorities.value), (0, -len(priorities.value) % BLOCK)).reshape(-1, BLOCK)
    ends = jnp.cumsum(jnp.sum(value, axis=1))
    total = ends[-1]
    at = jax.random.uniform(key, (number,), dtype=jnp.float32) * total * BELOW
    block = jnp.searchsorted(ends, at, side="right").astype(jnp.int32)
    block = jnp.where(total > 0, jnp.minimum(block, len(ends) - 1), 0)
    starts = jnp.concatenate([jnp.zeros(1, jnp.float32), ends[:-1]])
    inside = value.at[block].get(mode="promise_in_bounds")
    sums = jnp.cumsum(inside, axis=1)
    offset = jnp.clip(at - starts[block], 0.0, sums[:, -1] * BELOW)
    within = jnp.argmax(sums > offset[:, None], axis=1).astype(jnp.int32)
    place = jnp.minimum(block * BLOCK + within, len(priorities.value) - 1)
    probability = jnp.asarray(priorities.value)[place] / jnp.maximum(total, np.finfo(np.float32).tiny)
    return Draw(place, probability)


def rows_at(replay: Replay, place: jax.Array) -> PyTree:
    """Return the rows of a ring at places (N,)."""
    return jax.tree.map(lambda x: jnp.asarray(x).at[place].get(mode="promise_in_bounds"), replay.rows)


def update(priorities: Priorities, place: jax.Array, value: jax.Array, weight: jax.Array) -> Priorities:
    """Return the priorities with new ones of drawn rows.

    Of a row drawn twice the larger counts. A value that is not finite leaves the row as likely as the likeliest.

    Args:
        priorities: before.
        place: (N,) int32 in the ring.
        value: (N,) above 0.
        weight: (N,) 0 for rows that are never drawn again.
    """
    value = jnp.where(jnp.isfinite(value), value, priorities.largest)
    value = jnp.where(weight > 0, value, 0.0)
    largest = jnp.maximum(priorities.largest, jnp.max(value))
    cleared = jnp.asarray(priorities.value).at[place].set(0.0, mode="promise_in_bounds")
    return Priorities(cleared.at[place].max(value, mode="promise_in_bounds"), largest)


def importance_weights(draw: Draw, filled: jax.Array, exponent: float) -> jax.Array:
    """Return (n P(i))^-β over the largest of them, (N,) (Schaul et al., 2016, section 3.4).

    Args:
        draw: N rows.
        filled: () number n of rows in the ring.
        exponent: β; 0 gives ones, 1 corrects the draw in full.
    """
    if exponent == 0:
        return jnp.ones_like(draw.probability)
    weight: jax.Array = jnp.maximum(draw.probability * filled.astype(jnp.float32), 1e-12) ** jnp.float32(-exponent)
    return weight / jnp.max(weight)
