"""Batch-wise Pareto selection (Lee et al., 2024, Parrot, arXiv 2401.05675, section 3.2), for episodes of a rollout.

Of the samples of a batch only the non-dominated ones are learnt from. A sample is here the part of an episode that is
in a rollout, and its vector how much more it returned than the critic expected: the luck of the start is no merit.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from morl.ops.returns import gae

BLOCK = 128  # samples that are compared with all others at a time


def episode_factors(
    delta_t: jax.Array,
    over_t: jax.Array,
    valid: jax.Array,
    group: jax.Array,
    groups: int,
    gamma: float,
    kind: Literal["hard", "soft"],
) -> tuple[jax.Array, jax.Array]:
    """Return what the advantages of the steps of a rollout are multiplied by, [T, B], and |P| / N, ().

    The vector of an episode's part is Σ γ^t δ_t with the temporal differences δ: its rewards and the value of where it
    was cut off, less the value of where it began.

    Args:
        delta_t: [T, B, R] temporal differences; 0 for lost steps.
        over_t: [T, B] bool, see :func:`morl.ops.returns.episode_over`.
        valid: [T, B] bool, False for lost steps.
        group: [T, B] int32, the same for all steps of an episode; episodes of different groups are not compared.
        groups: number of groups.
        gamma: γ.
        kind: as of :func:`selection_factors`.
    """
    begins = first_steps(over_t)
    points = gae(delta_t, over_t, gamma, 1.0)  # the vector of a part is that of its first step
    counted, flat_group = (begins & valid).ravel(), group.ravel()
    found = dominators(points.reshape(-1, points.shape[-1]), counted, flat_group)
    factors = selection_factors(found, counted, flat_group, groups, kind).reshape(begins.shape)

    def forward(held: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        begins, factor = step
        held = jnp.where(begins, factor, held)
        return held, held

    spread = jax.lax.scan(forward, factors[0], (begins, factors))[1]
    best, number = (jnp.sum(x, dtype=jnp.int32).astype(jnp.float32) for x in (counted & (found == 0), counted))
    return spread, best / jnp.maximum(number, 1.0)


def first_steps(over_t: jax.Array) -> jax.Array:
    """Return whether a part of an episode begins at each step of a rollout, [T, B] bool."""
    return jnp.concatenate([jnp.ones_like(over_t[:1]), over_t[:-1]])


def dominators(points: jax.Array, counted: jax.Array, group: jax.Array) -> jax.Array:
    """Return how many counted samples of the same group dominate each sample, (N,) int32.

    Args:
        points: (N, R), all maximised. One dominates another that it is at least as good as in all objectives and better
            than in one.
        counted: (N,) bool; the time grows with their number.
        group: (N,) int32; samples of different groups are not compared.
    """
    number, total = points.shape[0], jnp.sum(counted, dtype=jnp.int32)
    rows = jnp.full(number + BLOCK, number, jnp.int32)  # the counted ones in order, then none
    slot = jnp.where(counted, jnp.cumsum(counted, dtype=jnp.int32) - 1, len(rows))
    rows = rows.at[slot].set(jnp.arange(number, dtype=jnp.int32), mode="drop")

    def add(i: jax.Array, found: jax.Array) -> jax.Array:
        chosen = jax.lax.dynamic_slice(rows, (i * BLOCK,), (BLOCK,))
        known = chosen < number
        mine, same = points[chosen], group[chosen][:, None] == group[None]  # rows beyond the last are clipped to it
        no_worse = jnp.all(mine[:, None] >= points[None], axis=-1)
        better = jnp.any(mine[:, None] > points[None], axis=-1)
        return found + jnp.sum(no_worse & better & same & known[:, None], axis=0, dtype=jnp.int32)

    found: jax.Array = jax.lax.fori_loop(0, (total + BLOCK - 1) // BLOCK, add, jnp.zeros(number, jnp.int32))
    return found


def selection_factors(
    found: jax.Array, counted: jax.Array, group: jax.Array, groups: int, kind: Literal["hard", "soft"]
) -> jax.Array:
    """Return what the advantage of each sample is multiplied by, (N,) float32; 0 for samples that do not count.

    Args:
        found: (N,) int32 numbers of dominators.
        counted: (N,) bool.
        group: (N,) int32, below ``groups``.
        groups: number of groups.
        kind: hard, as published: 1[in P] N / |P| with the N samples of a group and its non-dominated ones P. soft:
            1 / (1 + number of dominators).
    """
    if kind == "soft":
        return jnp.where(counted, 1 / (1 + found.astype(jnp.float32)), 0.0)
    best = counted & (found == 0)
    numbers, bests = (jnp.zeros(groups, jnp.float32).at[group].add(x.astype(jnp.float32)) for x in (counted, best))
    return jnp.where(best, numbers[group] / jnp.maximum(bests[group], 1.0), 0.0)
