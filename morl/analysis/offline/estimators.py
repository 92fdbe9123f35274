"""Estimators of a policy's vector return from E logged episodes of up to T steps of another one.

After the end of an episode rewards are 0, and its weight stays as it was: an absorbing state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes

MOST_LOG_WEIGHT = 80.0  # exp of it is finite in float32
TINY = 1e-37  # a normal number of float32


def cumulative_weights(log_ratio: jax.Array) -> jax.Array:
    """Return ρ_{0:t} (E, T), the products of the ratios π(a | s) / b(a | s) up to each step.

    Args:
        log_ratio: (E, T) their logarithms; 0 after the end of an episode.
    """
    total = jnp.cumsum(jnp.maximum(log_ratio, -1e6), axis=1)
    return jnp.exp(jnp.minimum(total, MOST_LOG_WEIGHT))


def effective_sample_size(weights: jax.Array) -> jax.Array:
    """Return (Σ w)² / Σ w² () of the weights (E,) of whole episodes (Kish, 1965); 0 where all are 0."""
    share = weights / jnp.maximum(jnp.max(weights), TINY)
    return jnp.square(jnp.sum(share)) / jnp.maximum(jnp.sum(jnp.square(share)), TINY)


def per_decision(weights: jax.Array, reward: jax.Array, gamma: float) -> jax.Array:
    """Return Σ_t γ^t ρ_{0:t} r_t (E, R) of each episode (PDIS; Precup, Sutton and Singh, 2000). Their mean is unbiased.

    Args:
        weights: (E, T) of :func:`cumulative_weights`.
        reward: (E, T, R).
        gamma: discount.
    """
    return jnp.sum(_discounted(reward, gamma) * weights[..., None], axis=1)


def self_normalised(weights: jax.Array, reward: jax.Array, gamma: float, counts: jax.Array) -> jax.Array:
    """Return Σ_t γ^t Σ_e ρ_{0:t} r_t / Σ_e ρ_{0:t}, (B, R): consistent, biased, and never beyond the rewards' range.

    Each step is normalised by itself (weighted PDIS; Thomas and Brunskill, 2016; SCOPE-RL's SNPDIS).

    Args:
        weights: (E, T) of :func:`cumulative_weights`.
        reward: (E, T, R).
        gamma: discount.
        counts: (B, E) how often each of B samples has each episode.
    """
    parts = _discounted(reward, gamma) * weights[..., None]
    episodes, steps, objectives = parts.shape
    above = (counts @ parts.reshape(episodes, -1)).reshape(-1, steps, objectives)
    below = (counts @ weights)[..., None]
    return jnp.sum(jnp.where(below > 0, above / jnp.where(below > 0, below, 1.0), 0.0), axis=1)


def doubly_robust(
    weights: jax.Array, reward: jax.Array, q: jax.Array, v: jax.Array, alive: jax.Array, gamma: float
) -> jax.Array:
    """Return Σ_t γ^t [ρ_{0:t} (r_t - Q(s_t, a_t)) + ρ_{0:t-1} V(s_t)] (E, R) of each episode (Jiang and Li, 2016).

    The mean is unbiased for any Q fitted on other episodes, with V(s) = E_π[Q(s, a)]; it varies less the better Q is.

    Args:
        weights: (E, T) of :func:`cumulative_weights`.
        reward, q, v: (E, T, R).
        alive: (E, T) bool, False after the end of an episode.
        gamma: discount.
    """
    before = jnp.concatenate([jnp.ones_like(weights[:, :1]), weights[:, :-1]], axis=1)
    terms = weights[..., None] * (reward - q) + before[..., None] * v
    return jnp.sum(_discounted(jnp.where(alive[..., None], terms, 0.0), gamma), axis=1)


def _discounted(x: jax.Array, gamma: float) -> jax.Array:
    """Return γ^t x_t of (E, T, R)."""
    discount = jnp.float32(gamma) ** jnp.arange(x.shape[1], dtype=jnp.float32)
    return x * with_leading_axes(discount[:, None], x.ndim)
