"""Quadratic programs over the non-negative orthant, which several aggregations come down to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.aggregation.symmetric import solve

REGULARISATION = 1e-6
"""Number added to the diagonal, in units of the diagonal, so that parallel gradients have one solution."""

ITERATIONS = 40
SHORTENING = 0.98  # share of the way to the boundary that a step goes at most


def non_negative_minimum(matrix: jax.Array, linear: jax.Array) -> jax.Array:
    """Return argmin over x >= 0 of x·Qx/2 - b·x, (R,), for a positive semidefinite Q.

    A primal-dual interior-point method (Nocedal and Wright, 2006, section 16.6): a fixed number of damped Newton steps
    on Qx - b = z, x_i z_i = μ, with μ falling to 0. Rows and columns are scaled to a diagonal of 1 first; those of a
    diagonal of 0, gradients that are 0, stay as they are.

    Args:
        matrix: Q (R, R).
        linear: b (R,).
    """
    square = jnp.diag(matrix)
    scale = jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 1.0)
    identity = jnp.eye(linear.shape[0], dtype=matrix.dtype)
    quadratic = matrix * scale[:, None] * scale[None] + REGULARISATION * identity
    largest = jnp.max(jnp.abs(scale * linear))
    unit = jnp.where(largest > 0, largest, 1.0)
    return scale * unit * _interior_point(quadratic, scale * linear / unit)


def _interior_point(matrix: jax.Array, linear: jax.Array) -> jax.Array:
    """Return the minimum for numbers of the order of 1."""
    least = np.finfo(np.float32).tiny ** 0.5

    def step(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, z = carry
        target = 0.1 * jnp.mean(x * z)
        residual = jnp.sum(matrix * x[None], axis=1) - linear - z
        move = solve(matrix + jnp.diag(z / x), target / x - z - residual)
        change = target / x - z - z / x * move
        length = jnp.minimum(_longest(x, move), _longest(z, change))
        return jnp.maximum(x + length * move, least), jnp.maximum(z + length * change, least)

    start = jnp.ones_like(linear)
    found: jax.Array = jax.lax.fori_loop(0, ITERATIONS, step, (start, start))[0]
    return found


def _longest(x: jax.Array, move: jax.Array) -> jax.Array:
    """Return the longest step, at most 1, that keeps x + step * move positive."""
    return jnp.minimum(jnp.min(jnp.where(move < 0, -SHORTENING * x / jnp.where(move < 0, move, 1.0), 1.0)), 1.0)
