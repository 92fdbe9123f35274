"""Servers that share their processor equally among the tasks they run, exactly and in continuous time.

n running tasks of a server each get 1/n of its speed. All lose what they have left at the same pace, so a row that is
sorted stays sorted: the next to finish is one lookup, and a new task is one shift. Nothing is sorted or searched.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import batched

_COLUMNS = 8


class Servers(NamedTuple):
    """What S servers run, K tasks each at most.

    Attributes:
        left: (S, K) float32 Mbit, ascending; the last ``running`` of a row are what its tasks had left when ``done``
            was 0, the others hold nothing of worth.
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
    runs = jnp.arange(capacity)[None] >= capacity - servers.running[:, None]
    return jnp.where(runs, jnp.maximum(servers.left - servers.done[:, None], 0.0), 0.0)


def advance(servers: Servers, work: jax.Array) -> Servers:
    """Each server after (S,) Mbit of work, or idle when there was less to do."""
    done, running = batched(_advance)(*servers, work)
    return Servers(servers.left, done, running)


def _advance(left: jax.Array, done: jax.Array, running: jax.Array, work: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of B systems, ``done`` and ``running`` (B, S); from one task's end to the next, as often as the busiest takes."""
    capacity = left.shape[2]
    left, row_end = left.ravel(), capacity * (1 + jnp.arange(done.size).reshape(done.shape))
    Carry = tuple[jax.Array, jax.Array, jax.Array]

    def busy(carry: Carry) -> jax.Array:
        _, running, work = carry
        return jnp.any((running > 0) & (work > 0.0))

    def until_one_ends(carry: Carry) -> Carry:
        done, running, work = carry
        first = left.at[row_end - jnp.maximum(running, 1)].get(mode="promise_in_bounds")
        need = jnp.maximum(first - done, 0.0) * running
        ends = (running > 0) & (need <= work)
        shared = done + work / jnp.maximum(running, 1)
        done = jnp.where(ends, jnp.maximum(first, done), jnp.where(running > 0, shared, done))
        return done, running - ends, jnp.where(ends, work - need, 0.0)

    done, running, _ = jax.lax.while_loop(busy, until_one_ends, (done, running, work))
    return done, running


def row_of(servers: Servers, server: jax.Array) -> Servers:
    """One server, as S = 1."""
    one: Servers = jax.tree.map(lambda x: x[server][None], servers)
    return one


def add(row: Servers, size: jax.Array) -> tuple[Servers, jax.Array]:
    """One server with a task more, and () bool: it was full, so that its shortest task was dropped."""
    capacity = row.left.shape[1]
    left = residuals(row)
    following = jnp.concatenate([left[:, 1:], jnp.full((1, 1), jnp.inf)], axis=1)
    left = jnp.maximum(left, jnp.minimum(following, size))
    full = row.running[0] >= capacity
    return Servers(left, jnp.zeros(1), jnp.minimum(row.running + 1, capacity)), full


def put_row(servers: Servers, server: jax.Array, row: Servers) -> Servers:
    """Servers with one of them replaced; none where ``server`` is S."""
    this = jnp.arange(servers.left.shape[0]) == server
    return Servers(
        batched(_put_rows)(servers.left, server, row.left[0], row.running[0]),
        jnp.where(this, row.done, servers.done),
        jnp.where(this, row.running, servers.running),
    )


def _put_rows(left: jax.Array, server: jax.Array, row: jax.Array, running: jax.Array) -> jax.Array:
    """Of B systems, (B, S, K), those columns alone that the busiest row takes: selects, as scatters take longer."""
    num_servers, capacity = left.shape[1:]
    width = min(_COLUMNS, capacity)
    this = (jnp.arange(num_servers)[None] == server[:, None])[..., None]
    most = jnp.max(jnp.where(server < num_servers, running, 0))

    def next_columns(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        chunk, left = carry
        start = jnp.maximum(capacity - width * (chunk + 1), 0)
        old = jax.lax.dynamic_slice_in_dim(left, start, width, axis=2)
        new = jax.lax.dynamic_slice_in_dim(row, start, width, axis=1)[:, None]
        return chunk + 1, jax.lax.dynamic_update_slice_in_dim(left, jnp.where(this, new, old), start, axis=2)

    put: jax.Array = jax.lax.while_loop(lambda carry: most > width * carry[0], next_columns, (jnp.int32(0), left))[1]
    return put


def marginal_delay(row: Servers, size: jax.Array, speed: jax.Array) -> jax.Array:
    """() seconds that a task of ``size`` Mbit adds to the total of a server's completion times, its own included.

    It takes until each task is done or it is itself, whichever is less work, and holds up each by the same, so
    (size + 2 sum_i min(left_i, size)) / speed; the closed form of Yang et al. (2025), eq. 24 to 29.
    """
    held_up = jnp.minimum(residuals(row)[0], size) @ jnp.ones(row.left.shape[1])
    return (size + 2.0 * held_up) / speed


def count(cells: jax.Array, servers: Servers, first: int) -> jax.Array:
    """(S, C) ``cells`` with the histogram of what running tasks have left added from column ``first`` on.

    A column counts the tasks with [i, i + 1) Mbit left, the last one all that have more.
    """
    counted: jax.Array = batched(partial(_count, first=first))(cells, servers)
    return counted


def _count(cells: jax.Array, servers: Servers, first: int) -> jax.Array:
    """Of B systems, (B, S, C), a few columns of tasks at a time, as many as the busiest server takes."""
    (batch, num_servers, capacity), columns = servers.left.shape, cells.shape[2]
    row_start = first + columns * jnp.arange(batch * num_servers).reshape(batch, num_servers, 1)
    width = min(_COLUMNS, capacity)

    def more(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.max(servers.running) > width * carry[0]

    def next_columns(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        chunk, cells = carry
        # the last chunk starts at 0 where the columns do not divide: what was counted already is left out
        start = jnp.maximum(capacity - width * (chunk + 1), 0)
        left = jax.lax.dynamic_slice_in_dim(servers.left, start, width, axis=2) - servers.done[..., None]
        column = start + jnp.arange(width)[None, None]
        runs = (column >= capacity - servers.running[..., None]) & (column < capacity - width * chunk)
        bin = jnp.clip(left.astype(jnp.int32), 0, columns - first - 1)
        cell = jnp.where(runs, row_start + bin, cells.size)
        return chunk + 1, cells.ravel().at[cell.ravel()].add(1.0, mode="drop").reshape(cells.shape)

    return jax.lax.while_loop(more, next_columns, (jnp.int32(0), cells))[1]
