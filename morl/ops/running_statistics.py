"""Running mean and variance, for normalising observations and rewards, in any unit that float32 can hold.

Nothing here depends on the unit of what is seen. Variances are kept in squares of a power of two near the largest value
seen, so that squares neither overflow nor vanish; a power of two changes no digit. A deviation below what float32
resolves at the mean is none.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import with_leading_axes
from morl.ops.units import CLOSE, RESOLVED, power_of_two


class RunningStats(NamedTuple):
    """Statistics of a stream of vectors (n,).

    Attributes:
        mean: (n,) mean.
        var: (n,) variance, without Bessel's correction, in squares of ``unit``; see :func:`deviation`.
        seen: () float32 number of vectors. From 2**24 on single vectors no longer raise it, but batches still do.
        unit: (n,) power of two at most the largest absolute value seen.
    """

    mean: jax.Array
    var: jax.Array
    seen: jax.Array
    unit: jax.Array


def init(size: int) -> RunningStats:
    """Return the statistics before the first vector, with mean 0 and variance 1: normalising by them only clips."""
    var, unit = jnp.ones(size, jnp.float32), jnp.ones(size, jnp.float32)  # two buffers, as they may be donated
    return RunningStats(jnp.zeros(size, jnp.float32), var, jnp.zeros((), jnp.float32), unit)


def update(stats: RunningStats, batch: jax.Array, weight: jax.Array) -> RunningStats:
    """Return the statistics with a batch added, by the pairwise update of Chan et al. (1979).

    A batch whose weights are all 0 changes nothing.

    Args:
        stats: statistics so far.
        batch: (..., n) vectors.
        weight: (...) 0 or 1 for each vector, bool or float.
    """
    weight = weight.reshape(-1, 1).astype(jnp.float32)
    batch = batch.reshape(-1, batch.shape[-1]) * weight
    n = jnp.sum(weight)
    total = stats.seen + n
    share = n / jnp.maximum(total, 1.0)
    largest = power_of_two(jnp.max(jnp.abs(batch), axis=0))
    unit = jnp.where(stats.seen > 0, jnp.maximum(largest, stats.unit), largest)
    batch = batch / unit[None]
    mean = jnp.sum(batch, axis=0) / jnp.maximum(n, 1.0)
    var = jnp.sum((batch - mean[None]) ** 2 * weight, axis=0) / jnp.maximum(n, 1.0)
    mean, var = _without_rounding(batch, weight, n, mean, var)
    before = stats.mean / unit
    var_before = stats.var * jnp.minimum(stats.unit / unit, 1.0) ** 2
    delta = mean - before
    any_new = n > 0
    return RunningStats(
        jnp.where(any_new, (before + delta * share) * unit, stats.mean),
        jnp.where(any_new, var_before * (1 - share) + var * share + delta**2 * share * (1 - share), stats.var),
        total,
        jnp.where(any_new, unit, stats.unit),
    )


def _without_rounding(
    batch: jax.Array, weight: jax.Array, n: jax.Array, mean: jax.Array, var: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return mean and variance (n,) less the rounding of a long sum, where the values lie close together.

    So a constant has exactly its value as mean, and no variance.
    """
    error = jnp.sum((batch - mean[None]) * weight, axis=0) / jnp.maximum(n, 1.0)
    close = jnp.sqrt(var) < CLOSE * jnp.abs(mean)
    return jnp.where(close, mean + error, mean), jnp.where(close, jnp.maximum(var - error**2, 0.0), var)


def deviation(stats: RunningStats) -> jax.Array:
    """Return the standard deviations (n,) to divide by.

    Where there is none, as float32 resolves it at the mean, it is the absolute mean; and 1 where that is 0 as well.
    """
    found, size = jnp.sqrt(stats.var) * stats.unit, jnp.abs(stats.mean)
    return jnp.where(found > RESOLVED * size, found, jnp.where(size > 0, size, 1.0))


def normalise(stats: RunningStats, x: jax.Array, clip: float = 10.0) -> jax.Array:
    """Return ``x`` (..., n) in standard deviations from the mean, clipped; a constant component is 0."""
    mean, scale = (with_leading_axes(each, x.ndim) for each in (stats.mean, deviation(stats)))
    return jnp.clip((x - mean) / scale, -clip, clip)
