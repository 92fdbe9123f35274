"""Masked statistics and logits, for the invalid steps of a rollout and for forbidden actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes
from morl.ops.units import CLOSE, RESOLVED, power_of_two, small_beside

MASKED_LOGIT = -1e9
"""Logit of a forbidden action: its probability is 0 in float32, and yet sums and gradients stay finite."""

Axis = int | tuple[int, ...] | None


def masked_mean(x: jax.Array, weight: jax.Array, axis: Axis = None, *, keepdims: bool = False) -> jax.Array:
    """Return the mean of the values of weight 1, Σ x w / max(Σ w, 1); 0 where there are none.

    Args:
        x: [...] finite values; a value that is not finite makes the mean NaN even with weight 0.
        weight: 0 or 1 for each value, bool or float; broadcasts to ``x``. Along the axes of the mean it has the length
            of ``x``, so that each value is counted.
        axis: axes of the mean; by default all.
        keepdims: whether to keep these axes with length 1.
    """
    x, weight = _floats(x, weight)
    return jnp.sum(x * weight, axis=axis, keepdims=keepdims) / _number(weight, axis, keepdims)


def masked_variance(x: jax.Array, weight: jax.Array, axis: Axis = None) -> jax.Array:
    """Return the variance of the values of weight 1, without Bessel's correction; 0 where there are none.

    Arguments as for :func:`masked_mean`.
    """
    x, weight = _floats(x, weight)
    number = _number(weight, axis)
    mean = jnp.sum(x * weight, axis=axis) / number
    centred = x - (mean if axis is None else jnp.expand_dims(mean, axis))
    return jnp.sum(centred**2 * weight, axis=axis) / number


def standardise(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Return ``x`` shifted and scaled so that its values of weight 1 have mean 0 and standard deviation 1.

    PPO does so with advantages before an update. Values of weight 0 are shifted and scaled alike. Values that are all
    equal, as float32 resolves them, become 0. The unit of the values does not matter; to their deviation 1e-8 is added,
    as is usual, where that is small beside it.

    Args:
        x: [...] values.
        weight: [...] 0 or 1 for each value, bool or float.
    """
    x, weight = _floats(x, weight)
    unit = power_of_two(jnp.max(jnp.abs(x) * weight))
    counted = x * weight / unit
    mean = masked_mean(counted, weight)
    spread = jnp.sqrt(masked_mean((counted - mean) ** 2, weight))
    # of values that lie close together, the rounding of the long sum behind their mean is taken off
    error = masked_mean(counted - mean, weight)
    mean = jnp.where(spread < CLOSE * jnp.abs(mean), mean + error, mean)
    spread = jnp.sqrt(masked_mean((counted - mean) ** 2, weight))
    scale = spread + small_beside(spread, 1e-8 / unit)
    differ = spread > RESOLVED * jnp.abs(mean)
    return jnp.where(differ, (x / unit - mean) / jnp.where(differ, scale, 1.0), 0.0)


def mask_logits(logits: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return logits (..., A) with :data:`MASKED_LOGIT` for the actions that the mask forbids.

    Args:
        logits: (..., A).
        mask: broadcasts to (..., A); above 0, or true, for allowed actions. None allows all.
    """
    if mask is None:
        return logits
    mask = with_leading_axes(mask, logits.ndim)
    return jnp.where(mask if mask.dtype == bool else mask > 0, logits, MASKED_LOGIT)


def _floats(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return values and weights in the dtype of the values, float32 for flags."""
    x = jnp.asarray(x, x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)
    return x, jnp.asarray(weight, x.dtype)


def _number(weight: jax.Array, axis: Axis, keepdims: bool = False) -> jax.Array:
    """Return the sum of the weights, at least 1; a scalar where all columns share it, which XLA inverts only once."""
    number = jnp.maximum(jnp.sum(weight, axis=axis, keepdims=keepdims), 1.0)
    return number.reshape(()) if number.size == 1 and not keepdims else number
