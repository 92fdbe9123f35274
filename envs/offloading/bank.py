"""Servers that share their processors equally among their tasks, simulated exactly from event to event.

Each of the n tasks that a server executes gets 1/n of its speed. An event is the end of an upload, the end of a task,
or the moment at which a task is given up; between two events nothing changes but the work left. Tasks keep their place
from their start to their end, which deadlines, failures and dependences need; :mod:`morl.envs.mec.sharing`, whose tasks
are only sorted work, is for systems that have none of these.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.batching import batched


class Bank(NamedTuple):
    """Tasks on servers, in K places.

    Attributes:
        server: (K,) int32 server of the task, -1 for no task.
        left: (K,) float32 Mbit to execute.
        wait: (K,) float32 seconds until the upload ends, infinity where there is none or it has ended.
        due: (K,) float32 seconds until the task is given up, infinity for never.
        speed: (K,) float32 Mbit/s of the task's server.
        sharers: (K,) float32 number of tasks that the task's server executes.
    """

    server: jax.Array
    left: jax.Array
    wait: jax.Array
    due: jax.Array
    speed: jax.Array
    sharers: jax.Array


class Totals(NamedTuple):
    """Sums over the time of one :func:`advance`.

    Attributes:
        tasks: () float32 task-seconds in the system: the number of tasks, integrated over time.
        uploads: () float32 task-seconds uploading.
        lost: () float32 number of tasks given up.
        executed: (K,) float32 Mbit executed of the task in each place.
    """

    tasks: jax.Array
    uploads: jax.Array
    lost: jax.Array
    executed: jax.Array


class Loads(NamedTuple):
    """Tasks of each of S servers, (S,) float32.

    Attributes:
        running: number of tasks that the server executes.
        uploading: number of uploads to it.
        left: Mbit left to execute, uploads included.
        held: the same, each task counted up to a size.
    """

    running: jax.Array
    uploading: jax.Array
    left: jax.Array
    held: jax.Array


class Run(NamedTuple):
    """Carry of the loop over events; (K,) or (), with the batch in front.

    Attributes:
        clock: seconds since the start.
        server, left, sharers: as of :class:`Bank`.
        join, due: clock at which the upload ends, and at which the task is given up; infinity for never.
        running, uploading: number of tasks on all servers, float32.
        tasks, uploads, lost: sums so far.
        ended: place of the task that has ended at ``clock``, K for none.
    """

    clock: jax.Array
    server: jax.Array
    left: jax.Array
    join: jax.Array
    due: jax.Array
    sharers: jax.Array
    running: jax.Array
    uploading: jax.Array
    tasks: jax.Array
    uploads: jax.Array
    lost: jax.Array
    ended: jax.Array


def empty(places: int) -> Bank:
    """Return servers without tasks, and room for ``places`` tasks in all."""
    never = jnp.full(places, jnp.inf, jnp.float32)
    zeros = jnp.zeros(places, jnp.float32)
    return Bank(jnp.full(places, -1, jnp.int32), zeros, never, never, zeros + 1.0, zeros)


def place(
    bank: Bank,
    slot: jax.Array,
    server: jax.Array,
    size: jax.Array,
    upload: jax.Array,
    due: jax.Array,
    speed: jax.Array,
) -> Bank:
    """Start the upload of a task.

    Args:
        bank: the servers.
        slot: () int32 place, which must be free; no task is placed if it is K.
        server: () int32 server.
        size: () Mbit.
        upload: () seconds, 0 for a task that is executed at once.
        due: () seconds until the task is given up.
        speed: () Mbit/s of the server.
    """
    places = len(bank.left)
    here, beside = jnp.arange(places, dtype=jnp.int32) == slot, bank.server == server
    sharers = jnp.sum(beside & (bank.wait == jnp.inf), dtype=jnp.float32)
    at_once = ((upload <= 0.0) & (slot < places)).astype(jnp.float32)
    bank = bank._replace(sharers=bank.sharers + jnp.where(beside, at_once, 0.0))
    task = Bank(server, size, jnp.where(upload > 0.0, upload, jnp.inf), due, speed, sharers + at_once)
    placed: Bank = jax.tree.map(lambda new, old: jnp.where(here, new, old), task, bank)
    return placed


def advance(bank: Bank, until: jax.Array) -> tuple[Bank, Totals]:
    """Return the servers after ``until`` () seconds, infinity to run all tasks to their ends, and what happened."""
    after: tuple[Bank, Totals] = batched(_advance)(bank, until)
    return after


def loads(bank: Bank, num_servers: int, most: jax.Array | float = jnp.inf) -> Loads:
    """Return what is on each server; ``most`` is the size () in Mbit that ``held`` counts each task up to."""
    executed = bank.wait == jnp.inf
    columns = [executed.astype(jnp.float32), (~executed).astype(jnp.float32), bank.left, jnp.minimum(bank.left, most)]
    there = bank.server[None] == jnp.arange(num_servers, dtype=jnp.int32)[:, None]
    # a product is faster here than a masked sum for each column
    sums = jnp.matmul(there.astype(jnp.float32), jnp.stack(columns, axis=1), precision="highest")
    return Loads(*sums.T)


def _advance(bank: Bank, until: jax.Array) -> tuple[Bank, Totals]:
    """Advance B banks (B, K) by ``until`` (B,) seconds."""
    pace = 1.0 / bank.speed
    run = jax.lax.while_loop(
        lambda run: jnp.any(run.clock < until), lambda run: next_event(run, pace, until), begin(bank)
    )
    passed = jnp.where(until < jnp.inf, until, 0.0)[:, None]  # with no end there is nothing to subtract from
    after = Bank(run.server, run.left, run.join - passed, run.due - passed, bank.speed, run.sharers)
    return after, Totals(run.tasks, run.uploads, run.lost, bank.left - run.left)


def begin(bank: Bank) -> Run:
    """Return B banks (B, K) before their first event."""
    there, uploads = bank.server >= 0, bank.wait < jnp.inf
    zeros = jnp.zeros(bank.left.shape[:1], jnp.float32)
    return Run(
        clock=zeros,
        server=bank.server,
        left=bank.left,
        join=bank.wait,
        due=bank.due,
        sharers=bank.sharers,
        running=jnp.sum(there & ~uploads, axis=-1, dtype=jnp.float32),
        uploading=jnp.sum(uploads, axis=-1, dtype=jnp.float32),
        tasks=zeros,
        uploads=zeros,
        lost=zeros,
        ended=jnp.full(zeros.shape, bank.left.shape[1], jnp.int32),
    )


def next_event(run: Run, pace: jax.Array, until: jax.Array) -> Run:
    """Take each of B systems to its next event, or to ``until`` (B,) if that is earlier; one that is there stays.

    Events at the same time follow each other, with no time between: one task at a time.

    Args:
        run: the systems.
        pace: (B, K) seconds that a Mbit takes alone on the task's server.
        until: (B,) seconds.
    """
    places = run.left.shape[1]
    end, clock = until[:, None], run.clock[:, None]
    executed = (run.server >= 0) & (run.join == jnp.inf)
    shared = pace * jnp.maximum(run.sharers, 1.0)  # seconds that a Mbit takes now
    when = jnp.minimum(jnp.where(executed, clock + run.left * shared, run.join), run.due)
    then = jnp.minimum(jnp.maximum(jnp.min(when, axis=1, keepdims=True), clock), end)
    seconds = jnp.where(then < jnp.inf, then - clock, 0.0)
    left = jnp.where(executed, jnp.maximum(run.left - seconds / shared, 0.0), run.left)

    place = jnp.arange(places, dtype=jnp.int32)[None]
    first = jnp.min(jnp.where((when <= then) & (clock < end), place, places), axis=1, keepdims=True)
    this, any_event = place == first, (first < places) & (then < jnp.inf)

    def of_first(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(x, jnp.minimum(first, places - 1), axis=1)

    server, was_executed = of_first(run.server), of_first(run.join) == jnp.inf
    # in time if both happen at once; a task whose upload ends when it is given up is given up
    own_event = jnp.where(was_executed, clock + of_first(run.left) * of_first(shared), of_first(run.join))
    due = of_first(run.due)
    is_late = (due < own_event) | (~was_executed & (due <= own_event))
    joins, leaves = any_event & ~was_executed & ~is_late, any_event & (was_executed | is_late)
    started = jnp.where(joins, 1.0, jnp.where(leaves & was_executed, -1.0, 0.0))
    stopped = jnp.where(any_event & ~was_executed, 1.0, 0.0)
    gone = this & leaves
    return Run(
        clock=then[:, 0],
        server=jnp.where(gone, -1, run.server),
        left=jnp.where(gone & ~is_late, 0.0, left),
        join=jnp.where(this & any_event, jnp.inf, run.join),
        due=jnp.where(gone, jnp.inf, run.due),
        sharers=jnp.where(run.server == server, run.sharers + started, run.sharers),
        running=run.running + started[:, 0],
        uploading=run.uploading - stopped[:, 0],
        tasks=run.tasks + seconds[:, 0] * (run.running + run.uploading),
        uploads=run.uploads + seconds[:, 0] * run.uploading,
        lost=run.lost + (any_event & is_late)[:, 0].astype(jnp.float32),
        ended=jnp.where(leaves & ~is_late, first, places)[:, 0],
    )
