"""Servers that share their processor equally among the tasks they run, exactly and in continuous time.

n running tasks of a server each get 1/n of its speed. All lose what they have left at the same pace, so a row that is
sorted stays sorted: the next to finish is one lookup, and a new task is one shift. Nothing is sorted or searched.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.batching import batched

_COLUMNS = 8


class Servers(NamedTuple):
    """What S servers run, K tasks each at most.

    Attributes:
        left: (S, K) float32 Mbit, ascending; the last ``running`` of a row are what its tasks had left when ``done``
            was 0, the others hold nothing of worth and are at most ``done``.
        done: (S,) float32 Mbit that each task of a server has got since.
        running: (S,) int32 tasks.
    """

    left: jax.Array
    done: jax.Array
    running: jax.Array


def idle(num_servers: int, capacity: int) -> Servers:
    """Servers without tasks."""
    return Servers(jnp.zeros((num_servers, capacity)), jnp.zeros(num_servers), jnp.zeros(num_servers, jnp.int32))


def residuals(servers: Servers) -> jax.Array:
    """(S, K) Mbit each running task has left, ascending, zeros first."""
    capacity = servers.left.shape[1]
    runs = jnp.arange(capacity) >= capacity - servers.running[:, None]
    return jnp.where(runs, jnp.maximum(servers.left - servers.done[:, None], 0.0), 0.0)


def advance(servers: Servers, work: jax.Array) -> Servers:
    """Each server after (S,) Mbit of work, or idle when there was less to do."""
    rows, capacity = jnp.arange(servers.left.shape[0]), servers.left.shape[1]
    Carry = tuple[jax.Array, jax.Array, jax.Array]

    def busy(carry: Carry) -> jax.Array:
        _, running, work = carry
        return jnp.any((running > 0) & (work > 0.0))

    def until_one_ends(carry: Carry) -> Carry:
        done, running, work = carry
        first = servers.left[rows, jnp.minimum(capacity - running, capacity - 1)]
        need = jnp.maximum(first - done, 0.0) * running
        ends = (running > 0) & (need <= work)
        shared = done + work / jnp.maximum(running, 1)
        done = jnp.where(ends, jnp.maximum(first, done), jnp.where(running > 0, shared, done))
        return done, running - ends, jnp.where(ends, work - need, 0.0)

    done, running, _ = jax.lax.while_loop(busy, until_one_ends, (servers.done, servers.running, work))
    return Servers(servers.left, done, running)


def row_of(servers: Servers, server: jax.Array) -> Servers:
    """One server, as S = 1."""
    one: Servers = jax.tree.map(lambda x: x[server][None], servers)
    return one


def add(row: Servers, size: jax.Array) -> tuple[Servers, jax.Array]:
    """One server with a task more, and () bool: it was full, so that its shortest task was dropped."""
    capacity = row.left.shape[1]
    left = jnp.maximum(row.left - row.done[:, None], 0.0)
    following = jnp.concatenate([left[:, 1:], jnp.full((1, 1), jnp.inf)], axis=1)
    left = jnp.maximum(left, jnp.minimum(following, size))
    full = row.running[0] >= capacity
    return Servers(left, jnp.zeros(1), jnp.minimum(row.running + 1, capacity)), full


def put_row(servers: Servers, server: jax.Array, row: Servers) -> Servers:
    """Servers with one of them replaced; none where ``server`` is S."""
    this = jnp.arange(servers.left.shape[0]) == server  # a select: a scatter of one row takes longer
    put: Servers = jax.tree.map(lambda x, new: jnp.where(this.reshape(-1, *[1] * (x.ndim - 1)), new, x), servers, row)
    return put


def marginal_delay(row: Servers, size: jax.Array, speed: jax.Array) -> jax.Array:
    """() seconds that a task of ``size`` Mbit adds to the total of a server's completion times, its own included.

    It takes until each task is done or it is itself, whichever is less work, and holds up each by the same, so
    (size + 2 sum_i min(left_i, size)) / speed; the closed form of Yang et al. (2025), eq. 24 to 29.
    """
    return (size + 2.0 * jnp.sum(jnp.minimum(residuals(row), size))) / speed


def histogram(servers: Servers, bins: int) -> jax.Array:
    """(S, bins) float32 running tasks with [i, i + 1) Mbit left, the last bin open."""
    counts: jax.Array = batched(partial(_histograms, bins=bins))(servers)
    return counts


def _histograms(servers: Servers, bins: int) -> jax.Array:
    """Of B systems, (B, S, bins), a few columns of tasks at a time, as many as the busiest server takes."""
    batch, num_servers, capacity = servers.left.shape
    first_cell = bins * jnp.arange(batch * num_servers).reshape(batch, num_servers, 1)
    width = min(_COLUMNS, capacity)

    def more(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.max(servers.running) > width * carry[0]

    def next_columns(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        chunk, counts = carry
        # the last chunk starts at 0 where the columns do not divide: what was counted already is left out
        start = jnp.maximum(capacity - width * (chunk + 1), 0)
        left = jax.lax.dynamic_slice_in_dim(servers.left, start, width, axis=2) - servers.done[..., None]
        column = start + jnp.arange(width)
        runs = (column >= capacity - servers.running[..., None]) & (column < capacity - width * chunk)
        bin = jnp.clip(left.astype(jnp.int32), 0, bins - 1)
        cell = jnp.where(runs, first_cell + bin, counts.size)
        return chunk + 1, counts.at[cell.ravel()].add(1.0, mode="drop")

    counts = jax.lax.while_loop(more, next_columns, (jnp.int32(0), jnp.zeros(first_cell.size * bins)))[1]
    return counts.reshape(batch, num_servers, bins)
