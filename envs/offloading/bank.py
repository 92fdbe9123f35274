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

MOST_SERVERS = 256
_EVENTS = 4 * MOST_SERVERS  # kinds of events of a task: 4 on each server


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


def running(bank: Bank, num_servers: int) -> jax.Array:
    """Return the number (S,) float32 of tasks that each server executes."""
    return _by_server(bank, num_servers, (bank.wait == jnp.inf).astype(jnp.float32))


def uploading(bank: Bank, num_servers: int) -> jax.Array:
    """Return the number (S,) float32 of uploads to each server."""
    return _by_server(bank, num_servers, (bank.wait < jnp.inf).astype(jnp.float32))


def work(bank: Bank, num_servers: int, most: jax.Array | float = jnp.inf) -> jax.Array:
    """Return the Mbit (S,) left to execute on each server, uploads included, at most ``most`` of each task."""
    return _by_server(bank, num_servers, jnp.minimum(bank.left, most))


def _by_server(bank: Bank, num_servers: int, values: jax.Array) -> jax.Array:
    """Return the sum (S,) of values (K,) over the tasks of each server."""
    there = bank.server[None] == jnp.arange(num_servers, dtype=jnp.int32)[:, None]
    return jnp.sum(jnp.where(there, values[None], 0.0), axis=-1)


def _advance(bank: Bank, until: jax.Array) -> tuple[Bank, Totals]:
    """Advance B banks (B, K) by ``until`` (B,) seconds."""
    run = begin(bank)
    run = jax.lax.while_loop(
        lambda run: jnp.any(run.clock < until), lambda run: next_event(run, bank.speed, until), run
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


def next_event(run: Run, speed: jax.Array, until: jax.Array) -> Run:
    """Take each of B systems to its next event, or to ``until`` (B,) if that is earlier; one that is there stays.

    Events at the same time follow each other, with no time between: one task at a time.
    """
    places = run.left.shape[1]
    end, clock = until[:, None], run.clock[:, None]
    executed = (run.server >= 0) & (run.join == jnp.inf)
    share = speed / jnp.maximum(run.sharers, 1.0)  # Mbit/s of each task
    finish = jnp.where(executed, clock + run.left / share, jnp.inf)
    when = jnp.minimum(jnp.minimum(finish, run.join), run.due)
    then = jnp.minimum(jnp.maximum(jnp.min(when, axis=1, keepdims=True), clock), end)
    seconds = jnp.where(then < jnp.inf, then - clock, 0.0)
    late = (run.due <= run.join) & (run.due < finish)
    # one reduction finds the first task with an event, what the event is, and on which server
    place = jnp.arange(places, dtype=jnp.int32)[None]
    event = place * _EVENTS + run.server * 4 + executed.astype(jnp.int32) * 2 + late.astype(jnp.int32)
    event = jnp.where((when <= then) & (clock < end) & (run.server >= 0), event, places * _EVENTS)
    first = jnp.min(event, axis=1, keepdims=True)
    this, server = place == first // _EVENTS, first % _EVENTS // 4
    any_event, was_executed, is_late = first < places * _EVENTS, first % 4 >= 2, first % 2 == 1

    joins, leaves = any_event & ~was_executed & ~is_late, any_event & (was_executed | is_late)
    started = jnp.where(joins, 1.0, jnp.where(leaves & was_executed, -1.0, 0.0))
    stopped = jnp.where(any_event & ~was_executed, 1.0, 0.0)
    left = jnp.where(executed, jnp.maximum(run.left - seconds * share, 0.0), run.left)
    gone = this & leaves
    return Run(
        clock=then[:, 0],
        server=jnp.where(gone, -1, run.server),
        left=jnp.where(gone & ~is_late, 0.0, left),
        join=jnp.where(this, jnp.inf, run.join),
        due=jnp.where(gone, jnp.inf, run.due),
        sharers=jnp.where(run.server == server, run.sharers + started, run.sharers),
        running=run.running + started[:, 0],
        uploading=run.uploading - stopped[:, 0],
        tasks=run.tasks + seconds[:, 0] * (run.running + run.uploading),
        uploads=run.uploads + seconds[:, 0] * run.uploading,
        lost=run.lost + (any_event & is_late)[:, 0].astype(jnp.float32),
        ended=jnp.where(leaves & ~is_late, first // _EVENTS, places)[:, 0],
    )
