"""One-step look-ahead on greedy-ω: what a policy could gain by foresight.

At each step every server is tried, the rest of the episode is acted greedily, and the best server is taken (rollout
algorithm: Bertsekas, Tsitsiklis and Wu, 1997). The futures are the same for all servers: ``futures`` redrawn ones,
which is a policy that could be played, or the episode's own one (0), which knows the arrivals to come and so more than
any policy may. Better policies may exist, as only the first action looks ahead.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.mec import MecOffloading, arrivals
from morl.envs.mec.environment import State
from morl.ops.metrics import hypervolume

RESULTS = Path(__file__).parents[1] / "results" / "offloading_lookahead.json"
SCALES = (0.003, 1.5)  # α of the delay in s and of the energy in J
REFERENCE = (-4078.0, -5.65)  # of the fronts in docs/benchmarks/task-offloading.md
WEIGHTS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0)  # of the delay
SEED = 100


def greedy(env: MecOffloading, state: State, weights: jax.Array) -> jax.Array:
    """Return the server of the largest weighted reward now, the least delay among equals."""
    seen = env.outlook(state, env.default_params)
    worth = jnp.where(state.frequency > 0, jnp.sum(jnp.where(weights > 0, seen[:, :2] * weights, 0.0), 1), -jnp.inf)
    best = worth.max()
    return jnp.argmax(jnp.where(worth >= best - 1e-3 * jnp.abs(best), seen[:, 0], -jnp.inf))


def redrawn(env: MecOffloading, state: State, key: jax.Array) -> State:
    """Return the state with other tasks to come; those that have arrived stay."""
    params, tasks, now = env.default_params, state.tasks, state.step.astype(jnp.float32) * env.step_seconds
    size = jnp.sum(state.frequency) * 1e3 / env.cycles_per_bit * env.step_seconds
    number = len(tasks.arrival)
    fresh = arrivals.draw(key, number, env.users, env.queue, size, params.step_seconds, params.arrivals)
    here = tasks.arrival <= now
    place = jnp.maximum(jnp.arange(number, dtype=jnp.int32) - jnp.sum(here, dtype=jnp.int32), 0)
    # the process is without memory: the next gap begins now
    arrival = jnp.where(here, tasks.arrival, now + env.step_seconds + fresh.arrival[place])
    return state._replace(
        tasks=tasks._replace(
            arrival=arrival,
            size=jnp.where(here, tasks.size, fresh.size[place]),
            user=jnp.where(here, tasks.user, fresh.user[place]),
        )
    )


def returns(env: MecOffloading, futures: int, key: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the returns (2,) of an episode by greedy-ω and by look-ahead."""
    params, own = env.default_params, jax.random.key(0)  # the episode draws all at its start

    def rest(state: State, first: jax.Array) -> jax.Array:
        def go(_: jax.Array, carry: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, _, reward, *_ = env.step(own, carry[0], greedy(env, carry[0], weights), params)
            return state, carry[1] + reward

        return jax.lax.fori_loop(first, env.steps, go, (state, jnp.zeros(2, jnp.float32)))[1]

    def value(state: State, server: jax.Array) -> jax.Array:
        after, _, reward, *_ = env.step(own, state, server, params)
        return reward + rest(after, after.step)

    def act(step: jax.Array, carry: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
        state, total = carry
        keys = jax.random.split(jax.random.fold_in(key, step), max(futures, 1))
        possible = jax.vmap(partial(redrawn, env, state))(keys) if futures else jax.tree.map(lambda x: x[None], state)
        servers = jnp.arange(env.num_servers, dtype=jnp.int32)
        worth = jax.vmap(jax.vmap(value, (None, 0)), (0, None))(possible, servers).mean(axis=0) @ weights
        myopic = greedy(env, state, weights)
        server = jnp.where(worth[myopic] >= worth.max() - 1e-6 * jnp.abs(worth.max()), myopic, jnp.argmax(worth))
        state, _, reward, *_ = env.step(own, state, server, params)
        return state, total + reward

    start, _ = env.reset(key, params)
    looked = jax.lax.fori_loop(0, env.steps, act, (start, jnp.zeros(2, jnp.float32)))[1]
    return rest(start, jnp.int32(0)), looked


def measure(futures: list[int], episodes: int) -> None:
    """Measure greedy-ω and look-ahead of each number of futures, and store the results."""
    env = MecOffloading(num_edges=6, cloud_frequency=4.0, edge_frequency=2.0, max_edges=6, capacity=64, bins=1)
    keys = jax.random.split(jax.random.key(SEED), episodes)
    for number in futures:
        run, started, rows = jax.jit(jax.vmap(partial(returns, env, number), (0, None))), time.perf_counter(), []
        for weight in WEIGHTS:
            weights = jnp.asarray([weight, 1 - weight], jnp.float32) * jnp.asarray(SCALES, jnp.float32)
            myopic, looked = (np.asarray(x, np.float64) for x in run(keys, weights))
            gain = (looked - myopic) @ np.asarray(weights)
            unit = abs((myopic @ np.asarray(weights)).mean())
            row: dict[str, Any] = {"weight": weight, "greedy": list(myopic.mean(0)), "looked": list(looked.mean(0))}
            row |= {"gain": gain.mean() / unit, "error": gain.std() / len(gain) ** 0.5 / unit}
            rows.append(row)
            print(f"# futures {number}, weight {weight}: {row['gain']:+.2%} ± {row['error']:.2%}", flush=True)
        worst = np.array(REFERENCE)
        volumes = {name: hypervolume(np.array([r[name] for r in rows]), worst) for name in ("greedy", "looked")}
        stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        seconds = round(time.perf_counter() - started)
        stored[str(number)] = {"episodes": episodes, "seed": SEED, "seconds": seconds, "rows": rows, **volumes}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


def table() -> str:
    """Return the stored results as a table in Markdown."""
    stored = json.loads(RESULTS.read_text())
    lines = [
        "| look-ahead | episodes | greedy-ω, s J | look-ahead | gain | of the weighted return, by ω of the delay |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for number, found in stored.items():
        name = "knows what comes" if number == "0" else f"{number} futures"
        gains = ", ".join(f"{r['weight']:g}: {r['gain']:+.1%} ± {r['error']:.1%}" for r in found["rows"])
        volumes = f"{found['greedy']:.0f} | {found['looked']:.0f} | {found['looked'] / found['greedy'] - 1:+.1%}"
        lines.append(f"| {name} | {found['episodes']} | {volumes} | {gains} |")
    return "\n".join(lines)
