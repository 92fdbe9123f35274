"""Objects that a sampler remembers: a ring of the last ones, and an archive of the best for each preference."""

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
from morl.ops.preferences import equally_spaced_weights

NEAR = 0.5  # share of pairs whose second parent is good for the same preference, and not for any


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
            spread = equally_spaced_weights(num_objectives, c.archive_preferences)
            archive = archives.empty(jnp.asarray(spread, jnp.float32), c.archive_best, row)
        return Memory(ring, archive)

    def add(self, memory: Memory, found: Finished) -> Memory:
        """Return the memory with n more objects."""
        ring, archive = memory
        if self.config.replay_batch:
            ring = replays.add(ring, found)
        if self.config.has_archive:
            log_reward = self.log_reward(found.values[None], archive.preferences[:, None], jnp.float32(1))
            archive = archives.add(archive, found, log_reward)
        return Memory(ring, archive)

    def draw(self, memory: Memory, condition: Condition, key: jax.Array) -> Finished:
        """Draw an object for each of n conditions.

        The first ``archive_share`` of them are of the archive. The others are the best of ``replay_candidates`` of the
        ring.
        """
        c, number = self.config, len(condition.beta)
        best = round(c.archive_share * number)
        key_ring, key_archive = jax.random.split(key)
        parts = []
        if best:
            parts.append(archives.draw(memory.archive, condition.preference[:best], key_archive)[0])
        if best < number:
            parts.append(self._of_ring(memory.ring, Condition(*(x[best:] for x in condition)), key_ring))
        joined: Finished = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
        return joined

    def _of_ring(self, ring: replays.Replay, condition: Condition, key: jax.Array) -> Finished:
        number, candidates = len(condition.beta), self.config.replay_candidates
        drawn = replays.sample(ring, key, number * candidates)
        values = drawn.values.reshape(number, candidates, -1)
        log_reward = self.log_reward(values, condition.preference[:, None], condition.beta[:, None])
        best = jnp.arange(number, dtype=jnp.int32) * candidates + jnp.argmax(log_reward, axis=1).astype(jnp.int32)
        chosen: Finished = jax.tree.map(lambda x: x[best], drawn)
        return chosen

    def parents(self, memory: Memory, preference: jax.Array, key: jax.Array) -> tuple[Finished, Finished, jax.Array]:
        """Draw a pair of the archive's objects for each of n preferences (n, R), and whether there is one, (n,) bool.

        The first is good for the preference, the second for it or for that of another pair.
        """
        key_first, key_second, key_near = jax.random.split(key, 3)
        near = jax.random.bernoulli(key_near, NEAR, (len(preference), 1))
        others = jnp.where(near, preference, jnp.roll(preference, 1, axis=0))
        first, known = archives.draw(memory.archive, preference, key_first)
        second, _ = archives.draw(memory.archive, others, key_second)
        return first, second, known
