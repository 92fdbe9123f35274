"""Running mean and variance, for normalising observations and rewards."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes


class RunningStats(NamedTuple):
    """Statistics of a stream of vectors (n,).

    Attributes:
        mean: (n,) mean.
        var: (n,) variance, without Bessel's correction.
        seen: () float32 number of vectors. From 2**24 on single vectors no longer raise it, but batches still do.
    """

    mean: jax.Array
    var: jax.Array
    seen: jax.Array


def init(size: int) -> RunningStats:
    """Return the statistics before the first vector, with mean 0 and variance 1: normalising by them only clips."""
    return RunningStats(jnp.zeros(size, jnp.float32), jnp.ones(size, jnp.float32), jnp.zeros((), jnp.float32))


def update(stats: RunningStats, batch: jax.Array, weight: jax.Array) -> RunningStats:
    """Return the statistics with a batch added, by the pairwise update of Chan et al. (1979).

    A batch whose weights are all 0 changes nothing.

    Args:
        stats: statistics so far.
        batch: (..., n) vectors.
        weight: (...) 0 or 1 for each vector, bool or float.
    """
    batch, weight = batch.reshape(-1, batch.shape[-1]), weight.reshape(-1, 1).astype(batch.dtype)
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
    """Return the standard deviations (n,) to divide by, 1 where the variance is at most 1e-8."""
    return jnp.where(stats.var > 1e-8, jnp.sqrt(stats.var), 1.0)


def normalise(stats: RunningStats, x: jax.Array, clip: float = 10.0) -> jax.Array:
    """Return ``x`` (..., n) in standard deviations from the mean, clipped; a constant component is only centred."""
    mean, scale = (with_leading_axes(each, x.ndim) for each in (stats.mean, deviation(stats)))
    return jnp.clip((x - mean) / scale, -clip, clip)
