"""Uploads that last longer than the step they began in, and join their server within a later step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.mec import sharing
from morl.envs.mec.sharing import Servers

LANDED = 2**30  # step number that marks an empty slot, after the end of every episode


class Flights(NamedTuple):
    """Uploads under way, at most F.

    Attributes:
        step: (F,) int32 step in which the upload ends; ``LANDED`` for none.
        offset: (F,) float32 seconds into that step at which the upload ends.
        server: (F,) int32 destination.
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
    zeros, far = jnp.zeros(capacity, jnp.float32), jnp.int32(LANDED)
    whole = zeros.astype(jnp.int32)
    return Flights(whole + far, zeros, whole, zeros, far, jnp.zeros(num_servers, jnp.int32))


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
        dropped: () int32 tasks lost because a server was full.
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
    met = step.flights.number[upload.server] > 0
    delay = jnp.where(
        met & (upload.size > 0), marginal_delay(_where_met(met, upload), step.flights, now, step_s), step.delay
    )
    slot = now % len(step.flights.step)
    occupied = put_off & (step.flights.step[slot] != LANDED)
    flights = launch(step.flights, jnp.where(put_off & ~occupied, slot, len(step.flights.step)), upload, now, step_s)
    return land(
        step._replace(flights=flights, delay=delay, dropped=step.dropped + occupied.astype(jnp.int32)), now, speed
    )


def launch(flights: Flights, slot: jax.Array, upload: Upload, now: jax.Array, step_s: jax.Array) -> Flights:
    """Return the uploads plus one that begins at step ``now``; unchanged where ``slot`` is F."""
    steps = jnp.minimum(jnp.floor(upload.seconds / step_s), 2.0**28)
    ends, offset = now + steps.astype(jnp.int32), jnp.maximum(upload.seconds - steps * step_s, 0.0)
    there = slot < len(flights.step)
    return Flights(
        step=flights.step.at[slot].set(ends, mode="drop"),
        offset=flights.offset.at[slot].set(offset, mode="drop"),
        server=flights.server.at[slot].set(upload.server, mode="drop"),
        size=flights.size.at[slot].set(upload.size, mode="drop"),
        soonest=jnp.where(there, jnp.minimum(flights.soonest, ends), flights.soonest),
        number=flights.number.at[upload.server].add(there.astype(jnp.int32)),
    )


def land(step: Step, now: jax.Array, speed: jax.Array) -> Step:
    """Let all uploads that end in step ``now`` join their servers, in order of time."""

    def next_one(step: Step) -> Step:
        servers, clock, flights, _, dropped = step
        i = jnp.argmin(jnp.where(flights.step == now, flights.offset, jnp.inf))
        server, at = flights.server[i], flights.offset[i]
        row = sharing.row_of(servers, server)
        row = sharing.advance(row, jnp.maximum(at - clock[server], 0.0)[None] * speed[server])
        row, full = sharing.add(row, flights.size[i])
        return step._replace(
            servers=jax.tree.map(lambda x, new: x.at[server].set(new[0]), servers, row),
            clock=clock.at[server].set(at),
            flights=flights._replace(step=flights.step.at[i].set(LANDED), number=flights.number.at[server].add(-1)),
            dropped=dropped + full.astype(jnp.int32),
        )

    after: Step = jax.lax.while_loop(lambda step: jnp.any(step.flights.step == now), next_one, step)
    return after._replace(flights=after.flights._replace(soonest=after.flights.step.min()))


def marginal_delay(upload: Upload, flights: Flights, now: jax.Array, step_s: jax.Array) -> jax.Array:
    """Return the seconds () that a task adds to the sum of completion times, with other uploads to its server.

    The server is simulated until it is idle, with the task and without, from event to event (an upload or a task that
    ends). The number of tasks, integrated over time, is the sum of their times.
    """
    Carry = tuple[jax.Array, jax.Array, jax.Array]
    row = upload.row
    ours = (flights.step != LANDED) & (flights.server == upload.server)
    joins = jnp.concatenate(
        [
            jnp.zeros(row.left.shape[1], jnp.float32),
            (flights.step - now).astype(jnp.float32) * step_s + flights.offset,
            upload.seconds[None],
        ]
    )
    left = jnp.concatenate([sharing.residuals(row)[0], jnp.where(ours, flights.size, 0.0)])
    both = jnp.stack([jnp.append(left, jnp.float32(0.0)), jnp.append(left, upload.size)])

    def until_next(carry: Carry) -> Carry:
        left, now, total = carry
        there = left > 0.0
        running = there & (joins <= now)[None]
        number = running.sum(axis=1, dtype=jnp.int32).astype(jnp.float32)
        shares = jnp.maximum(number, 1.0) / upload.speed  # seconds a Mbit
        shortest = jnp.min(jnp.where(running, left, jnp.inf), axis=1)
        to_end = shortest * shares
        join = jnp.min(jnp.where(there & (joins > now)[None], joins[None], jnp.inf))
        passed = jnp.minimum(jnp.min(to_end), join - now)
        got = jnp.where(to_end <= passed, shortest, passed / shares)
        left = jnp.where(running, jnp.maximum(left - got[:, None], 0.0), left)
        counts = there.sum(axis=1, dtype=jnp.int32).astype(jnp.float32)
        total = total + passed * (counts[1] - counts[0])
        return left, jnp.where(join - now <= passed, join, now + passed), total

    zero = jnp.float32(0.0)
    total: jax.Array = jax.lax.while_loop(lambda carry: jnp.any(carry[0] > 0.0), until_next, (both, zero, zero))[2]
    return total


def _where_met(met: jax.Array, upload: Upload) -> Upload:
    """Return the upload where others go to its server; elsewhere an empty one, which needs no simulation."""
    row = upload.row._replace(running=jnp.where(met, upload.row.running, 0))
    speed = jnp.where(met, upload.speed, 1.0)
    return Upload(upload.server, row, speed, jnp.where(met, upload.seconds, 0.0), jnp.where(met, upload.size, 0.0))


def marginal_delays(
    simple: jax.Array, flights: Flights, uploads: Upload, now: jax.Array, step_s: jax.Array
) -> jax.Array:
    """Return :func:`marginal_delay` (S,) of an upload to each server; ``simple`` (S,) where no other goes to it."""

    def one(simple: jax.Array, upload: Upload) -> jax.Array:
        met = flights.number[upload.server] > 0
        return jnp.where(met, marginal_delay(_where_met(met, upload), flights, now, step_s), simple)

    return jax.vmap(one)(simple, uploads)
