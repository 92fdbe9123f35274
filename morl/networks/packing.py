"""Tokens of rows of different lengths, moved together and apart.

Shapes: R rows of at most P places, M tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Packing(NamedTuple):
    """Place of each token among those of the rows, and the way back.

    Attributes:
        row, place: (M,) int32 of each token; arbitrary after the last.
        counts: (M,) bool, whether there is such a token.
        token: (R, P) int32 of each place; arbitrary where there is none.
        there: (R, P) bool, whether there is a token.
    """

    row: jax.Array
    place: jax.Array
    counts: jax.Array
    token: jax.Array
    there: jax.Array


def packing(there: jax.Array, room: int) -> Packing:
    """Number the places (R, P) with a token, row by row; there must be at most ``room`` = M of them."""
    flat = there.reshape(-1)
    ends = jnp.cumsum(flat, dtype=jnp.int32)
    number = jnp.arange(room, dtype=jnp.int32)
    found = jnp.searchsorted(ends, number, side="right", method="scan_unrolled").astype(jnp.int32)
    at = jnp.minimum(found, flat.shape[0] - 1)
    token = jnp.clip(ends - 1, 0, room - 1).reshape(there.shape)
    return Packing(at // there.shape[1], at % there.shape[1], number < ends[-1], token, there)


# Each is the other's gradient. That of a plain gather is a scatter, which XLA's CPU backend adds up one by one.


@jax.custom_vjp
def pack(x: jax.Array, where: Packing) -> jax.Array:
    """Return the tokens (M, D) of places (R, P, D), 0 where there is none."""
    return jnp.where(where.counts[:, None], x[where.row, where.place], 0.0)


@jax.custom_vjp
def unpack(x: jax.Array, where: Packing) -> jax.Array:
    """Return the places (R, P, D) of tokens (M, D), 0 where there is none."""
    return jnp.where(where.there[..., None], x[where.token], 0.0)


pack.defvjp(lambda x, where: (pack(x, where), where), lambda where, gradient: (unpack(gradient, where), None))
unpack.defvjp(lambda x, where: (unpack(x, where), where), lambda where, gradient: (pack(gradient, where), None))
