"""A ring of finished objects, to learn from again: their objectives stay, whatever the preference."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.mogfn.trajectories import Finished


class Replay(NamedTuple):
    """The last N objects.

    Attributes:
        objects: (N, ...).
        added: () int32, how many there were in all.
    """

    objects: Finished
    added: jax.Array


def empty(example: Finished, capacity: int) -> Replay:
    """Room for ``capacity`` objects like one unbatched."""
    return Replay(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example), jnp.int32(0))


def add(replay: Replay, objects: Finished) -> Replay:
    """With B objects (B, ...) in place of the oldest; B is at most the capacity."""
    capacity, batch = replay.objects.values.shape[0], objects.values.shape[0]
    places = (replay.added + jnp.arange(batch)) % capacity
    return Replay(
        jax.tree.map(lambda ring, new: ring.at[places].set(new), replay.objects, objects), replay.added + batch
    )


def draw(replay: Replay, key: jax.Array, number: int) -> Finished:
    """``number`` objects (number, ...), each any of those there with equal probability; there has to be one."""
    there = jnp.minimum(replay.added, replay.objects.values.shape[0])
    chosen = jax.random.randint(key, (number,), 0, there)
    drawn: Finished = jax.tree.map(lambda ring: ring[chosen], replay.objects)
    return drawn
