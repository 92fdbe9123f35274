"""Random systems under random policies, compared with a simulation from event to event in plain Python.

The plain simulator has only the definition of processor sharing. It knows when each task was sent, how large it was and
at what rate it went up, and finds when it was done. The delay that a step reports is then the difference that its task
makes to the sum of all delays on its server.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.envs.mec import MecOffloading
from morl.envs.mec.environment import State
from morl.envs.mec.params import Params

Floats = NDArray[np.float64]
# the numbers that fix compiled shapes; all others are drawn for each system. Rates are those of the busiest system.
SHAPES: dict[str, MecOffloading] = {
    "high_rate": MecOffloading(arrival_rate=1.0),
    "physical": MecOffloading(arrival_rate=1.0, channel="physical"),
    "physical, interference": MecOffloading(
        arrival_rate=1.0, channel="physical", fading="task", interference=True, shadowing_spread=8.0
    ),
    "physical, edf": MecOffloading(arrival_rate=1.0, channel="physical", queue="edf", steps=60),
    "high_rate, priority": MecOffloading(arrival_rate=1.0, fading="task", queue="priority"),
    "high_rate, three users": MecOffloading(arrival_rate=1.0, users=3, max_edges=3, steps=40),
}
POLICIES = ("random", "all to one", "least energy", "least loaded", "least delay")


def finish_times(joined: Floats, size: Floats, speed: float) -> Floats:
    """Return the seconds at which tasks (M,) are done that share a server of ``speed`` Mbit/s equally.

    Args:
        joined: seconds at which each arrives.
        size: Mbit.
        speed: Mbit/s.
    """
    done = np.full(len(size), math.nan)
    order = np.argsort(joined, kind="stable")
    now = share = 0.0  # seconds, and Mbit that a task which is always there would have had
    waiting, running = list(order), []
    while waiting or running:
        joins = joined[waiting[0]] if waiting else math.inf
        ends = now + (running[0][0] - share) * len(running) / speed if running else math.inf
        if ends <= joins:
            share, i = heapq.heappop(running)
            now = done[i] = ends
        else:
            share += (joins - now) * speed / len(running) if running else 0.0
            now, i = joins, waiting.pop(0)
            heapq.heappush(running, (share + size[i], i))
    return done


def expected_delays(server: NDArray[Any], placed: Floats, joined: Floats, size: Floats, speeds: Floats) -> Floats:
    """Return the seconds (M,) that each task, in the order of placement, adds to the sum of delays on its server."""
    added = np.zeros(len(size))
    for e in range(len(speeds)):
        mine, before = np.flatnonzero(server == e), 0.0
        for n in range(1, len(mine) + 1):
            some = mine[:n]
            total = float(np.sum(finish_times(joined[some], size[some], speeds[e]) - placed[some]))
            added[mine[n - 1]], before = total - before, total
    return added


def draw_systems(env: MecOffloading, number: int, seed: int) -> Params:
    """Return parameters (number, ...) of random systems."""
    rng = np.random.default_rng(seed)

    def log_uniform(low: float, high: float, *shape: int) -> NDArray[np.float32]:
        return np.exp(rng.uniform(np.log(low), np.log(high), (number, *shape))).astype(np.float32)

    def repeat(x: Any) -> NDArray[Any]:
        return np.repeat(np.asarray(x)[None], number, axis=0)

    params = jax.tree.map(repeat, env.default_params)
    edges = rng.integers(1, env.max_edges + 1, number).astype(np.int32)
    seconds = log_uniform(0.1, 1.0)
    given = rng.random(number) < 0.5
    least, most = log_uniform(0.01, 1.0), log_uniform(20.0, 500.0)
    made: Params = params._replace(
        num_edges=np.stack([edges, edges], axis=1),
        frequency=np.repeat(log_uniform(0.3, 8.0, env.num_servers)[..., None], 2, axis=2),
        cycles_per_bit=log_uniform(300.0, 3000.0),
        capacitance=log_uniform(1e-32, 1e-30),
        step_seconds=seconds,
        arrivals=params.arrivals._replace(
            rate=log_uniform(0.02, 1.0) * env.arrival_rate * env.users,
            mean_size=np.where(given, log_uniform(0.5, 100.0), np.float32(0.0)),
            size_range=np.stack([least, most], axis=1),
        ),
        links=params.links._replace(antenna_gain=rng.uniform(0.0, 40.0, number).astype(np.float32)),
    )
    return made


def choose(state: State, outlook: jax.Array, policy: jax.Array, favourite: jax.Array, key: jax.Array) -> jax.Array:
    """Return the server () that policy number ``policy`` of ``POLICIES`` takes."""
    exists = state.frequency > 0
    number = exists.sum(dtype=jnp.int32)
    load = state.servers.running + state.flights.number
    return jnp.stack(
        [
            jax.random.randint(key, (), 0, number, dtype=jnp.int32),
            favourite % number,
            jnp.argmax(jnp.where(exists, outlook[:, 1], -jnp.inf)).astype(jnp.int32),
            jnp.argmin(jnp.where(exists, load, 10_000)).astype(jnp.int32),
            jnp.argmax(jnp.where(exists, outlook[:, 0], -jnp.inf)).astype(jnp.int32),
        ]
    )[policy]


def runner(env: MecOffloading) -> Any:
    """Return a compiled function of keys, params, policies and favourite servers (B,) that runs an episode of each."""

    def episode(key: jax.Array, params: Params, policy: jax.Array, favourite: jax.Array) -> Any:
        key_reset, key_steps = jax.random.split(key)
        state, _ = env.reset(key_reset, params)

        def one(state: State, key: jax.Array) -> Any:
            key_act, key_step = jax.random.split(key)
            server = choose(state, env.outlook(state, params), policy, favourite, key_act)
            told = state.size, state.rate[server], server
            state, _, reward, _, _, _ = env.step(key_step, state, server, params)
            return state, (*told, reward)

        state, steps = jax.lax.scan(one, state, jax.random.split(key_steps, env.steps))
        return state.frequency, env.overflow(state), steps

    return jax.jit(jax.vmap(episode), compiler_options={"xla_backend_optimization_level": 1})


@dataclass
class Found:
    """Result of a comparison.

    Attributes:
        systems, tasks: numbers of them.
        lost: tasks that the simulator had no room for.
        most: largest number of tasks placed on one server.
        total: largest relative error of the sum of an episode's delays.
        step: largest error of the delay of one step, relative to it or, if that is more, to the episode's mean.
        energy: largest relative error of the sum of an episode's energies.
    """

    systems: int = 0
    tasks: int = 0
    lost: int = 0
    most: int = 0
    total: float = 0.0
    step: float = 0.0
    energy: float = 0.0

    def merge(self, other: Found) -> Found:
        """Return the result of both."""
        counts = (self.systems + other.systems, self.tasks + other.tasks, self.lost + other.lost)
        worst = (max(getattr(self, x), getattr(other, x)) for x in ("most", "total", "step", "energy"))
        return Found(*counts, *worst)


def compare(params: Params, frequency: Any, lost: Any, steps: Any) -> Found:
    """Compare episodes (B,) with the plain simulator; arguments are NumPy arrays, those of :func:`runner`."""
    found = Found()
    sizes, rates, servers, rewards = steps
    for i in range(len(sizes)):
        there = sizes[i] > 0
        size, rate = sizes[i][there].astype(float), rates[i][there].astype(float)
        server, reward = servers[i][there], rewards[i][there].astype(float)
        seconds, cycles = float(params.step_seconds[i]), float(params.cycles_per_bit[i])
        placed = np.flatnonzero(there) * seconds
        clock = frequency[i].astype(float)
        expected = expected_delays(server, placed, placed + size / rate, size, clock * 1e3 / cycles)
        energy = float(params.links.power[i]) * size / rate
        energy += float(params.capacitance[i]) * cycles * (clock[server] * 1e9) ** 2 * size * 1e6
        new = Found(1, len(size), int(lost[i]), int(np.bincount(server, minlength=1).max(initial=0)))
        if len(size):
            new.total = float(abs(reward[:, 0].sum() / expected.sum() + 1.0))
            new.step = float(np.max(np.abs(reward[:, 0] + expected) / np.maximum(expected, expected.mean())))
            new.energy = float(abs(reward[:, 1].sum() / energy.sum() + 1.0))
        found = found.merge(new)
    return found


def fuzz(env: MecOffloading, number: int, seed: int, batch: int = 250) -> dict[str, Found]:
    """Return the comparison of ``number`` random systems for each policy of ``POLICIES`` in turn."""
    run, found = runner(env), {name: Found() for name in POLICIES}
    for begin in range(0, number, batch):
        params = draw_systems(env, batch, seed + begin)
        policy = (begin + np.arange(batch, dtype=np.int32)) % len(POLICIES)
        favourite = np.random.default_rng(seed + begin).integers(0, 1000, batch).astype(np.int32)
        keys = jax.random.split(jax.random.key(seed + begin), batch)
        frequency, lost, steps = jax.tree.map(np.asarray, run(keys, params, policy, favourite))
        for p, name in enumerate(POLICIES):
            mine = np.flatnonzero((policy == p) & (begin + np.arange(batch) < number))
            pick = partial(jax.tree.map, lambda x, mine=mine: x[mine])
            found[name] = found[name].merge(compare(pick(params), *pick((frequency, lost, steps))))
    return found
