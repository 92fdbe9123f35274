"""The task-offloading simulator: its speed beside one in plain Python, and the fronts of schemes that do not learn.

    python benchmarks/mec.py speed
    python benchmarks/mec.py fronts --out docs/mec-fronts.png   # about half an hour on two cores
    python benchmarks/mec.py fronts --quick                     # the same in a minute, to see that it runs
    python benchmarks/mec.py fronts --save fronts.npz           # and keep the fronts, for benchmarks/gmorl.py
    python benchmarks/mec.py fuzz --number 10000                # random systems and policies, none of which may be off

Speed: random actions, observation and resets included, E = 6 unless said otherwise; ours split over the CPU's cores as
virtual devices; fifteen rounds in which all take their turn. Fuzz: every delay beside one found from event to event in
plain Python (``tests/envs/mec/fuzz.py``). Both write their figures to ``benchmarks/results/``. Fronts: E = 6, f_0 = 4
GHz, f_e = 2 GHz, 101 preferences, 1000 episodes of each policy, the same for all; the reference point is the worst
delay and the worst energy of all fronts (Yang et al., 2025).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from morl.envs.mec import MecOffloading, schemes, search
from morl.ops import metrics
from morl.training.rollout import start_batch, step

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from mec_python import PythonMec

CORES = os.cpu_count() or 1
with contextlib.suppress(RuntimeError):  # another script that imports this one has used JAX already
    jax.config.update("jax_num_cpu_devices", CORES)  # one virtual device each
BATCHES = (1, 64, 512, 4096)
ROUNDS = 15
RESULTS = Path(__file__).parent / "results"
QUICK = {"xla_backend_optimization_level": 1}  # as the core compiles on CPU
PEERS = {
    "high_rate": "plain Python, E = 6",
    "physical": "plain Python, E = 6, channel physical",
}
SYSTEM = {"cloud_frequency": 4.0, "edge_frequency": 2.0}


def python_steps(num_edges: int = 6, channel: str = "high_rate") -> Callable[[], int]:
    """Return a function that runs the plain simulator and returns the steps it took."""
    env, draw = PythonMec(num_edges, channel=channel), random.Random(1)

    def run() -> int:
        for _ in range(30):
            env.reset()
            for _ in range(100):
                env.step(draw.randrange(num_edges + 1))
        return 3000

    return run


def our_steps(num_edges: int, batch: int, steps: int = 200_000, **kwargs: Any) -> tuple[Callable[[], int], float]:
    """Return a function that runs ours for about so many steps, and the seconds of tracing and compiling it."""
    env = MecOffloading(num_edges=num_edges, **SYSTEM, **kwargs)
    params = env.default_params
    devices = jax.devices()[: min(CORES, batch)]
    lanes_each = batch // len(devices)
    length = 100 * max(1, round(steps / 100 / batch)) if batch > 1 else 2000

    def shard(lanes: Any, keys: jax.Array) -> Any:
        def one(lanes: Any, drawn: tuple[jax.Array, jax.Array]) -> Any:
            keys, actions = drawn
            lanes, out = jax.vmap(partial(step, env, params))(keys, lanes, actions)
            return lanes, out.reward.sum(axis=0)  # the lanes hold the observations

        key_actions, key_steps = jax.random.split(keys[0])
        actions = (jax.random.uniform(key_actions, (length, lanes_each)) * (num_edges + 1)).astype(jnp.int32)
        return jax.lax.scan(one, lanes, (jax.random.split(key_steps, (length, lanes_each)), actions))

    mesh = Mesh(np.asarray(devices), ("lanes",))
    split = PartitionSpec("lanes")
    run = jax.jit(
        jax.shard_map(
            shard, mesh=mesh, in_specs=(split, split), out_specs=(split, PartitionSpec(None, "lanes")), check_vma=False
        ),
        compiler_options=QUICK,
    )
    lanes = jax.jit(lambda key: start_batch(env, params, key, batch))(jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), (ROUNDS + 1, len(devices))))
    sharding = jax.sharding.NamedSharding(mesh, split)
    started = time.perf_counter()
    compiled = run.lower(
        *jax.eval_shape(lambda *x: x, lanes, jax.random.split(jax.random.key(1), len(devices)))
    ).compile()
    compiling = time.perf_counter() - started

    def go() -> int:
        nonlocal lanes
        lanes, sums = compiled(*jax.device_put((lanes, next(keys)), sharding))
        jax.block_until_ready(sums)
        return batch * length

    go()
    return go, compiling


def speed() -> None:
    print(f"{CORES} cores, JAX {jax.__version__} on {jax.devices()[0].device_kind}")
    runs: dict[str, Callable[[], int]] = {peer: python_steps(channel=channel) for channel, peer in PEERS.items()}
    compiling, beside = {}, {peer: peer for peer in runs}

    def add(name: str, num_edges: int, batch: int, **kwargs: Any) -> None:
        beside[name] = PEERS[kwargs.get("channel", "high_rate")]
        runs[name], compiling[name] = our_steps(num_edges, batch, **kwargs)

    for batch in BATCHES:
        add(f"E = 6, batch {batch}", 6, batch)
    add("E = 6, batch 512, no rows for more (max_edges=6)", 6, 512, max_edges=6)
    for num_edges in (1, 2, 4, 8, 10):
        add(f"E = {num_edges}, batch 512", num_edges, 512)
    for batch in (64, 512):
        add(f"E = 6, batch {batch}, channel physical", 6, batch, channel="physical")
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):  # in turn, so that a slow minute of the machine is everybody's
        for name, run in runs.items():
            started = time.perf_counter()
            taken = run()
            rates[name].append(taken / (time.perf_counter() - started))
    print("| | steps/s, best | median | beside plain Python: best | median | compiled in, s |")
    print("|---|---|---|---|---|---|")
    for name, found in rates.items():
        theirs = rates[beside[name]]
        ratios = max(found) / max(theirs), np.median(found) / np.median(theirs)
        seconds = f"{compiling[name]:.1f}" if name in compiling else ""
        numbers = f"{max(found):,.0f} | {np.median(found):,.0f} | {ratios[0]:.1f} | {ratios[1]:.1f}"
        print(f"| {name} | {numbers} | {seconds} |", flush=True)
    rows = {
        name: {"best": max(found), "median": float(np.median(found)), "beside": beside[name], "all": found}
        | ({"compiled_in": compiling[name]} if name in compiling else {})
        for name, found in rates.items()
    }
    write("mec_speed.json", {"cores": CORES, "jax": jax.__version__, "steps_per_second": rows})
    env = MecOffloading()
    state, obs = jax.eval_shape(env.reset, jax.random.key(0), env.default_params)
    bytes_of = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    print(f"bytes of state an environment: {bytes_of}; of an observation: {obs.size * 4}")
    keys, zeros = jax.random.split(jax.random.key(0), 256), jnp.zeros(256, jnp.int32)
    lanes = start_batch(env, env.default_params, keys[0], 256)
    batched = jax.jit(jax.vmap(partial(step, env, env.default_params)), compiler_options=QUICK)
    started = time.perf_counter()
    batched.lower(keys, lanes, zeros).compile()
    print(f"the step of 256 environments with time limit and restart compiled in {time.perf_counter() - started:.1f} s")


def write(name: str, figures: dict[str, Any]) -> None:
    """Write figures to ``benchmarks/results/``."""
    (RESULTS / name).write_text(json.dumps(figures, indent=1) + "\n")
    print(f"# wrote benchmarks/results/{name}")


def fuzz(number: int, seed: int) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.envs.mec import fuzz as checks

    each = number // len(checks.SHAPES)
    parts = [each + (i < number % len(checks.SHAPES)) for i in range(len(checks.SHAPES))]
    figures = {}
    print("| system | policy | systems | tasks | most on a server | lost | delay, worst error | of a step | energy |")
    print("|---|---|---|---|---|---|---|---|---|")
    whole = checks.Found()
    for part, (shape, env) in zip(parts, checks.SHAPES.items(), strict=True):
        found = checks.fuzz(env, part, seed)
        figures[shape] = {policy: asdict(one) for policy, one in found.items()}
        for policy, one in found.items():
            whole = whole.merge(one)
            counts = f"{one.systems:,} | {one.tasks:,} | {one.most} | {one.lost}"
            print(
                f"| {shape} | {policy} | {counts} | {one.total:.1e} | {one.step:.1e} | {one.energy:.1e} |", flush=True
            )
    print(f"all: {whole}")
    write("mec_fuzz.json", {"seed": seed, "systems": figures, "all": asdict(whole)})
    if whole.lost or whole.total > 1e-4:
        raise SystemExit("a task was lost, or a delay is off by more than 1e-4")


def fronts(out: Path | None, quick: bool, save: Path | None) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    env = MecOffloading(num_edges=6, **SYSTEM)
    number, episodes = (11, 50) if quick else (101, 1000)
    grid = schemes.grid(number)
    none = np.zeros(number, np.float32)
    searched = {"iterations": 20} if quick else {}

    def bandit(products: bool) -> Any:
        theta = search.linucb(env, rounds=10 if quick else 200, products=products)
        return schemes.Linear(products), np.repeat(theta[None].astype(np.float32), number, axis=0), grid

    def genetic() -> Any:
        plans = search.nsga2(env, generations=3 if quick else 100)
        return schemes.Plan(), plans, np.tile(grid[:1], (len(plans), 1))

    made: dict[str, Callable[[], Any]] = {
        "greedy-ω": lambda: (schemes.Greedy(), none, grid),
        "greedy-ω, α for the front": lambda: (schemes.Greedy(scales=(0.01, 5.0)), none, grid),
        "LinUCB": partial(bandit, False),
        "LinUCB, ω times row": partial(bandit, True),
        "least delay": lambda: (schemes.LeastDelay(), none[:1], grid[:1]),
        "least energy": lambda: (schemes.LeastEnergy(), none[:1], grid[:1]),
        "random, p swept": lambda: (schemes.Random(), np.linspace(0, 1, number, dtype=np.float32), grid),
        "simulated annealing": lambda: (schemes.Plan(), search.annealing(env, grid, **searched), grid),
        "NSGA-II": genetic,
    }
    found, seconds = {}, {}
    for name, make in made.items():
        started = time.perf_counter()
        found[name] = schemes.front(env, *make(), episodes=episodes)
        seconds[name] = time.perf_counter() - started
        print(f"# {name}: {len(found[name])} policies in {seconds[name]:.0f} s", flush=True)
    if save:
        np.savez(save, **{name: front.undiscounted for name, front in found.items()})
    # schemes for one objective are left out: their only policy may be arbitrarily bad in the other
    worst = np.min([front.undiscounted.min(axis=0) for name, front in found.items() if "least" not in name], axis=0)
    print(f"reference point: {-worst[0]:.0f} s, {-worst[1]:.2f} J (worst of the fronts)")
    print("| scheme | policies | fastest: s, J | thriftiest: s, J | hypervolume, s J | of greedy-ω |")
    print("|---|---|---|---|---|---|")
    yardstick = metrics.hypervolume(found["greedy-ω"].undiscounted, worst)
    for name, front in found.items():
        points = -front.undiscounted
        fast, thrifty = points[points[:, 0].argmin()], points[points[:, 1].argmin()]
        volume = metrics.hypervolume(-points, worst)
        ends = " | ".join(f"{delay:.0f}, {energy:.2f}" for delay, energy in (fast, thrifty))
        print(f"| {name} | {len(points)} | {ends} | {volume:.0f} | {volume / yardstick:.3f} |")
    if out is None:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, front in found.items():
        points = -front.undiscounted[np.argsort(front.undiscounted[:, 0])]
        axes.plot(*points.T, marker="o", markersize=4, linewidth=1, label=name)
    axes.plot(*-worst, "k+", markersize=12, label="reference point")
    axes.set(xlabel="delay, s an episode", ylabel="energy, J an episode", xscale="log")
    axes.set_title("mec-offloading-v0, E = 6, 4 and 2 GHz: lower left is better", fontsize=11)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=9)
    figure.savefig(out, dpi=120)
    print(f"# wrote {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "fronts", "fuzz"])
    parser.add_argument("--out", type=Path, help="picture of the fronts")
    parser.add_argument("--save", type=Path, help="file for the points of the fronts, an array for each scheme")
    parser.add_argument("--number", type=int, default=10_000, help="random systems")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random systems")
    parser.add_argument("--quick", action="store_true", help="few episodes")
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed()
    elif arguments.what == "fuzz":
        fuzz(arguments.number, arguments.seed)
    else:
        fronts(arguments.out, arguments.quick, arguments.save)


if __name__ == "__main__":
    main()
