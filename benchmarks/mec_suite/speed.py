"""Steps a second of every scenario, beside the plain simulator of the tests with random draws of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import morl
from morl.training.rollout import start_batch, step
from tests.envs.offloading import plain

CORES = os.cpu_count() or 1
with contextlib.suppress(RuntimeError):  # another script that imports this one has used JAX already
    jax.config.update("jax_num_cpu_devices", CORES)  # one virtual device each
QUICK = {"xla_backend_optimization_level": 1}  # as the core compiles on CPU
RESULTS = Path(__file__).parents[1] / "results" / "mec_suite_speed.json"
BATCH, LENGTH = 256, 100


def measure(ids: list[str], rounds: int) -> None:
    """Measure the scenarios in turns, ours and plain, and store what was found."""
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for id in ids:
        (ours, compiled_in), theirs = our_steps(id), plain_steps(id)
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        cpu: dict[str, list[float]] = {"ours": [], "plain": []}  # microseconds a step, all threads
        for _ in range(rounds):  # in turn, so that a slow minute of the machine is everybody's
            for name, run in (("ours", ours), ("plain", theirs)):
                started, spent = time.perf_counter(), time.process_time()
                taken = run()
                rates[name].append(taken / (time.perf_counter() - started))
                cpu[name].append(1e6 * (time.process_time() - spent) / taken)
        best, median = ({name: float(f(x)) for name, x in rates.items()} for f in (max, np.median))
        stored[id] = {
            "best": best,
            "median": median,
            "times": {"best": best["ours"] / best["plain"], "median": median["ours"] / median["plain"]},
            "cpu": {name: float(np.median(x)) for name, x in cpu.items()},
            "compiled_in": round(compiled_in, 1),
            "batch": BATCH,
            "cores": CORES,
            "jax": jax.__version__,
            "load": round(os.getloadavg()[0], 1),
            "all": rates,
        }
        found = f"{median['ours']:,.0f} beside {median['plain']:,.0f}, {stored[id]['times']}, {stored[id]['cpu']}"
        print(f"{id}: {found}", flush=True)
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    print(f"# wrote {RESULTS}")


def our_steps(id: str) -> tuple[Callable[[], int], float]:
    """Return a function that takes random steps, restarts included, and the seconds of tracing and compiling it."""
    env: Any = morl.make(id)
    params = env.default_params
    devices = jax.devices()[: min(CORES, BATCH)]
    lanes_each = BATCH // len(devices)
    space = env.action_space
    choices = int(space.n if isinstance(space, spaces.Discrete) else space.nvec[0])

    def shard(lanes: Any, keys: jax.Array) -> Any:
        def one(lanes: Any, drawn: tuple[jax.Array, jax.Array]) -> Any:
            keys, actions = drawn
            lanes, out = jax.vmap(partial(step, env, params))(keys, lanes, actions)
            return lanes, out.reward.sum(axis=0)  # the lanes hold the observations

        key_actions, key_steps = jax.random.split(keys[0])
        shape = (LENGTH, lanes_each, *space.shape)
        actions = (jax.random.uniform(key_actions, shape) * choices).astype(jnp.int32)
        return jax.lax.scan(one, lanes, (jax.random.split(key_steps, (LENGTH, lanes_each)), actions))

    mesh, split = Mesh(np.asarray(devices), ("lanes",)), PartitionSpec("lanes")
    run = jax.jit(
        jax.shard_map(
            shard, mesh=mesh, in_specs=(split, split), out_specs=(split, PartitionSpec(None, "lanes")), check_vma=False
        ),
        compiler_options=QUICK,
    )
    lanes = jax.jit(lambda key: start_batch(env, params, key, BATCH))(jax.random.key(0))
    key, count = jax.random.key(1), 0
    sharding = NamedSharding(mesh, split)
    started = time.perf_counter()
    compiled = run.lower(*jax.eval_shape(lambda *x: x, lanes, jax.random.split(key, len(devices)))).compile()
    compiling = time.perf_counter() - started

    def go() -> int:
        nonlocal lanes, count
        keys = jax.random.split(jax.random.fold_in(key, count), len(devices))
        count += 1
        lanes, sums = compiled(*jax.device_put((lanes, keys), sharding))
        jax.block_until_ready(sums)
        return BATCH * LENGTH

    go()
    return go, compiling


def plain_steps(id: str) -> Callable[[], int]:
    """Return a function that runs 20 episodes of the plain simulator, with random actions, and counts their steps."""
    draw = random.Random(1)
    episode = {"mec-devices-v0": devices_episode, "mec-dag-v0": dag_episode}.get(id, partial(single_episode, id))
    env: Any = morl.make(id)

    def run() -> int:
        return sum(episode(env, draw) for _ in range(20))

    return run


def system_of(env: Any, draw: random.Random) -> tuple[list[float], list[tuple[float, float]]]:
    """Draw the GHz of the servers that exist, and return the ranges of their rates."""
    edges = env.edges if isinstance(env.edges, int) else draw.randint(*env.edges)
    frequencies = [env.cloud_frequency, *(draw.uniform(*env.edge_frequency) for _ in range(edges))]
    return frequencies, [env.cloud_rate, *[env.edge_rate] * edges]


def size_of(env: Any, draw: random.Random) -> float:
    low, high = env.size_range
    return min(max(draw.expovariate(1 / env.mean_size), low), high)


def devices_episode(env: Any, draw: random.Random) -> int:
    frequencies, ranges = system_of(env, draw)
    rates = [[draw.uniform(*each) for each in ranges] for _ in range(env.devices)]
    share = env.arrival_rate * env.slot_seconds / env.devices
    sizes = [
        [size_of(env, draw) if draw.random() < share else 0.0 for _ in range(env.devices)] for _ in range(env.slots)
    ]
    system = plain.Devices(frequencies, rates, sizes)
    for _ in range(env.slots):
        system.step([draw.randrange(len(frequencies)) for _ in range(env.devices)])
    return int(env.slots)


def gaps_of(id: str, env: Any, draw: random.Random) -> tuple[list[float], list[float]]:
    """Draw the gaps and sizes of the tasks of an episode."""
    if id == "mec-trace-v0":
        trace = env.rows_of_trace
        start = draw.randrange(len(trace.time) - env.tasks + 1)
        times, sizes = (x[start : start + env.tasks].tolist() for x in trace)
        return [b - a for a, b in pairwise(times)], sizes
    sizes = [size_of(env, draw) for _ in range(env.tasks)]
    if id != "mec-bursty-v0":
        return [draw.expovariate(env.arrival_rate) for _ in range(env.tasks - 1)], sizes
    calm, burst = env.calm_seconds, env.burst_seconds
    rates = [env.arrival_rate * (calm + burst) / (calm + env.burst_factor * burst)]
    rates.append(rates[0] * env.burst_factor)
    on, gaps, gap = draw.random() < burst / (calm + burst), [], 0.0
    while len(gaps) < env.tasks - 1:
        switch = 1 / (burst if on else calm)
        gap += draw.expovariate(rates[on] + switch)
        if draw.random() < switch / (rates[on] + switch):
            on = not on
        else:
            gaps.append(gap)
            gap = 0.0
    return gaps, sizes


def single_episode(id: str, env: Any, draw: random.Random) -> int:
    frequencies, ranges = system_of(env, draw)
    gaps, sizes = gaps_of(id, env, draw)
    own: dict[str, Any] = {}
    if id == "mec-local-v0":
        frequencies.append(env.device_frequency)
        ranges.append((0.0, 0.0))
        own["battery"] = env.battery, env.battery, env.harvest
    if id == "mec-deadlines-v0":
        own["patience"] = [draw.uniform(*env.patience) for _ in sizes]
    if id == "mec-failures-v0":
        own["changes"] = [[], *(changes_of(env, draw) for _ in frequencies[1:])]
    rates = [[draw.uniform(*each) for each in ranges] for _ in sizes]
    system = plain.Single(frequencies, gaps, sizes, rates, **own)
    for _ in sizes:
        system.step(draw.choice([i for i, yes in enumerate(system.allowed()) if yes]))
    return len(sizes)


def changes_of(env: Any, draw: random.Random) -> list[float]:
    """Draw when a server fails and is repaired."""
    now, changes = 0.0, []
    for i in range(16):
        now += draw.expovariate(1 / (env.repair_seconds if i % 2 else env.failure_seconds))
        changes.append(now)
    return changes


def dag_episode(env: Any, draw: random.Random) -> int:
    frequencies, ranges = system_of(env, draw)
    graph = env.graph
    needs = [{int(i): float(column[i]) for i in np.flatnonzero(column >= 0)} for column in graph.data.T]
    sizes = [float(x) * draw.uniform(1 - env.spread, 1 + env.spread) for x in graph.size]
    rates = [draw.uniform(*each) for each in ranges]
    system = plain.Dag(frequencies, rates, draw.uniform(*env.backhaul), sizes, needs)
    for _ in sizes:
        system.step(draw.randrange(len(frequencies)))
    return len(sizes)
