"""Objects that a sampler remembers: a ring of the last ones, and an archive of the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.mogfn import archive as archives
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.config import MOGFNConfig
from morl.agents.mogfn.trajectories import AnyTask, Finished
from morl.ops import replay as replays

TOURNAMENT = 4  # objects of which the best for a preference becomes a parent
NEAR = 0.5  # share of pairs whose second parent is good for the same preference as the first


class Memory(NamedTuple):
    """Remembered objects.

    Attributes:
        ring: :class:`~morl.ops.replay.Replay` of the last objects; ``()`` without one.
        archive: :class:`~morl.agents.mogfn.archive.Archive` of the best ones; ``()`` without one.
    """

    ring: Any
    archive: Any


@dataclass(frozen=True)
class MemoryRules:
    """Rules by which a sampler remembers objects, and draws them again.

    ``log_reward`` computes β log R of objectives (..., R), preferences (..., R) and exponents (...).
    """

    config: MOGFNConfig
    env: AnyTask
    log_reward: Callable[[Any, Any, Any], Any]

    def empty(self, key: jax.Array) -> Memory:
        """Return a memory without objects."""
        c, num_objectives = self.config, len(self.env.objectives)
        ring: Any = ()
        archive: Any = ()
        state, obs = self.env.reset(key, self.env.default_params)
        row = Finished(state, obs, jnp.zeros(num_objectives, jnp.float32))
        if c.replay_batch:
            ring = replays.empty(c.replay_capacity, row)
        if c.has_archive:
            archive = archives.empty(c.elite_capacity, row)
        return Memory(ring, archive)

    def add(self, memory: Memory, found: Finished) -> Memory:
        """Return the memory with n more objects."""
        ring, archive = memory
        if self.config.replay_batch:
            ring = replays.add(ring, found)
        if self.config.has_archive:
            archive = archives.add(archive, found)
        return Memory(ring, archive)

    def draw(self, memory: Memory, condition: Condition, key: jax.Array) -> Finished:
        """Draw an object for each of n conditions, the best of ``replay_candidates`` of the memory.

        The first ``elite_share`` of them are of the archive, the others of the ring.
        """
        c, number = self.config, len(condition.beta)
        best = round(c.elite_share * number)
        key_ring, key_archive = jax.random.split(key)
        parts = []
        if best:
            some = archives.draw(memory.archive, best * c.replay_candidates, key_archive)
            parts.append(self._best(some, Condition(*(x[:best] for x in condition))))
        if best < number:
            some = replays.sample(memory.ring, key_ring, (number - best) * c.replay_candidates)
            parts.append(self._best(some, Condition(*(x[best:] for x in condition))))
        joined: Finished = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
        return joined

    def _best(self, objects: Finished, condition: Condition) -> Finished:
        """Return the best for each of n conditions of as many objects (n k, ...) each."""
        number = len(condition.beta)
        values = objects.values.reshape(number, -1, objects.values.shape[-1])
        return chosen(objects, self.log_reward(values, condition.preference[:, None], condition.beta[:, None]))

    def parents(self, memory: Memory, preference: jax.Array, key: jax.Array) -> tuple[Finished, Finished, jax.Array]:
        """Draw two objects of the archive for each of n preferences (n, R); return them, and () bool, False of none.

        Each is the one of ``TOURNAMENT`` whose largest weighted distance to the best of each objective is the least,
        which finds parents on concave parts of the front too. The first is for the preference, the second for it or for
        that of another pair.
        """
        archive: archives.Archive = memory.archive
        key_first, key_second, key_near = jax.random.split(key, 3)
        near = jax.random.bernoulli(key_near, NEAR, (len(preference), 1))
        there = jnp.arange(len(archive.objects.values), dtype=jnp.int32)[:, None] < archive.number
        ideal = jnp.max(jnp.where(there, archive.objects.values, -jnp.inf), axis=0)

        def parent(weights: jax.Array, key: jax.Array) -> Finished:
            some = archives.draw(archive, len(weights) * TOURNAMENT, key)
            short = ideal[None, None] - some.values.reshape(len(weights), TOURNAMENT, -1)
            return chosen(some, -jnp.max(weights[:, None] * short, axis=-1))

        others = jnp.where(near, preference, jnp.roll(preference, 1, axis=0))
        return parent(preference, key_first), parent(others, key_second), archive.number > 0


def chosen(objects: Finished, score: jax.Array) -> Finished:
    """Return the object of the highest score of each k of objects (n k, ...), with scores (n, k)."""
    number, each = score.shape
    place = jnp.arange(number, dtype=jnp.int32) * each + jnp.argmax(score, axis=1).astype(jnp.int32)
    best: Finished = jax.tree.map(lambda x: x[place], objects)
    return best
