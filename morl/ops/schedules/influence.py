"""Gradient-based weights (Lu et al., 2025, arXiv 2509.11452, section 3.2), as functions of the Gram matrix.

The influence of an objective is I_i = <g_i, Σ_k g_k>, so I = G·1 with G_ij = <g_i, g_j>. Weights climb it by
exponentiated gradient (entropic mirror ascent): w ← softmax(log w + η I / μ). Nothing pulls such weights back: the
objective of the largest gradient ends with all of the weight. The pull and the floor here are this project's.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

LEAST = 1e-6  # weight whose logarithm is taken for that of 0


def influences(gram: jax.Array, *, normalised: bool) -> jax.Array:
    """Return I = G·1, (R,), of the gradients or of unit vectors along them.

    Args:
        gram: G (R, R).
        normalised: take g_i / ‖g_i‖, so that I_i is the sum of the cosines with all objectives; 0 for a gradient of 0.
    """
    if normalised:
        square = jnp.diag(gram)
        inverse = jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        gram = gram * inverse[:, None] * inverse[None]
    return jnp.sum(gram, axis=1)


def ascend(
    weights: jax.Array, target: jax.Array, influence: jax.Array, rate: float, pull: float, floor: float
) -> jax.Array:
    """Return w' ∝ exp((1 − k) log w + k log w_0 + ρ I), none below the floor: (R,).

    Args:
        weights: w (R,) on the simplex.
        target: w_0 (R,) on the simplex, which the pull draws to.
        influence: I (R,).
        rate: ρ = η / μ.
        pull: k in [0, 1]; 0 as published.
        floor: least weight, below 1 / R.
    """
    now, wanted = (jnp.log(jnp.maximum(w, LEAST)) for w in (weights, target))
    return at_least(jax.nn.softmax((1 - pull) * now + pull * wanted + rate * influence), floor)


def at_least(weights: jax.Array, floor: float) -> jax.Array:
    """Return the weights (R,) of sum 1, none below ``floor``, whose divergence from ``weights`` is the smallest.

    These are the floor for some, and the other weights in their proportions.

    Args:
        weights: (R,) on the simplex.
        floor: below 1 / R.
    """

    def raised(free: jax.Array) -> jax.Array:
        held = jnp.where(free, weights, 0.0)
        left = 1 - floor * jnp.sum(jnp.where(free, 0.0, 1.0).astype(weights.dtype))
        return jnp.where(free, held * left / jnp.sum(held), floor)

    def step(_: jax.Array, free: jax.Array) -> jax.Array:
        return free & (raised(free) > floor)

    free = jax.lax.fori_loop(0, weights.shape[0], step, jnp.ones(weights.shape, bool))
    return raised(free)
