"""Conditions of a sampler: the preference w and the exponent β, drawn, checked, and encoded for its networks."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from morl.errors import UserError
from morl.ops import preferences
from morl.ops.batching import with_leading_axes

BetaRange = tuple[float, float]


class Condition(NamedTuple):
    """Condition that a trajectory is sampled for.

    Attributes:
        preference: (..., R) w.
        beta: (...) β.
    """

    preference: jax.Array
    beta: jax.Array


def draw(key: jax.Array, num_objectives: int, number: int, *, concentration: float, beta_range: BetaRange) -> Condition:
    """Draw ``number`` conditions for training: w ~ Dirichlet(``concentration``), β uniform in its range.

    Each trajectory has its own preference (Jain et al., 2023).
    """
    key_preference, key_beta = jax.random.split(key)
    low, high = beta_range
    return Condition(
        preferences.dirichlet(key_preference, num_objectives, number, concentration),
        jax.random.uniform(key_beta, (number,), minval=low, maxval=high, dtype=jnp.float32)
        if low < high
        else jnp.full(number, low, jnp.float32),
    )


def checked(weights: ArrayLike, beta: float | None, num_objectives: int, beta_range: BetaRange) -> Condition:
    """Return the condition (n) of preferences (n, R); β is the highest of its range unless it is given.

    Raises:
        UserError: not preferences, or an exponent outside of the range.
    """
    low, high = beta_range
    beta = high if beta is None else beta
    if not low <= beta <= high:
        allowed = f"{low:g}" if low == high else f"from {low:g} to {high:g}"
        raise UserError(f"beta must be {allowed}, as the sampler was trained, not {beta:g}")
    rows = np.atleast_2d(np.asarray(weights, np.float64))
    valid = [preferences.check_preference(row, num_objectives) for row in rows]
    return Condition(jnp.asarray(valid, jnp.float32), jnp.full(len(rows), beta, jnp.float32))


def thermometer(x: jax.Array, bins: int) -> jax.Array:
    """Encode each number from 0 to 1 as ``bins`` features that fill up one after another, (..., bins).

    Jain et al. (2023), appendix C.1: the feature of a bin is the share of it that lies below x.
    """
    return jnp.clip(x[..., None] * bins - with_leading_axes(jnp.arange(bins, dtype=jnp.float32), x.ndim + 1), 0.0, 1.0)


def encode(preference: jax.Array, beta: jax.Array, beta_range: BetaRange, bins: int) -> jax.Array:
    """Encode preferences (..., R) and exponents (...) as features (..., C); a β that never changes has no feature.

    Args:
        preference: w.
        beta: β.
        beta_range: lowest and highest β.
        bins: bins of a thermometer for each number; 0 for the numbers themselves. β is encoded by its place in the
            range.
    """
    low, high = beta_range
    numbers = preference
    if low < high:
        numbers = jnp.concatenate([preference, ((beta - low) / (high - low))[..., None]], axis=-1)
    if bins == 0:
        return numbers
    return thermometer(numbers, bins).reshape(*numbers.shape[:-1], numbers.shape[-1] * bins)


def encoded_size(num_objectives: int, beta_range: BetaRange, bins: int) -> int:
    """Return C of :func:`encode`."""
    return (num_objectives + (beta_range[0] < beta_range[1])) * max(1, bins)


def warmed_up(updates: jax.Array, warmup: float) -> jax.Array:
    """Return the share of β that is learnt after so many updates: from a tenth to 1 over ``warmup`` of them."""
    done = updates.astype(jnp.float32) / warmup if warmup else jnp.float32(1)
    return jnp.minimum(0.1 + 0.9 * done, 1.0)
