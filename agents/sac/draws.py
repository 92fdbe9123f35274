"""Choice of the stored transitions that a gradient step learns from, and of the preferences to learn for."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.agents.sac.config import SACConfig
from morl.agents.sac.types import Draw
from morl.ops import replay
from morl.ops.preferences import dirichlet
from morl.ops.replay import Replay


def drawn(config: SACConfig, num_objectives: int, stored: Replay, key: jax.Array) -> Draw:
    """Draw stored transitions, a share of them for random preferences where ``relabel_preferences`` is set.

    Uniformly, or in proportion to the priorities of the replay where it has any.
    """
    key_rows, key_preferences, key_relabelled = jax.random.split(key, 3)
    number = config.batch_size
    importance = preference = relabelled = None
    if stored.priorities is None:
        place = replay.draw(stored, key_rows, number)
    else:
        place, priority = replay.draw_by_priority(stored, key_rows, number)
        least = jnp.min(jnp.where(priority > 0, priority, jnp.inf))
        relative = jnp.where(priority > 0, least / jnp.where(priority > 0, priority, 1.0), 0.0)
        importance = relative ** jnp.float32(config.importance_exponent)
    if config.relabel_preferences:
        preference = dirichlet(key_preferences, num_objectives, number)
        relabelled = jax.random.bernoulli(key_relabelled, jnp.float32(config.relabel_share), (number, 1))
    return Draw(place, importance, preference, relabelled)
