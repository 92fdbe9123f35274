"""Uploads that last longer than the step they began in, and join their server within a later step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.mec import sharing
from morl.envs.mec.sharing import Servers
from morl.ops.batching import batched, where_wanted

LANDED = 2**30  # step number that marks an empty slot, after the end of every episode
_FEW_SYSTEMS = 8  # for so many, code for small servers is not worth its compilation
_TIERS = ((8, 8), (32, 16))  # uploads to a server, and tasks on it, that are seldom and very seldom exceeded


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

    A task that joins others adds :func:`.sharing.marginal_delay` to the sum. So the sums with and without this task
    differ by what it adds itself and by what it makes later uploads add.
    """
    delay: jax.Array = batched(_marginal_delay)(alone, upload, flights, now, step_s)
    return delay


def _marginal_delay(alone: jax.Array, upload: Upload, flights: Flights, now: jax.Array, step_s: jax.Array) -> jax.Array:
    """Return :func:`marginal_delay` (B,) of B systems; those with many tasks, which are rare, a few at a time."""
    uploads = jnp.take_along_axis(flights.number, upload.server[:, None], axis=1)[:, 0]
    running = upload.row.running[:, 0]
    most = len(flights.step[0]), upload.row.left.shape[2]
    delay, undone = alone, (uploads > 0) & (upload.size > 0.0)
    tiers = (most,) if len(alone) <= _FEW_SYSTEMS else (*_TIERS, most)
    for tier in tiers:
        wanted = undone & (uploads <= tier[0]) & (running <= tier[1])
        added = partial(_added, uploads=min(tier[0], most[0]), running=min(tier[1], most[1]))
        args = (wanted, upload, flights, now, step_s)
        if tier == tiers[0]:
            delay = jnp.where(wanted, added(*args), delay)
        else:
            delay = jax.vmap(where_wanted(_without_value(batched(added))))(wanted, delay, *args)
        undone = undone & ~wanted
    return delay


def _without_value(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return a function that ignores its first argument."""
    return lambda _, *args: function(*args)


def _added(
    wanted: jax.Array,
    upload: Upload,
    flights: Flights,
    now: jax.Array,
    step_s: jax.Array,
    uploads: int,
    running: int,
) -> jax.Array:
    """Return the seconds (B,) that B tasks add, where ``wanted`` (B,), to servers of so many uploads and running tasks.

    Goes from one join to the next. Rows are the M = running + uploads + 1 tasks of a server, in the order in which they
    join; columns are the B systems without the task, and then those with it. Reductions over rows are products with
    ones, which are faster here.
    """
    Carry = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
    batch, rows = len(now), running + uploads + 1
    over_rows = partial(jnp.matmul, jnp.ones(rows, jnp.float32), precision="highest")
    before = jnp.arange(flights.number.shape[1], dtype=jnp.int32)[None] < upload.server[:, None]
    first = jnp.sum(jnp.where(before, flights.number, 0), axis=1, keepdims=True, dtype=jnp.int32)
    number = jnp.where(wanted, jnp.take_along_axis(flights.number, upload.server[:, None], axis=1)[:, 0], 0)
    each = jnp.arange(uploads, dtype=jnp.int32)[None]

    def pick(column: jax.Array) -> jax.Array:
        return column.at[jnp.arange(batch, dtype=jnp.int32)[:, None], first + each].get(mode="clip")

    ends = (pick(flights.step) - now[:, None]).astype(jnp.float32) * step_s[:, None] + pick(flights.offset)
    theirs = each < number[:, None]
    place = jnp.sum(theirs & (ends <= upload.seconds[:, None]), axis=1, dtype=jnp.int32)[None]
    order = jnp.arange(uploads + 1, dtype=jnp.int32)[:, None]

    def insert(column: jax.Array, value: jax.Array) -> jax.Array:
        """Return uploads (uploads + 1, B) in the order of their ends, with the task among them."""
        column = jnp.pad(jnp.where(theirs, column, 0.0).T, ((1, 1), (0, 0)))
        return jnp.where(order < place, column[1:], jnp.where(order == place, value[None], column[:-1]))

    def double(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x, x], axis=-1)

    joins = double(insert(ends, upload.seconds))
    sizes = pick(flights.size)
    sizes = jnp.concatenate([insert(sizes, jnp.zeros(batch, jnp.float32)), insert(sizes, upload.size)], axis=1)
    row = jax.tree.map(lambda x: x[:, 0], upload.row)
    left = sharing.residuals(Servers(row.left[:, row.left.shape[1] - running :], row.done, row.running)).T
    later = jnp.arange(running - 1, -1, -1, dtype=jnp.float32)[:, None]
    speed = jnp.where(wanted, upload.speed, 1.0)  # a server that does not exist has speed 0
    pace = 1.0 / speed  # seconds a Mbit
    shorter = jnp.matmul(jnp.tril(jnp.ones((running, running), jnp.float32)), left, precision="highest")
    to_end = (shorter + later * left) * pace[None]  # seconds until each is done if no other joins
    left, to_end = (double(jnp.pad(x, ((0, uploads + 1), (0, 0)))) for x in (left, to_end))
    slots = jnp.arange(rows, dtype=jnp.int32)[:, None]
    speeds, paces = double(speed), double(pace)

    def until_next(carry: Carry) -> Carry:
        k, left, to_end, now, total = carry
        size, at = sizes[k], jnp.maximum(joins[k], now)
        passed = (at - now)[None]
        gone = to_end <= passed
        remaining = over_rows(jnp.where(gone, 0.0, 1.0))
        share = (passed[0] * speeds - over_rows(jnp.where(gone, left, 0.0))) / jnp.maximum(remaining, 1.0)
        left = jnp.where(gone, 0.0, jnp.maximum(left - share[None], 0.0))
        held_up = jnp.minimum(left, size[None])
        more = over_rows(held_up[:, batch:] - held_up[:, :batch])
        without = over_rows(held_up[:, :batch])
        own = (size + jnp.concatenate([without, without + more])) * paces
        to_end = jnp.where(gone, 0.0, to_end - passed + held_up * paces[None])
        joined = slots == running + k
        left, to_end = jnp.where(joined, size[None], left), jnp.where(joined, own[None], to_end)
        return k + 1, left, to_end, at, total + (size[batch:] - size[:batch] + 2.0 * more) * pace

    last = jnp.max(number)
    begin = (jnp.int32(0), left, to_end, jnp.zeros(2 * batch, jnp.float32), upload.seconds)
    total: jax.Array = jax.lax.while_loop(lambda carry: carry[0] <= last, until_next, begin)[4]
    return total


def marginal_delays(
    alone: jax.Array, uploads: Upload, flights: Flights, now: jax.Array, step_s: jax.Array
) -> jax.Array:
    """Return :func:`marginal_delay` (S,) of an upload to each server."""
    return jax.vmap(marginal_delay, (0, 0, None, None, None))(alone, uploads, flights, now, step_s)
