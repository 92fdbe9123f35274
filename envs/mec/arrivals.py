"""Tasks of an episode: arrival, size and order."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Queue = Literal["fifo", "edf", "priority"]


class ArrivalParams(NamedTuple):
    """Constants of the arrivals.

    Attributes:
        rate: () tasks a second, all users together.
        mean_size: () Mbit, mean of the exponential distribution; 0 for the work that all servers do in a step.
        size_range: (2,) Mbit that sizes are clipped to.
        deadline: (2,) seconds from arrival, bounds of the uniform distribution.
        priorities: () int32 number of classes.
    """

    rate: jax.Array
    mean_size: jax.Array
    size_range: jax.Array
    deadline: jax.Array
    priorities: jax.Array


class Tasks(NamedTuple):
    """M tasks in the order of their arrival; those that arrive after the episode are not used.

    Attributes:
        arrival: (M,) float32 seconds; set to infinity once offered, unless the queue is "fifo".
        size: (M,) float32 Mbit.
        user: (M,) int32.
        urgency: (M,) float32, the smallest is offered first; (1,) and unused for "fifo".
        taken: () int32 number of tasks offered so far.
    """

    arrival: jax.Array
    size: jax.Array
    user: jax.Array
    urgency: jax.Array
    taken: jax.Array


def enough(rate: float, seconds: float) -> int:
    """Return M such that more than M arrivals in so many seconds have a probability below 10^-9."""
    mean = rate * seconds
    return math.ceil(mean + 6.5 * math.sqrt(mean) + 10)


def draw(
    key: jax.Array,
    number: int,
    num_users: int,
    queue: Queue,
    mean_size: jax.Array,
    step_s: jax.Array,
    params: ArrivalParams,
) -> Tasks:
    """Draw the tasks of a Poisson process that begins a step early, so that the first step may have a task."""
    # one draw for all quantities: each draw adds a tenth of a second to compilation, and time to every episode
    gap, size, user, urgency = jax.random.uniform(key, (4, number), dtype=jnp.float32)
    arrival = jnp.cumsum(-jnp.log1p(-gap)) / params.rate - step_s
    size = jnp.clip(-mean_size * jnp.log1p(-size), *params.size_range)
    if queue == "edf":
        low, high = params.deadline
        urgency = arrival + low + (high - low) * urgency
    elif queue == "priority":
        urgency = _below(params.priorities, urgency).astype(jnp.float32)
    else:
        urgency = jnp.zeros(1, jnp.float32)
    return Tasks(arrival, size, _below(num_users, user), urgency, jnp.int32(0))


def _below(limit: jax.Array | int, share: jax.Array) -> jax.Array:
    """Return int32 from 0 to below the limit, from uniform draws in [0, 1)."""
    return jnp.minimum((share * limit).astype(jnp.int32), limit - 1)


def offer(tasks: Tasks, queue: Queue, now: jax.Array) -> tuple[Tasks, jax.Array, jax.Array]:
    """Take the task that leaves the queue at ``now`` seconds.

    Returns:
        The tasks without it, its number (-1 for none) and its size in Mbit (0 for none).
    """
    if queue == "fifo":
        first = jnp.minimum(tasks.taken, len(tasks.arrival) - 1)
        there = (tasks.arrival[first] <= now) & (tasks.taken < len(tasks.arrival))
    else:
        waiting = tasks.arrival <= now
        first = jnp.argmin(jnp.where(waiting, tasks.urgency, jnp.inf)).astype(jnp.int32)  # ties: first come
        there = waiting[first]
        tasks = tasks._replace(
            arrival=tasks.arrival.at[jnp.where(there, first, len(tasks.arrival))].set(jnp.inf, mode="drop")
        )
    size = jnp.where(there, tasks.size[first], 0.0)
    return tasks._replace(taken=tasks.taken + there.astype(jnp.int32)), jnp.where(there, first, -1), size


def waiting(tasks: Tasks, queue: Queue, now: jax.Array) -> jax.Array:
    """Return the number () int32 of tasks in the queue at ``now`` seconds."""
    arrived = jnp.sum(tasks.arrival <= now, dtype=jnp.int32)
    return arrived - tasks.taken if queue == "fifo" else arrived
