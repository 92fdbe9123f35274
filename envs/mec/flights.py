"""Uploads that outlast the step they began in: when they end, they join their server between two steps."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.mec import sharing
from morl.envs.mec.sharing import Servers

LANDED = 2**30  # as a step: far after every episode


class Flights(NamedTuple):
    """Uploads under way, F at most.

    Attributes:
        step: (F,) int32 in which the upload ends; ``LANDED`` for none.
        offset: (F,) float32 seconds into that step.
        server: (F,) int32 it goes to.
        size: (F,) float32 Mbit.
    """

    step: jax.Array
    offset: jax.Array
    server: jax.Array
    size: jax.Array


def none(capacity: int) -> Flights:
    """No uploads."""
    zeros = jnp.zeros(capacity)
    return Flights(jnp.full(capacity, LANDED, jnp.int32), zeros, zeros.astype(jnp.int32), zeros)


def launch(
    flights: Flights,
    slot: jax.Array,
    now: jax.Array,
    upload: jax.Array,
    step_s: jax.Array,
    server: jax.Array,
    size: jax.Array,
) -> Flights:
    """With one more, which began at step ``now`` and takes ``upload`` seconds; no other when ``slot`` is F."""
    steps = jnp.minimum(jnp.floor(upload / step_s), 2.0**28)
    new = Flights(now + steps.astype(jnp.int32), jnp.maximum(upload - steps * step_s, 0.0), server, size)
    launched: Flights = jax.tree.map(lambda x, value: x.at[slot].set(value, mode="drop"), flights, new)
    return launched


class Landing(NamedTuple):
    """Servers in the middle of a step.

    Attributes:
        servers: each as it is ``clock`` seconds into the step.
        step: (F,) of the uploads.
        clock: (S,) float32 seconds.
        dropped: () int32 tasks that were pushed out for want of room.
    """

    servers: Servers
    step: jax.Array
    clock: jax.Array
    dropped: jax.Array


def land(before: Landing, flights: Flights, now: jax.Array, speed: jax.Array) -> Landing:
    """All uploads that end in step ``now`` join their servers of ``speed`` (S,) Mbit/s, in order."""

    def next_one(landing: Landing) -> Landing:
        servers, steps, clock, dropped = landing
        i = jnp.argmin(jnp.where(steps == now, flights.offset, jnp.inf))
        server, at = flights.server[i], flights.offset[i]
        row = sharing.row_of(servers, server)
        row = sharing.advance(row, jnp.maximum(at - clock[server], 0.0)[None] * speed[server])
        row, full = sharing.add(row, flights.size[i])
        servers = sharing.put_row(servers, server, row)
        return Landing(servers, steps.at[i].set(LANDED), clock.at[server].set(at), dropped + full)

    after: Landing = jax.lax.while_loop(lambda landing: jnp.any(landing.step == now), next_one, before)
    return after


def marginal_delay(
    row: Servers,
    flights: Flights,
    server: jax.Array,
    now: jax.Array,
    step_s: jax.Array,
    upload: jax.Array,
    size: jax.Array,
    speed: jax.Array,
) -> jax.Array:
    """() seconds a new task adds to the total of its server's completion times, with uploads to it under way.

    The server (``row``, as it is now) runs dry twice, with the task and without, from event to event (an upload or a
    task that ends). The number of tasks there are, integrated over time, is the total of their times.
    """
    Carry = tuple[jax.Array, jax.Array, jax.Array]
    ours = (flights.step != LANDED) & (flights.server == server)
    joins = jnp.concatenate(
        [jnp.zeros(row.left.shape[1]), (flights.step - now) * step_s + flights.offset, upload[None]]
    )
    left = jnp.concatenate([sharing.residuals(row)[0], jnp.where(ours, flights.size, 0.0)])
    both = jnp.stack([jnp.append(left, 0.0), jnp.append(left, size)])

    def until_next(carry: Carry) -> Carry:
        left, now, total = carry
        there = left > 0.0
        running = there & (joins <= now)
        shares = jnp.maximum(running.sum(axis=1), 1) / speed  # seconds a Mbit
        shortest = jnp.min(jnp.where(running, left, jnp.inf), axis=1)
        to_end = shortest * shares
        join = jnp.min(jnp.where(there & (joins > now), joins, jnp.inf))
        passed = jnp.minimum(jnp.min(to_end), join - now)
        got = jnp.where(to_end <= passed, shortest, passed / shares)
        left = jnp.where(running, jnp.maximum(left - got[:, None], 0.0), left)
        counts = there.sum(axis=1)
        total = total + passed * (counts[1] - counts[0])
        return left, jnp.where(join - now <= passed, join, now + passed), total

    zero = jnp.float32(0.0)
    total: jax.Array = jax.lax.while_loop(lambda carry: jnp.any(carry[0] > 0.0), until_next, (both, zero, zero))[2]
    return total


def marginal_delays(
    simple: jax.Array,
    servers: Servers,
    flights: Flights,
    now: jax.Array,
    step_s: jax.Array,
    upload: jax.Array,
    size: jax.Array,
    speed: jax.Array,
) -> jax.Array:
    """(S,) :func:`marginal_delay` of placing a task on each server; ``simple`` (S,) where nothing uploads to it."""

    def one(value: jax.Array, server: jax.Array) -> jax.Array:
        aloft = jnp.any((flights.step != LANDED) & (flights.server == server)) & (speed[server] > 0)
        none = jax.tree.map(jnp.zeros_like, flights)._replace(step=jnp.full_like(flights.step, LANDED))
        there = jax.tree.map(lambda x, y: jnp.where(aloft, x, y), flights, none)
        row = sharing.row_of(servers, server)
        upload_s, size_left = jnp.where(aloft, upload[server], 0.0), jnp.where(aloft, size, 0.0)
        row = row._replace(running=jnp.where(aloft, row.running, 0))
        delay = marginal_delay(row, there, server, now, step_s, upload_s, size_left, jnp.maximum(speed[server], 1e-9))
        return jnp.where(aloft, delay, value)

    return jax.vmap(one)(simple, jnp.arange(len(simple)))
