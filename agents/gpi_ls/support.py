"""The set M of preferences that a learner was trained for lately, as arrays of a fixed size."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SAME = np.float32(1e-5)  # largest difference of weights that are taken for one


class Support(NamedTuple):
    """Up to K preferences.

    Attributes:
        preference: (K, R); zeros where there is none.
        used: (K,) int32, number of the last update that acted for it; 0 where there is none.
    """

    preference: jax.Array
    used: jax.Array


def empty(size: int, num_objectives: int) -> Support:
    """Return a support without preferences."""
    return Support(jnp.zeros((size, num_objectives), jnp.float32), jnp.zeros(size, jnp.int32))


def refresh(support: Support, preference: jax.Array, update: jax.Array) -> Support:
    """Return the support with the preferences (B, R) of an update, new ones in place of those used the longest ago.

    Args:
        support: before.
        preference: (B, R) acted for.
        update: () int32 number of the update, from 1 on.
    """

    def one(support: Support, each: jax.Array) -> tuple[Support, None]:
        same = (jnp.max(jnp.abs(support.preference - each[None]), axis=1) < SAME) & (support.used > 0)
        place = jnp.where(jnp.any(same), jnp.argmax(same), jnp.argmin(support.used)).astype(jnp.int32)
        here = jnp.arange(len(same), dtype=jnp.int32) == place
        return Support(
            jnp.where(here[:, None], each[None], support.preference), jnp.where(here, update, support.used)
        ), None

    return jax.lax.scan(one, support, preference)[0]


def with_own(support: Support, preference: jax.Array) -> jax.Array:
    """Return the preferences (B, K + 1, R) that policies are compared for: M, and the one acted for (B, R) last.

    Where there is none the one acted for stands in, which changes no maximum.
    """
    own = jnp.broadcast_to(preference[:, None], (len(preference), *support.preference.shape))
    members = jnp.where((support.used > 0)[None, :, None], support.preference[None], own)
    return jnp.concatenate([members, preference[:, None]], axis=1)


def draw(support: Support, key: jax.Array, number: int) -> jax.Array:
    """Draw members uniformly, with replacement, (number, R); of a support without members zeros."""
    chance = (support.used > 0).astype(jnp.float32)
    ends = jnp.cumsum(chance)
    at = jax.random.uniform(key, (number,), dtype=jnp.float32) * ends[-1] * np.float32(1 - 1e-6)
    return support.preference[jnp.argmax(ends[None] > at[:, None], axis=1)]
