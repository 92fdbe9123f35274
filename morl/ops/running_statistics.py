"""Running mean and variance, for normalising observations and rewards."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes


class RunningStats(NamedTuple):
    """Mean and variance of a stream of vectors (n,), and how many there were.

    ``seen`` is float32: past 2**24 vectors it stops growing by ones, but batches still shift the mean.
    """

    mean: jax.Array
    var: jax.Array
    seen: jax.Array


def init(size: int) -> RunningStats:
    """Nothing seen yet; normalising with it changes nothing."""
    return RunningStats(jnp.zeros(size), jnp.ones(size), jnp.zeros(()))


def update(stats: RunningStats, batch: jax.Array, weight: jax.Array) -> RunningStats:
    """Fold in a batch (..., n) with weights (...) of 0 or 1 (Chan et al., 1979, pairwise update).

    A batch of weight 0 in all changes nothing.
    """
    batch, weight = batch.reshape(-1, batch.shape[-1]), weight.reshape(-1, 1)
    n = jnp.sum(weight)
    total = stats.seen + n
    share = n / jnp.maximum(total, 1.0)
    mean = jnp.sum(batch * weight, axis=0) / jnp.maximum(n, 1.0)
    var = jnp.sum((batch - mean[None]) ** 2 * weight, axis=0) / jnp.maximum(n, 1.0)
    delta = mean - stats.mean
    any_new = n > 0
    return RunningStats(
        jnp.where(any_new, stats.mean + delta * share, stats.mean),
        jnp.where(any_new, stats.var * (1 - share) + var * share + delta**2 * share * (1 - share), stats.var),
        total,
    )


def deviation(stats: RunningStats) -> jax.Array:
    """Standard deviations (n,); 1 for what does not vary, so that it can be divided by."""
    return jnp.where(stats.var > 1e-8, jnp.sqrt(stats.var), 1.0)


def normalise(stats: RunningStats, x: jax.Array, clip: float = 10.0) -> jax.Array:
    """``x`` (..., n) in standard deviations from the mean, clipped; a constant component is only centred."""
    mean, scale = (with_leading_axes(each, x.ndim) for each in (stats.mean, deviation(stats)))
    return jnp.clip((x - mean) / scale, -clip, clip)
