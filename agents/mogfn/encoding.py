"""How a network sees what it is conditioned on: the preference w and the exponent β."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def thermometer(x: jax.Array, bins: int) -> jax.Array:
    """Each number from 0 to 1 as ``bins`` features that fill up one after another, (..., bins).

    Jain et al. (2023), appendix C.1: the feature of a bin is the share of it that lies below x.
    """
    return jnp.clip(x[..., None] * bins - jnp.arange(bins), 0.0, 1.0)


def encode(preference: jax.Array, beta: jax.Array, beta_range: tuple[float, float], bins: int) -> jax.Array:
    """Features (..., C) of preferences (..., R) and exponents (...); of a β that is always the same, none.

    Args:
        preference: w.
        beta: β.
        beta_range: lowest and highest β.
        bins: of a thermometer for each number; 0 for the numbers themselves. β is taken by its place in the range.
    """
    low, high = beta_range
    numbers = preference
    if low < high:
        numbers = jnp.concatenate([preference, ((beta - low) / (high - low))[..., None]], axis=-1)
    if bins == 0:
        return numbers
    return thermometer(numbers, bins).reshape(*numbers.shape[:-1], numbers.shape[-1] * bins)


def encoded_size(num_objectives: int, beta_range: tuple[float, float], bins: int) -> int:
    """C of :func:`encode`."""
    return (num_objectives + (beta_range[0] < beta_range[1])) * max(1, bins)
