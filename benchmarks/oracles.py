"""Objects per second of the oracles of DNA folding and of molecules: one by one, batched, and over processes.

    python benchmarks/oracles.py                      # both tasks
    python benchmarks/oracles.py --task dna-folding-v0 --number 2000 --processes 2

Objects are random finished ones, all different. "one by one" calls the oracle for each from Python, "batched" for all
at once, "compiled" from a compiled function, as MOGFN's update does; "remembered" asks for the same again. Each line is
the best of three, each time with nothing remembered before; processes are started before the clock is. At the end, the
calls that compiled updates of MOGFN make: as many as they build objects, each batch once at its end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import morl
from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.constructive.backend import SamplerBackend

TASKS = ("dna-folding-v0", "molecules-v0")
REPEATS = 3


def random_objects(env: Any, number: int) -> Any:
    """Return states and observations (number, ...) of distinct finished objects."""

    @jax.jit
    def walk(key: jax.Array) -> Any:
        state, obs = jax.vmap(env.reset, (0, None))(jax.random.split(key, 3 * number), env.default_params)

        def step(carry: Any, key: jax.Array) -> Any:
            state, obs = carry
            logits = jnp.where(env.action_mask(obs) > 0, 0.0, -1e9)
            action = jax.random.categorical(key, logits)
            state, obs, *_ = jax.vmap(env.step, (None, 0, 0, None))(key, state, action, env.default_params)
            return (state, obs), None

        return jax.lax.scan(step, (state, obs), jax.random.split(key, env.horizon))[0]

    state, obs = walk(jax.random.key(0))
    _, first = np.unique(np.asarray(obs), axis=0, return_index=True)
    chosen = np.sort(first)[:number]
    return jax.tree.map(lambda x: x[chosen], state), np.asarray(obs)[chosen]


def rate(oracle: Any, number: int, act: Callable[[], object], fresh: bool = True) -> float:
    """Return objects/s, the best of three."""
    seconds = []
    for _ in range(REPEATS):
        if fresh:
            oracle.forget()
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return number / min(seconds)


def measure(task: str, number: int, processes: int) -> None:
    alone = morl.make(task, "jax")
    shared = morl.make(task, "jax", oracle_processes=processes)
    states, obs = random_objects(alone, number)
    read: Any = getattr(alone, "tree", alone.text)  # what its oracle takes: trees or strings
    objects = [read(row) for row in obs]
    alone.oracle(objects[:2])  # loads the libraries and their tables
    shared.oracle(objects[: 4 * processes])
    compiled = jax.jit(alone.values)
    jax.block_until_ready(compiled(states, alone.default_params))
    lines = {
        "one by one": rate(alone.oracle, number, lambda: [alone.oracle([x]) for x in objects]),
        "batched": rate(alone.oracle, number, lambda: alone.oracle(objects)),
        f"batched, {processes} processes": rate(shared.oracle, number, lambda: shared.oracle(objects)),
        "compiled": rate(alone.oracle, number, lambda: jax.block_until_ready(compiled(states, alone.default_params))),
        "remembered": rate(alone.oracle, number, lambda: alone.oracle(objects), fresh=False),
    }
    for name, per_second in lines.items():
        print(f"| {task} | {name} | {per_second:,.0f} |", flush=True)
    shared.oracle.close()


def calls_of_an_update(task: str) -> None:
    env = morl.make(task, "jax")
    agent = MOGFN(MOGFNConfig(batch=32, hidden=(8,)), env, 4)
    backend = SamplerBackend(agent, 1, block=1, gamma=1.0)
    state = backend.init([jax.random.key(0)])
    env.oracle.forget()
    backend.run(state, 4)
    print(f"{task}: 4 updates of 32 objects asked for {env.oracle.counts.asked}, {env.oracle.counts.computed} computed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    tasks = TASKS if args.task is None else (args.task,)
    print("| task | how | objects/s |\n|---|---|---|")
    for task in tasks:
        measure(task, args.number, args.processes)
    for task in tasks:
        calls_of_an_update(task)


if __name__ == "__main__":
    main()
