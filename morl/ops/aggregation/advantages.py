"""Aggregations of the advantages (..., R) of R objectives, which need no gradient: PAMA's closed form and its kin.

PAMA (He and Maghsudi, 2025, arXiv 2508.07768) bounds the norm of MGDA's direction by the square of Σ_i c_i A_i, whose
minimum over c on the simplex is the projection of 0 onto [min_i A_i, max_i A_i]. Over a batch of samples that is the
same number for all of them, from which nothing can be learnt; here it is taken for each sample.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.aggregation.conflict import mgda
from morl.ops.batching import with_leading_axes
from morl.ops.masking import masked_mean, masked_variance
from morl.ops.units import power_of_two, small_beside


def pama(advantage: jax.Array, preference: jax.Array) -> jax.Array:
    """Return the projection of 0 onto [min_i p_i A_i⁺, max_i p_i A_i⁺], A⁺ = max(A, 0): (...), as published for p = 1.

    That is the smallest advantage where all are positive, and 0 elsewhere: actions are only ever made more likely.

    Args:
        advantage: (..., R).
        preference: (R,); objectives of weight 0 do not count.
    """
    preference = with_leading_axes(preference, advantage.ndim)
    least = jnp.min(jnp.where(preference > 0, preference * advantage, jnp.inf), axis=-1)
    return jnp.maximum(least, 0.0)


def unanimous(advantage: jax.Array, preference: jax.Array) -> jax.Array:
    """Return the projection of 0 onto [min_i p_i A_i, max_i p_i A_i]: (...), without the clamp of PAMA.

    That is the advantage of smallest size where all agree in sign, and 0 where they do not. Arguments as above.
    """
    return pama(advantage, preference) - pama(-advantage, preference)


def advantage_mgda(advantage: jax.Array, weight: jax.Array) -> jax.Array:
    """Return argmin over the simplex of c·Mc, M_ij the mean of A_i A_j: (R,), MGDA without a backward pass.

    The mean square of Σ_i c_i A_i bounds the squared norm of its policy gradient, up to that of the scores.

    Args:
        advantage: (T, B, R), centred.
        weight: (T, B) 1 for steps that count.
    """
    size = advantage.shape[-1]
    products = advantage[..., :, None] * advantage[..., None, :]
    moments = masked_mean(products, weight[..., None, None], (0, 1))
    return mgda(moments, jnp.full(size, 1 / size, advantage.dtype))


def weighted_sum(advantage: jax.Array, weights: jax.Array, weight: jax.Array) -> jax.Array:
    """Return Σ_i α_i A_i (T, B), centred, in units of the deviation it has where all objectives agree, Σ_i |α_i| σ_i.

    Unlike a sum that is standardised it becomes small where the objectives cancel out, at Pareto-stationary policies.

    Args:
        advantage: (T, B, R).
        weights: α (R,).
        weight: (T, B) 1 for steps that count.
    """
    counted = weight[..., None]
    unit = power_of_two(jnp.max(jnp.abs(advantage) * counted))
    centred = advantage / unit - masked_mean(advantage / unit, counted, (0, 1))[None, None]
    deviation = jnp.sum(jnp.abs(weights) * jnp.sqrt(masked_variance(centred, counted, (0, 1))))
    total = jnp.sum(weights[None, None] * centred, axis=-1)
    divisor = deviation + small_beside(deviation, 1e-8 / unit)
    return jnp.where(deviation > 0, total / jnp.where(deviation > 0, divisor, 1.0), 0.0)


def scale_to_unit(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Return ``x`` (...) divided by its root mean square over the values of weight 1; 0 stays 0."""
    square = masked_mean(x**2, weight)
    return jnp.where(square > 0, x / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
