"""How long episodes go on, and what a value learnt at one discount is worth at another, up to a time limit.

An episode that goes on ends by itself with a chance h at each step, or is cut off at a limit of L steps. What a critic
learns goes on beyond that limit, at a discount of its own; a return does neither. Both are compared by what a reward
of 1 at every step would come to. Exact where rewards are even or the two discounts and horizons agree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Lengths(NamedTuple):
    """What was seen of episodes, () float32 each: ``steps``, and how many ``terminated`` and were ``truncated``."""

    steps: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Survival(NamedTuple):
    """What ``Lengths`` say, () each.

    Attributes:
        ends: chance that a step ends an episode, the limit aside.
        terminates: chance that nothing follows a step, which a critic knows.
        cut: 1 where the limit cuts episodes off as often as that chance lets them reach it, 0 where it cuts none off.
        least: of all chances together; without a limit there were never more steps than that.
    """

    ends: jax.Array
    terminates: jax.Array
    cut: jax.Array
    least: jax.Array


def nothing() -> Lengths:
    """Nothing seen yet."""
    return Lengths(jnp.float32(0.0), jnp.float32(0.0), jnp.float32(0.0))


def survival(lengths: Lengths, limit: int | None) -> Survival:
    """Of episodes of at most ``limit`` steps; until one has ended, all reach it."""
    steps = jnp.maximum(lengths.steps, 1.0)
    number = lengths.terminated + lengths.truncated
    terminates = lengths.terminated / steps
    if limit is None:
        return Survival(number / steps, terminates, jnp.float32(0.0), 1.0 / steps)
    share = jnp.where(number > 0, lengths.truncated / jnp.maximum(number, 1e-6), 1.0)
    share = jnp.maximum(share, 1.0 - limit * terminates)  # one that ended early does not make others longer than it
    reach = jnp.exp(limit * jnp.log1p(-jnp.minimum(terminates, 1.0 - 1e-6)))
    return Survival(terminates, terminates, jnp.minimum(share / jnp.maximum(reach, 1e-6), 1.0), jnp.float32(1e-7))


def horizon(survival: Survival, gamma: float, left: jax.Array | float = math.inf) -> jax.Array:
    """Expected discounted number of steps that follow where a limit leaves ``left``."""
    fading = _fading(survival.ends, gamma, survival)
    before = -jnp.expm1(jnp.maximum(left, 0.0) * jnp.log1p(-jnp.minimum(fading, 1.0 - 1e-6)))  # of it, before the limit
    return ((1.0 - survival.cut) + survival.cut * before) / fading


def worth(survival: Survival, learnt_at: float, gamma: float, left: jax.Array | float = math.inf) -> jax.Array:
    """What a value learnt at one discount, without a limit, is multiplied by to be a return at ``gamma`` with one."""
    return horizon(survival, gamma, left) * _fading(survival.terminates, learnt_at, survival)


def _fading(chance: jax.Array, gamma: float, survival: Survival) -> jax.Array:
    """How much less each step counts than the one before."""
    return jnp.maximum((1.0 - gamma) + gamma * chance, survival.least)
