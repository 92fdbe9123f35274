"""Statistics and logits of which a part does not count: invalid steps of a rollout, actions that are not allowed."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes

MASKED_LOGIT = -1e9
"""Logit of a forbidden action: its probability is 0 in float32, and yet sums and gradients stay finite."""

Axis = int | tuple[int, ...] | None


def masked_mean(x: jax.Array, weight: jax.Array, axis: Axis = None, *, keepdims: bool = False) -> jax.Array:
    """Return the mean of what counts, Σ x w / max(Σ w, 1); 0 where nothing does.

    Args:
        x: [...] finite values; one that is not finite makes the mean NaN even under a weight of 0.
        weight: 0 or 1 for each value, bool or float; broadcasts against ``x``. Over the axes that are summed it has the
            length of ``x``, so that each value is counted.
        axis: the axes that the mean is over; by default all.
        keepdims: keep these axes with length 1.
    """
    return jnp.sum(x * weight, axis=axis, keepdims=keepdims) / _number(weight, axis, keepdims)


def masked_variance(x: jax.Array, weight: jax.Array, axis: Axis = None) -> jax.Array:
    """Return the variance of what counts about its own mean, without Bessel's correction; 0 where nothing does.

    Arguments as for :func:`masked_mean`.
    """
    number = _number(weight, axis)
    mean = jnp.sum(x * weight, axis=axis) / number
    centred = x - (mean if axis is None else jnp.expand_dims(mean, axis))
    return jnp.sum(centred**2 * weight, axis=axis) / number


def standardise(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Return ``x`` less the mean and over the standard deviation of what counts, as advantages are before a PPO update.

    Values that do not count are moved and scaled alike. 1e-8 is added to the deviation, so values that are all equal
    become 0.

    Args:
        x: [...] values.
        weight: [...] 0 or 1 for each value, bool or float.
    """
    centred = x - masked_mean(x, weight)
    return centred / (jnp.sqrt(masked_mean(centred**2, weight)) + 1e-8)


def mask_logits(logits: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return logits (..., A) with :data:`MASKED_LOGIT` in place of those that the mask forbids.

    Args:
        logits: (..., A).
        mask: (..., A), or what broadcasts to it; above 0 (or true) where allowed. None allows all.
    """
    if mask is None:
        return logits
    return jnp.where(with_leading_axes(mask, logits.ndim) > 0, logits, MASKED_LOGIT)


def _number(weight: jax.Array, axis: Axis, keepdims: bool = False) -> jax.Array:
    """Return how many values count, at least 1; where all columns share it a scalar, which XLA inverts only once."""
    number = jnp.maximum(jnp.sum(weight, axis=axis, keepdims=keepdims), 1.0)
    return number.reshape(()) if number.size == 1 and not keepdims else number
