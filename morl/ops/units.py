"""Arithmetic in any unit: powers of two to divide numbers by, and floors relative to them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

RESOLVED = 2.0**-21
"""Least deviation of float32 numbers that counts, as a share of their mean: four times what float32 resolves."""

CLOSE = 2.0**-10
"""Share of the mean below which a deviation asks for a mean without the rounding of a long sum."""


def power_of_two(x: jax.Array) -> jax.Array:
    """Return the largest powers of two that are at most ``x`` >= 0, float32; the least normal one for 0.

    Dividing by it changes no digit, and what was of the order of ``x`` can then be squared and added up.
    """
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)
    power = jax.lax.bitcast_convert_type(bits & np.int32(0x7F800000), jnp.float32)
    return jnp.maximum(power, np.finfo(np.float32).tiny)


def small_beside(x: jax.Array, usual: jax.Array | float) -> jax.Array:
    """Return a number to add to a divisor ``x`` >= 0: ``usual``, but at most a thousandth of ``x``."""
    return jnp.minimum(usual, 1e-3 * x)
