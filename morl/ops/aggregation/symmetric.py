"""Linear algebra of small symmetric matrices (R, R) without LAPACK, for code that is mapped over policies.

Batched LAPACK calls under ``vmap`` are slow for matrices of a few rows, and some of them have been seen to hang where
there are fewer cores than threads.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np


def solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """Return x with A x = b for a symmetric positive definite A (R, R), by Gauss-Jordan elimination; (R,).

    Rows and columns are scaled to a diagonal of 1 first, so that no pivot is needed.
    """
    scale = 1 / jnp.sqrt(jnp.diag(matrix))
    rows = jnp.concatenate([matrix * scale[:, None] * scale[None], (scale * vector)[:, None]], axis=1)
    for i in range(matrix.shape[0]):
        pivot = rows[i] / rows[i, i]
        rows = (rows - rows[:, i : i + 1] * pivot[None]).at[i].set(pivot)
    return scale * rows[:, -1]


def eigen(matrix: jax.Array, sweeps: int = 8) -> tuple[jax.Array, jax.Array]:
    """Return eigenvalues (R,), in no order, and eigenvectors (R, R), one a column, by Jacobi's rotations.

    The cyclic method converges quadratically (Golub and Van Loan, 2013, section 8.5): 8 sweeps reach the rounding of
    float32 for up to 16 rows.
    """
    size = matrix.shape[0]
    pairs = np.array(list(itertools.combinations(range(size), 2)), np.int32).reshape(-1, 2)
    identity = jnp.eye(size, dtype=matrix.dtype)
    if not len(pairs):
        return jnp.diag(matrix), identity

    def rotate(index: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        matrix, vectors = carry
        i, j = jnp.asarray(pairs)[index % len(pairs)]
        off, difference = matrix[i, j], matrix[j, j] - matrix[i, i]
        # tangent of the smaller of the two angles that make the element off the diagonal 0
        sign = jnp.where(difference < 0, -1.0, 1.0).astype(matrix.dtype)
        bottom = jnp.abs(difference) + jnp.sqrt(difference**2 + 4 * off**2)
        tangent = jnp.where(bottom > 0, sign * 2 * off / jnp.where(bottom > 0, bottom, 1.0), 0.0)
        cosine = 1 / jnp.sqrt(1 + tangent**2)
        sine = tangent * cosine
        rotation = identity.at[i, i].set(cosine).at[j, j].set(cosine).at[i, j].set(sine).at[j, i].set(-sine)
        return _product(rotation.T, _product(matrix, rotation)), _product(vectors, rotation)

    diagonal, vectors = jax.lax.fori_loop(0, sweeps * len(pairs), rotate, (matrix, identity))
    return jnp.diag(diagonal), vectors


def power(matrix: jax.Array, exponent: float) -> tuple[jax.Array, jax.Array]:
    """Return A^exponent (R, R) of a positive semidefinite A on the span of its rows, and its least eigenvalue there.

    Exponent -1 is the pseudo-inverse. Eigenvalues below R times what float32 resolves of the largest count as 0.
    """
    values, vectors = eigen(matrix)
    least = jnp.max(values) * matrix.shape[0] * np.finfo(np.float32).eps
    counted = values > least
    powers = jnp.where(counted, jnp.where(counted, values, 1.0) ** exponent, 0.0)
    smallest = jnp.min(jnp.where(counted, values, jnp.inf))
    return _product(vectors * powers[None], vectors.T), jnp.where(jnp.any(counted), smallest, 0.0)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
