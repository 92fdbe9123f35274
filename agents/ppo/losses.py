"""Losses and diagnostics of PPO (Schulman et al., 2017, arXiv 1707.06347) with one value an objective.

Leading axes are those of a minibatch (N) or of a rollout (T, B), written ``...``; R objectives come last. ``weight``
(...) is 1 for steps to learn from and 0 for lost ones.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.masking import masked_mean, masked_variance
from morl.ops.units import power_of_two, small_beside


class SurrogateEstimate(NamedTuple):
    """Estimate of another policy by a rollout of the policy that acted.

    Attributes:
        gains: (R,) change of each objective, by the unclipped surrogate.
        divergence: () mean Kullback-Leibler divergence of the other policy from the one that acted.
    """

    gains: jax.Array
    divergence: jax.Array


def clipped_surrogate_loss(log_ratio: jax.Array, advantage: jax.Array, weight: jax.Array, clip_eps: float) -> jax.Array:
    """Return the negative clipped surrogate L^CLIP, () (equation 7).

    Args:
        log_ratio: (...) logarithm of the probability ratio of the new policy to the one that acted.
        advantage: (...) of the preference-weighted objectives, standardised.
        weight: (...).
        clip_eps: ε.
    """
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip_eps, 1 + clip_eps)
    return -masked_mean(jnp.minimum(ratio * advantage, clipped * advantage), weight)


def objective_surrogates(log_ratio: jax.Array, advantage: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the unclipped surrogate L^CPI of each objective, (R,) (equation 6), of centred advantages (T, B, R).

    Centring leaves the gradient's expectation as it is, and makes the surrogate 0 for the policy that acted.
    """
    weight = weight[..., None]
    centred = advantage - masked_mean(advantage, weight, (0, 1))[None, None]
    return masked_mean(jnp.exp(log_ratio)[..., None] * centred, weight, (0, 1))


def value_loss(value: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Return half the squared error L^VF, () (equation 9), of values (..., R), the mean over objectives and steps."""
    return 0.5 * masked_mean(jnp.mean((value - target) ** 2, axis=-1), weight)


def approximate_kl(log_ratio: jax.Array, weight: jax.Array) -> jax.Array:
    """Return an estimate of the divergence of the new policy, () (k3 in Schulman, 2020, "Approximating KL")."""
    return masked_mean(jnp.exp(log_ratio) - 1 - log_ratio, weight)


def explained_variance(error: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the share of the targets' variance that values explain, () in [-1, 1], the mean over objectives.

    Args:
        error: (T, B, R) target minus value.
        target: (T, B, R).
        weight: (T, B).
    """
    weight = weight[..., None]
    unit = power_of_two(jnp.max(jnp.maximum(jnp.abs(error), jnp.abs(target)) * weight, axis=(0, 1)))
    unexplained, variance = (masked_variance(x * weight / unit[None, None], weight, (0, 1)) for x in (error, target))
    share = unexplained / jnp.where(variance > 0, variance + small_beside(variance, 1e-8 / unit**2), 1.0)
    unexplained = jnp.where(variance > 0, share, jnp.where(unexplained > 0, jnp.inf, 0.0))
    return jnp.mean(jnp.maximum(1.0 - unexplained, -1.0))


def next_kl_step_scale(scale: jax.Array, kl: jax.Array, target: jax.Array | float) -> jax.Array:
    """Divide the step scale by 1.5 if ``kl`` > 2 x ``target``, multiply if below half; clip to [1e-3, 1].

    The rule of PPO for legged locomotion (Rudin et al., 2022), here applied after each pass of an update, with the
    share of the target that is due by then. The scale is at most 1, so the learning rate stays the largest step.
    """
    factor = jnp.where(kl > 2 * target, 1 / 1.5, jnp.where(kl < target / 2, 1.5, 1.0))
    return jnp.clip(scale * factor, 1e-3, 1.0)
