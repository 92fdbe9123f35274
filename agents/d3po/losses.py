"""Losses of D3PO (Ambadkar et al., 2026, arXiv 2602.07764).

Leading axes are those of a minibatch (N) or of a rollout (T, B), written ``...``; R objectives come last. ``weight``
(...) is 1 for steps to learn from and 0 for lost ones. ``preference`` (..., R) is w, for which the step was acted.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.masking import masked_mean, masked_variance, standardise
from morl.ops.units import power_of_two, small_beside


def standardise_each(advantage: jax.Array, weight: jax.Array) -> jax.Array:
    """Return advantages (T, B, R) standardised over the rollout, each objective by itself, as published."""
    return jax.vmap(standardise, in_axes=(-1, None), out_axes=-1)(advantage, weight)


def standardise_together(advantage: jax.Array, preference: jax.Array, weight: jax.Array) -> jax.Array:
    """Return advantages (T, B, R), each centred, divided by the deviation of their preference-weighted sum.

    One divisor for all leaves the objectives' proportions as they are, so that a preference weighs returns and not
    deviations of advantages. Advantages whose weighted sum is the same everywhere become 0.
    """
    counted = weight[..., None]
    unit = power_of_two(jnp.max(jnp.abs(advantage) * counted))
    centred = advantage / unit - masked_mean(advantage / unit, counted, (0, 1))[None, None]
    spread = jnp.sqrt(masked_variance(jnp.sum(preference * centred, axis=-1), weight))
    scale = spread + small_beside(spread, 1e-8 / unit)
    return jnp.where(spread > 0, centred / jnp.where(spread > 0, scale, 1.0), 0.0)


def late_weighted_surrogate_loss(
    log_ratio: jax.Array, advantage: jax.Array, preference: jax.Array, weight: jax.Array, clip_eps: float
) -> jax.Array:
    """Return -E[Σ_i w_i min(r A_i, clip(r, 1 ± ε) A_i)], (): each objective is clipped before its weight counts.

    Args:
        log_ratio: (...) logarithm of the probability ratio r of the new policy to the one that acted.
        advantage: (..., R), standardised.
        preference: (..., R).
        weight: (...).
        clip_eps: ε.
    """
    ratio = jnp.exp(log_ratio)[..., None]
    clipped = jnp.clip(ratio, 1 - clip_eps, 1 + clip_eps)
    surrogate = jnp.minimum(ratio * advantage, clipped * advantage)
    return -masked_mean(jnp.sum(preference * surrogate, axis=-1), weight)


def diversity_loss(
    divergence: jax.Array,
    preference: jax.Array,
    other: jax.Array,
    weight: jax.Array,
    scale: float,
    *,
    bound: bool = False,
) -> jax.Array:
    """Return E[(KL(π(·|s, w) || π(·|s, w')) - α ||w - w'||_1)²], (), the scaled diversity regulariser.

    It is 0 where policies differ by as much as their preferences do.

    Args:
        divergence: (...) KL.
        preference, other: (..., R) w and w'.
        weight: (...).
        scale: α, in nats.
        bound: take α ||w - w'||_1 for a lower bound: policies that differ by more cost nothing. Where they have little
            entropy, those of any two preferences do.
    """
    excess = divergence - scale * jnp.sum(jnp.abs(preference - other), axis=-1)
    return masked_mean((jnp.minimum(excess, 0.0) if bound else excess) ** 2, weight)
