"""Gradients of several objectives at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.types import PyTree


def gram_matrix(gradients: PyTree) -> jax.Array:
    """Return the inner products of the objectives' gradients, G_ij = <g_i, g_j>, (R, R) symmetric.

    Methods that aggregate gradients (MGDA, PCGrad, CAGrad, Nash-MTL and others) need no more of them than this matrix.

    Args:
        gradients: pytree of arrays (R, ...), as ``jax.jacrev`` of (R,) outputs gives.

    Raises:
        ValueError: no arrays, or leading axes of different lengths.
    """
    leaves = jax.tree.leaves(gradients)
    numbers = {jnp.shape(x)[:1] for x in leaves}
    if len(numbers) != 1 or numbers == {()}:
        raise ValueError(f"gradients need one leading axis of objectives, not shapes {[jnp.shape(x) for x in leaves]}")

    def products(x: jax.Array) -> jax.Array:
        flat = jnp.reshape(x, (x.shape[0], -1))
        return jnp.matmul(flat, flat.T, precision=jax.lax.Precision.HIGHEST)  # an accelerator's default has 3 digits

    gram = jnp.sum(jnp.stack([products(x) for x in leaves]), axis=0)
    return (gram + gram.T) / 2
