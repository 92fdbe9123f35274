"""Lengths of episodes, and the factor between values at different discounts, up to a time limit.

The model: an episode ends by itself with probability h at each step, or is cut off after L steps. A critic's value goes
on beyond that limit, at the critic's discount; a return does neither. Both are compared by what a reward of 1 at every
step would amount to. This is exact where rewards are even, and where the two discounts and horizons agree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Lengths(NamedTuple):
    """Counts of ``steps``, and of episodes that ``terminated`` or were ``truncated``, () float32 each."""

    steps: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class Survival(NamedTuple):
    """Estimates from :class:`Lengths`, () each.

    Attributes:
        ends: probability that a step ends an episode, the time limit aside.
        terminates: probability that a step terminates an episode, which the critic knows.
        cut: 1 where the limit cuts off as many episodes as reach it by ``ends``, 0 where it cuts off none.
        least: lower bound of these probabilities; without a limit 1 / steps.
    """

    ends: jax.Array
    terminates: jax.Array
    cut: jax.Array
    least: jax.Array


def no_episodes() -> Lengths:
    """Return counts of 0."""
    return Lengths(jnp.float32(0.0), jnp.float32(0.0), jnp.float32(0.0))


def survival(lengths: Lengths, limit: int | None) -> Survival:
    """Estimate how episodes of at most ``limit`` steps end; until one has ended, all reach the limit."""
    steps = jnp.maximum(lengths.steps, 1.0)
    number = lengths.terminated + lengths.truncated
    terminates = lengths.terminated / steps
    if limit is None:
        return Survival(number / steps, terminates, jnp.float32(0.0), 1.0 / steps)
    share = jnp.where(number > 0, lengths.truncated / jnp.maximum(number, 1e-6), 1.0)
    share = jnp.maximum(share, 1.0 - limit * terminates)  # one early end does not make the others longer than the limit
    reach = jnp.exp(limit * jnp.log1p(-jnp.minimum(terminates, 1.0 - 1e-6)))
    return Survival(terminates, terminates, jnp.minimum(share / jnp.maximum(reach, 1e-6), 1.0), jnp.float32(1e-7))


def horizon(survival: Survival, gamma: float, left: jax.Array | float = math.inf) -> jax.Array:
    """Return the expected discounted number of steps that follow, with ``left`` steps to the time limit."""
    fading = _fading(survival.ends, gamma, survival)
    left = jnp.maximum(jnp.asarray(left, jnp.float32), 0.0)
    before = -jnp.expm1(left * jnp.log1p(-jnp.minimum(fading, 1.0 - 1e-6)))  # share before the limit
    return ((1.0 - survival.cut) + survival.cut * before) / fading


def value_factor(
    survival: Survival, critic_gamma: float, gamma: float, left: jax.Array | float = math.inf
) -> jax.Array:
    """Return the factor from a critic's value, at its discount and without a limit, to a return at ``gamma`` with one.

    Args:
        survival: how episodes end.
        critic_gamma: discount of the critic.
        gamma: discount of the return.
        left: steps to the time limit.
    """
    return horizon(survival, gamma, left) * _fading(survival.terminates, critic_gamma, survival)


def _fading(probability: jax.Array, gamma: float, survival: Survival) -> jax.Array:
    """Return the share of its weight that a step loses to the one before: by the discount, and by episodes' ends."""
    return jnp.maximum((1.0 - gamma) + gamma * probability, survival.least)
