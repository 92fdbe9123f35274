"""Aggregations by a change of basis or a projection: Aligned-MTL, UPGrad and DualProj."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.aggregation.quadratic import non_negative_minimum
from morl.ops.aggregation.symmetric import power


def aligned_mtl(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return √λ_min G^(-1/2) p: all principal components as long as the shortest (Senushkin et al., 2023, alg. 1)."""
    root, smallest = power(gram, -0.5)
    return jnp.sqrt(smallest) * jnp.sum(root * preference[None], axis=1)


def upgrad(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return the sum of p_i g_i, each projected onto the dual cone of all gradients (Quinton and Rey, 2024, eq. 3).

    No objective falls along any of the projections, to first order.
    """
    return jnp.sum(jax.vmap(lambda own: _projection(gram, own))(jnp.diag(preference)), axis=0)


def dualproj(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return Σ p_i g_i projected onto the dual cone of all gradients (Lopez-Paz and Ranzato, 2017, equation 11)."""
    return _projection(gram, preference)


def _projection(gram: jax.Array, weights: jax.Array) -> jax.Array:
    """Return v (R,), argmin of v·Gv over v >= u: Jᵀv is the projection of Jᵀu onto the dual cone."""
    return weights + non_negative_minimum(gram, -jnp.sum(gram * weights[None], axis=1))
