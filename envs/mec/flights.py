"""Uploads that last longer than the step they began in, and join their server within a later step."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.mec import sharing
from morl.envs.mec.sharing import Servers
from morl.ops.batching import batched, where_wanted

LANDED = 2**30  # step number that marks an empty slot, after the end of every episode
_FEW = (16, 8)  # uploads to a server, and tasks on it, that are seldom exceeded


class Flights(NamedTuple):
    """Uploads under way, at most F, in the order of their servers and, of one server, of their ends.

    Attributes:
        step: (F,) int32 step in which the upload ends; ``LANDED`` for none.
        offset: (F,) float32 seconds into that step at which the upload ends.
        server: (F,) int32 destination; S for none.
        size: (F,) float32 Mbit.
        soonest: () int32 first step in which an upload ends.
        number: (S,) int32 number of uploads to each server.
    """

    step: jax.Array
    offset: jax.Array
    server: jax.Array
    size: jax.Array
    soonest: jax.Array
    number: jax.Array


def none(capacity: int, num_servers: int) -> Flights:
    """Return ``capacity`` empty slots."""
    far, zeros = jnp.full(capacity, LANDED, jnp.int32), jnp.zeros(capacity, jnp.float32)
    nowhere = jnp.full(capacity, num_servers, jnp.int32)
    return Flights(far, zeros, nowhere, zeros, jnp.int32(LANDED), jnp.zeros(num_servers, jnp.int32))


class Upload(NamedTuple):
    """Upload of a task to a server.

    Attributes:
        server: () int32 destination.
        row: the server as it is now, S = 1.
        speed: () float32 Mbit/s of that server.
        seconds: () float32 duration of the upload.
        size: () float32 Mbit, 0 for no task.
    """

    server: jax.Array
    row: Servers
    speed: jax.Array
    seconds: jax.Array
    size: jax.Array


class Step(NamedTuple):
    """Servers within a step.

    Attributes:
        servers: each as it is ``clock`` seconds after the beginning of the step.
        clock: (S,) float32 seconds.
        flights: uploads under way.
        delay: () float32 seconds that the placed task adds to the total of its server's completion times.
        dropped: () int32 tasks lost because a server, or the table of uploads, was full.
    """

    servers: Servers
    clock: jax.Array
    flights: Flights
    delay: jax.Array
    dropped: jax.Array


def fly(step: Step, upload: Upload, put_off: jax.Array, now: jax.Array, step_s: jax.Array, speed: jax.Array) -> Step:
    """Process uploads in step ``now`` of ``step_s`` seconds, on servers of (S,) ``speed`` Mbit/s.

    The placed task is added to the uploads under way if ``put_off``, () bool. Then the uploads that end in this step
    join their servers.
    """
    delay = marginal_delay(step.delay, upload, step.flights, now, step_s)
    full = put_off & (step.flights.step[-1] != LANDED)
    flights = launch(step.flights, put_off & ~full, upload, now, step_s)
    return land(step._replace(flights=flights, delay=delay, dropped=step.dropped + full.astype(jnp.int32)), now, speed)


def launch(flights: Flights, put_off: jax.Array, upload: Upload, now: jax.Array, step_s: jax.Array) -> Flights:
    """Return the uploads plus one that begins at step ``now``; unchanged where ``put_off`` is false."""
    steps = jnp.minimum(jnp.floor(upload.seconds / step_s), 2.0**28)
    ends, offset = now + steps.astype(jnp.int32), jnp.maximum(upload.seconds - steps * step_s, 0.0)
    earlier = (flights.step < ends) | ((flights.step == ends) & (flights.offset <= offset))
    before = (flights.server < upload.server) | ((flights.server == upload.server) & earlier)
    place = jnp.where(put_off, jnp.sum(before, dtype=jnp.int32), len(before))
    each = jnp.arange(len(before), dtype=jnp.int32)

    def insert(column: jax.Array, value: jax.Array) -> jax.Array:
        return jnp.where(each < place, column, jnp.where(each == place, value, jnp.roll(column, 1)))

    return Flights(
        step=insert(flights.step, ends),
        offset=insert(flights.offset, offset),
        server=insert(flights.server, upload.server),
        size=insert(flights.size, upload.size),
        soonest=jnp.where(put_off, jnp.minimum(flights.soonest, ends), flights.soonest),
        number=flights.number.at[upload.server].add(put_off.astype(jnp.int32)),
    )


def land(step: Step, now: jax.Array, speed: jax.Array) -> Step:
    """Let all uploads that end in step ``now`` join their servers, those of one server in order of time."""
    landed: Step = batched(_land)(step, now, speed)
    return landed


def _land(step: Step, now: jax.Array, speed: jax.Array) -> Step:
    """Land the uploads of B systems, one of each system at a time."""

    def next_ones(step: Step) -> Step:
        return jax.vmap(_land_one)(step, now, speed)

    after: Step = jax.lax.while_loop(lambda step: jnp.any(step.flights.soonest == now), next_ones, step)
    return after


def _land_one(step: Step, now: jax.Array, speed: jax.Array) -> Step:
    """Let the first upload that ends in step ``now`` join its server, if there is any."""
    flights, num_servers = step.flights, len(speed)
    due = flights.soonest == now
    i = jnp.argmax(flights.step == now).astype(jnp.int32)
    server, at = jnp.where(due, flights.server[i], num_servers), flights.offset[i]
    there = jnp.minimum(server, num_servers - 1)
    row = sharing.row_of(step.servers, there)
    row = sharing.advance(row, jnp.where(due, jnp.maximum(at - step.clock[there], 0.0) * speed[there], 0.0)[None])
    row, full = sharing.add(row, flights.size[i])
    later = due & (jnp.arange(len(flights.step), dtype=jnp.int32) >= i)

    def remove(column: jax.Array, empty: int | float) -> jax.Array:
        following = jnp.roll(column, -1).at[-1].set(empty)
        return jnp.where(later, following, column)

    steps = remove(flights.step, LANDED)
    this = jnp.arange(num_servers, dtype=jnp.int32) == server
    return step._replace(
        servers=sharing.put_row(step.servers, server, row),
        clock=jnp.where(this, at, step.clock),
        flights=Flights(
            step=steps,
            offset=remove(flights.offset, 0.0),
            server=remove(flights.server, num_servers),
            size=remove(flights.size, 0.0),
            soonest=steps.min(),
            number=flights.number - this.astype(jnp.int32),
        ),
        dropped=step.dropped + (due & full).astype(jnp.int32),
    )


def marginal_delay(alone: jax.Array, upload: Upload, flights: Flights, now: jax.Array, step_s: jax.Array) -> jax.Array:
    """Return the seconds () that a task adds to the sum of completion times; ``alone`` if no other upload goes there.

    The server is simulated until it is idle, with the task and without, from event to event (an upload or a task that
    ends). The number of tasks, integrated over time, is the sum of their times.
    """
    delay: jax.Array = batched(_marginal_delay)(alone, upload, flights, now, step_s)
    return delay


def _marginal_delay(alone: jax.Array, upload: Upload, flights: Flights, now: jax.Array, step_s: jax.Array) -> jax.Array:
    """Return :func:`marginal_delay` (B,) of B systems; those with many tasks, which are rare, a few at a time."""
    uploads, running = len(flights.step[0]), upload.row.left.shape[2]
    there = jnp.take_along_axis(flights.number, upload.server[:, None], axis=1)[:, 0]
    met = (there > 0) & (upload.size > 0.0)
    few = met & (there <= _FEW[0]) & (upload.row.running[:, 0] <= _FEW[1])
    narrow = min(uploads, _FEW[0]), min(running, _FEW[1])
    delay = jnp.where(few, _simulate(few, upload, flights, now, step_s, *narrow), alone)

    def wide(_: jax.Array, *args: Any) -> jax.Array:
        simulated: jax.Array = batched(partial(_simulate, uploads=uploads, running=running))(jnp.bool_(True), *args)
        return simulated

    found: jax.Array = jax.vmap(where_wanted(wide))(met & ~few, delay, upload, flights, now, step_s)
    return found


def _simulate(
    wanted: jax.Array,
    upload: Upload,
    flights: Flights,
    now: jax.Array,
    step_s: jax.Array,
    uploads: int,
    running: int,
) -> jax.Array:
    """Return the seconds (B,) that B tasks add, where ``wanted`` (B,), on servers of so many uploads and running tasks.

    The systems are the last axis, along which reductions over tasks are vectorised.
    """
    Carry = tuple[jax.Array, jax.Array, jax.Array]
    each = jnp.arange(uploads, dtype=jnp.int32)[None]
    before = jnp.arange(flights.number.shape[1], dtype=jnp.int32)[None] < upload.server[:, None]
    first = jnp.sum(jnp.where(before, flights.number, 0), axis=1, keepdims=True, dtype=jnp.int32)
    number = jnp.take_along_axis(flights.number, upload.server[:, None], axis=1)
    ours = (each < number) & wanted[:, None]

    def pick(column: jax.Array) -> jax.Array:
        return column.at[jnp.arange(len(column), dtype=jnp.int32)[:, None], first + each].get(mode="clip")

    steps = (pick(flights.step) - now[:, None]).astype(jnp.float32) * step_s[:, None]
    joins = jnp.concatenate(
        [jnp.zeros((len(now), running), jnp.float32), steps + pick(flights.offset), upload.seconds[:, None]], axis=1
    ).T
    row = jax.tree.map(lambda x: x[:, 0], upload.row)
    last = Servers(row.left[:, row.left.shape[1] - running :], row.done, row.running)
    left = jnp.concatenate(
        [
            jnp.where(wanted[:, None], sharing.residuals(last), 0.0),
            jnp.where(ours, pick(flights.size), 0.0),
            jnp.where(wanted, upload.size, 0.0)[:, None],
        ],
        axis=1,
    ).T
    both = jnp.stack([left.at[-1].set(0.0), left])  # without the task and with it

    def until_next(carry: Carry) -> Carry:
        left, now, total = carry
        there = left > 0.0
        running = there & (joins <= now[None])[None]
        number = running.sum(axis=1, dtype=jnp.int32).astype(jnp.float32)
        shares = jnp.maximum(number, 1.0) / upload.speed[None]  # seconds a Mbit
        shortest = jnp.min(jnp.where(running, left, jnp.inf), axis=1)
        to_end = shortest * shares
        join = jnp.min(jnp.where(there[1] & (joins > now[None]), joins, jnp.inf), axis=0)
        counts = there.sum(axis=1, dtype=jnp.int32).astype(jnp.float32)
        passed = jnp.where(counts[1] > 0, jnp.minimum(jnp.minimum(to_end[0], to_end[1]), join - now), 0.0)
        got = jnp.where(to_end <= passed[None], shortest, passed[None] / shares)
        left = jnp.where(running, jnp.maximum(left - got[:, None], 0.0), left)
        total = total + passed * (counts[1] - counts[0])
        return left, jnp.where(join - now <= passed, join, now + passed), total

    zeros = jnp.zeros(len(now), jnp.float32)
    total: jax.Array = jax.lax.while_loop(lambda carry: jnp.any(carry[0] > 0.0), until_next, (both, zeros, zeros))[2]
    return total


def marginal_delays(
    alone: jax.Array, uploads: Upload, flights: Flights, now: jax.Array, step_s: jax.Array
) -> jax.Array:
    """Return :func:`marginal_delay` (S,) of an upload to each server."""
    return jax.vmap(marginal_delay, (0, 0, None, None, None))(alone, uploads, flights, now, step_s)
