"""Servers that share their processor equally among the tasks they run, exactly and in continuous time.

Each of the n running tasks of a server gets 1/n of its speed. The work left of all tasks shrinks at the same rate, so
that a sorted row stays sorted: the next task to finish is one lookup, and adding a task is one shift.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import batched

_COLUMNS = 8


class Servers(NamedTuple):
    """Tasks on S servers, at most K each.

    Attributes:
        left: (S, K) float32 Mbit, ascending. The last ``running`` entries of a row are the work left of its tasks when
            ``done`` was 0; the other entries are unused.
        done: (S,) float32 Mbit executed of each task of a server since then.
        running: (S,) int32 number of tasks.
    """

    left: jax.Array
    done: jax.Array
    running: jax.Array


def idle(num_servers: int, capacity: int) -> Servers:
    """Return servers without tasks."""
    return Servers(
        jnp.zeros((num_servers, capacity), jnp.float32),
        jnp.zeros(num_servers, jnp.float32),
        jnp.zeros(num_servers, jnp.int32),
    )


def residuals(servers: Servers) -> jax.Array:
    """Return the Mbit (S, K) left of each running task, ascending, zeros first."""
    capacity = servers.left.shape[1]
    runs = jnp.arange(capacity, dtype=jnp.int32)[None] >= capacity - servers.running[:, None]
    return jnp.where(runs, jnp.maximum(servers.left - servers.done[:, None], 0.0), 0.0)


def advance(servers: Servers, work: jax.Array) -> Servers:
    """Return the servers after (S,) Mbit of work each, idle where there was less to do."""
    done, running = batched(_advance)(*servers, work)
    return Servers(servers.left, done, running)


def _advance(left: jax.Array, done: jax.Array, running: jax.Array, work: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return ``done`` and ``running`` (B, S) of B systems after ``work`` (B, S), from one task's end to the next."""
    capacity = left.shape[2]
    left, row_end = left.ravel(), capacity * (1 + jnp.arange(done.size, dtype=jnp.int32).reshape(done.shape))
    Carry = tuple[jax.Array, jax.Array, jax.Array]

    def busy(carry: Carry) -> jax.Array:
        _, running, work = carry
        return jnp.any((running > 0) & (work > 0.0))

    def until_one_ends(carry: Carry) -> Carry:
        done, running, work = carry
        first = left.at[row_end - jnp.maximum(running, 1)].get(mode="promise_in_bounds")
        number = running.astype(jnp.float32)
        need = jnp.maximum(first - done, 0.0) * number
        ends = (running > 0) & (need <= work)
        shared = done + work / jnp.maximum(number, 1.0)
        done = jnp.where(ends, jnp.maximum(first, done), jnp.where(running > 0, shared, done))
        return done, running - ends.astype(jnp.int32), jnp.where(ends, work - need, 0.0)

    done, running, _ = jax.lax.while_loop(busy, until_one_ends, (done, running, work))
    return done, running


def row_of(servers: Servers, server: jax.Array) -> Servers:
    """Return one server, as servers with S = 1."""
    one: Servers = jax.tree.map(lambda x: x[server][None], servers)
    return one


def add(row: Servers, size: jax.Array) -> tuple[Servers, jax.Array]:
    """Add a task of ``size`` Mbit to one server.

    Returns:
        The server, and () bool: True if it was full, so that its shortest task was dropped.
    """
    capacity = row.left.shape[1]
    left = residuals(row)
    following = jnp.concatenate([left[:, 1:], jnp.full((1, 1), jnp.inf, jnp.float32)], axis=1)
    left = jnp.maximum(left, jnp.minimum(following, size))
    full = row.running[0] >= capacity
    return Servers(left, jnp.zeros(1, jnp.float32), jnp.minimum(row.running + 1, capacity)), full


def put_row(servers: Servers, server: jax.Array, row: Servers) -> Servers:
    """Return the servers with one of them replaced, unchanged where ``server`` is S."""
    this = jnp.arange(servers.left.shape[0], dtype=jnp.int32) == server
    return Servers(
        batched(_put_rows)(servers.left, server, row.left[0], row.running[0]),
        jnp.where(this, row.done, servers.done),
        jnp.where(this, row.running, servers.running),
    )


def _put_rows(left: jax.Array, server: jax.Array, row: jax.Array, running: jax.Array) -> jax.Array:
    """Return ``left`` (B, S, K) of B systems with a row replaced.

    Copies only the columns that the fullest row uses, by selects, which are faster here than scatters.
    """
    num_servers, capacity = left.shape[1:]
    width = min(_COLUMNS, capacity)
    this = (jnp.arange(num_servers, dtype=jnp.int32)[None] == server[:, None])[..., None]
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
    """Return the seconds () that a task of ``size`` Mbit adds to a server's completion times, its own included.

    The task and each other task i delay each other by min(left_i, size) / speed, so the sum grows by
    (size + 2 sum_i min(left_i, size)) / speed: the closed form of Yang et al. (2025), eq. 24 to 29.
    """
    held_up = jnp.minimum(residuals(row)[0], size)
    total = jnp.dot(held_up, jnp.ones(len(held_up), jnp.float32), precision="highest")
    return (size + 2.0 * total) / speed


def count(cells: jax.Array, servers: Servers, first: int) -> jax.Array:
    """Return ``cells`` (S, C) plus the histogram of the work left of running tasks, from column ``first`` on.

    Column ``first + i`` counts the tasks with [i, i + 1) Mbit left, the last column all with more.
    """
    counted: jax.Array = batched(partial(_count, first=first))(cells, servers)
    return counted


def _count(cells: jax.Array, servers: Servers, first: int) -> jax.Array:
    """Return the cells (B, S, C) of B systems, a few columns of tasks at a time up to those of the fullest server."""
    (batch, num_servers, capacity), columns = servers.left.shape, cells.shape[2]
    row_start = first + columns * jnp.arange(batch * num_servers, dtype=jnp.int32).reshape(batch, num_servers, 1)
    width = min(_COLUMNS, capacity)

    def more(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.max(servers.running) > width * carry[0]

    def next_columns(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        chunk, cells = carry
        # where the columns do not divide, the last chunk starts at 0 and skips the columns counted before
        start = jnp.maximum(capacity - width * (chunk + 1), 0)
        left = jax.lax.dynamic_slice_in_dim(servers.left, start, width, axis=2) - servers.done[..., None]
        column = start + jnp.arange(width, dtype=jnp.int32)[None, None]
        runs = (column >= capacity - servers.running[..., None]) & (column < capacity - width * chunk)
        bin = jnp.clip(left.astype(jnp.int32), 0, columns - first - 1)
        cell = jnp.where(runs, row_start + bin, cells.size)
        return chunk + 1, cells.ravel().at[cell.ravel()].add(1.0, mode="drop").reshape(cells.shape)

    return jax.lax.while_loop(more, next_columns, (jnp.int32(0), cells))[1]
