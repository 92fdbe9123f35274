"""Gradient of a batch by parts of it: small ones that stay in cache, half of them on each of two cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from morl.agents.sac.types import Draw, Fit
from morl.types import PyTree

Keys = Sequence[jax.Array]


def in_chunks(
    fit_of: Callable[[Draw, Keys], Fit], draw: Draw, keys: Keys, size: int, batch_axis: str | None = None
) -> Fit:
    """Return what ``fit_of`` gives for N drawn transitions, from calls for ``size`` of them at a time.

    Means are those over all transitions of weight 1, up to rounding. Each call has random numbers of its own, so that
    actions that are drawn differ with the size. Both halves of the calls are added up by themselves, wherever they run.

    Args:
        fit_of: maps drawn transitions and keys to their fit.
        draw: of N transitions.
        keys: of all random numbers.
        size: divides N / 2, or is N itself: then there is one call.
        batch_axis: axis of two devices, a half each; None for both halves on one.
    """
    number = len(draw.place) // size
    if number == 1:
        return fit_of(draw, keys)
    parts = draw, jnp.arange(len(draw.place), step=size, dtype=jnp.int32)
    halves = jax.tree.map(lambda x: x.reshape(2, number // 2, *x.shape[1:]), (_split(draw, number), parts[1]))
    shapes = jax.eval_shape(fit_of, jax.tree.map(lambda x: x[0, 0], halves[0]), keys).mean
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: PyTree, part: tuple[Draw, jax.Array]) -> tuple[PyTree, Fit]:
        drawn, place = part
        fit: Any = fit_of(drawn, [jax.random.fold_in(key, place) for key in keys])
        weight = jnp.sum(fit.weight)
        return jax.tree.map(lambda so_far, x: so_far + weight * x, total, fit.mean), fit._replace(mean=())

    def half(parts: tuple[Draw, jax.Array]) -> tuple[jax.Array, Fit]:
        total, fits = jax.lax.scan(add, zeros, parts)
        return ravel_pytree(total)[0], fits

    fits: Any
    if batch_axis is None:
        totals, fits = jax.lax.map(half, halves)
        total = totals[0] + totals[1]
    else:
        mine, fits = half(jax.tree.map(lambda x: x[jax.lax.axis_index(batch_axis)], halves))
        total, fits = jax.lax.psum(mine, batch_axis), jax.lax.all_gather(fits, batch_axis)
    fits = jax.tree.map(lambda x: x.reshape(number * size, *x.shape[3:]), fits)
    weight = jnp.maximum(jnp.sum(fits.weight), 1.0)
    whole: Fit = fits._replace(mean=ravel_pytree(zeros)[1](total / weight))
    return whole


def _split(draw: Draw, number: int) -> Draw:
    """Split the leading axis into so many parts."""
    split: Draw = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), draw)
    return split
