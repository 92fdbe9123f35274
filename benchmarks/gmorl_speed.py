"""Speed of GMORL's gradient step and of its loop, beside an earlier checkout and the same step in PyTorch, in turns.

    git worktree add ../before COMMIT
    python benchmarks/gmorl_speed.py gradients ../before --torch .venv/bin/python
    python benchmarks/gmorl_speed.py gradients ../before --torch .venv/bin/python --only convolution
    python benchmarks/gmorl_speed.py loop
    python benchmarks/gmorl_speed.py show

Each case is kept as soon as it is measured, beside those that the file of results has already.

Gradient step: no acting, a full replay of random transitions of the simulator's shapes, each library in a process of
its own. Here on two virtual devices, as one policy is trained on two cores, and on one; the checkout on one device with
all cores, as it trained. PyTorch runs `benchmarks/peers/gmorl_torch.py` with one thread and with two; the better one
counts. What is compared takes turns, seven rounds of it. Wall time and CPU time are kept, ratios are those of medians
of wall time, and compilation is not in the figures. Loop: acting in 64 environments for ten steps each, replay,
gradient steps, targets, all compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.envs.mec import MecOffloading
from morl.ops.preferences import equally_spaced_weights
from morl.training.backends.devices import quick_to_compile
from morl.training.backends.jax import JaxBackend

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "sac_speed.json"
ROUNDS = 7
CAPACITY = 19_200
PREFERENCES = equally_spaced_weights(2, 64)[None]
CASES = [  # network, sizes, batch
    ("rows", (32, 32), 256),
    ("rows", (32, 32), 1024),
    ("rows", (32, 32), 4096),
    ("rows", (96, 96), 256),
    ("convolution", (64, 128, 128), 256),
    ("convolution", (64, 128, 128), 4096),
]
ENV = MecOffloading(max_edges=8)


def learner_of(network: str, sizes: tuple[int, ...], batch: int, gradient_steps: int = 16) -> SAC:
    hidden = sizes if network == "rows" else sizes[1:]
    config = SACConfig(
        network=network,  # type: ignore[arg-type]
        hidden=hidden,
        channels=sizes[0],
        batch_size=batch,
        replay_capacity=CAPACITY,
        learning_starts=640,
        gradient_steps=gradient_steps,
        objective_scales=(0.003, 1.5),
    )
    spaces = (ENV.observation_space, ENV.action_space)
    return SAC(config, *spaces, 2, 0.95, 10_000, ENV.action_mask, ENV.action_features)


def filled(learner: SAC) -> tuple[Any, Any]:
    """Return what a fresh learner learns, and a full replay of random numbers, all to be learnt from."""
    rng = np.random.default_rng(0)

    def numbers(x: Any) -> Any:
        if np.issubdtype(x.dtype, np.integer):
            return rng.integers(0, learner.actions.num_outputs, x.shape).astype(x.dtype)
        return np.ones(x.shape, bool) if x.dtype == bool else rng.random(x.shape, dtype=np.float32)

    state = learner.init(jax.random.key(0))
    rows = jax.tree.map(numbers, state.replay.rows)
    first = rng.random((CAPACITY, 1), dtype=np.float32)
    rows = rows._replace(preference=np.concatenate([first, 1 - first], axis=1), terminated=np.zeros(CAPACITY, bool))
    stored = state.replay._replace(rows=jax.tree.map(jnp.asarray, rows), filled=jnp.int32(CAPACITY))
    return (state.params, state.learning), stored


def gradient_steps(
    network: str, sizes: tuple[int, ...], batch: int, devices: int
) -> tuple[int, int, Callable[[], Any]]:
    """Return the actor's parameters, the gradient steps of a turn and a function for these, on 1 or 2 devices."""
    learner = learner_of(network, sizes, batch)
    learnt, stored = filled(learner)
    if devices == 2:
        learner = learner.with_batch_axis("batches")
    number = max(2, 12_800 // batch)

    def run(learnt: Any, stored: Any, key: jax.Array) -> Any:
        def step(learnt: Any, key: jax.Array) -> tuple[Any, None]:
            return learner.gradient_step(learnt[0], learnt[1], stored, key)[0][:2], None

        return jax.lax.scan(step, learnt, jax.random.split(key, number))[0]

    mesh, whole = Mesh(np.asarray(jax.devices()[:devices]), ("batches",)), PartitionSpec()
    compiled = jax.jit(
        jax.shard_map(run, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False),
        compiler_options=quick_to_compile(),
    )
    given = jax.device_put((learnt, stored, jax.random.key(1)), NamedSharding(mesh, whole))
    parameters = sum(x.size for x in jax.tree.leaves(learnt[0].actor))
    return parameters, number, lambda: jax.block_until_ready(compiled(*given))


def child(network: str, sizes: str, batch: str, devices: str) -> None:
    """Compile a case, print the actor's parameters, and for each line of the input the rates by wall and CPU time."""
    parameters, number, run = gradient_steps(network, tuple(map(int, sizes.split())), int(batch), int(devices))
    run()
    print(parameters, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        rates = number / (time.perf_counter() - wall), number / (time.process_time() - cpu)
        print(json.dumps(rates), flush=True)


class Worker:
    """Process that takes the gradient steps of a case with the library of a checkout."""

    def __init__(self, checkout: Path, case: tuple[str, tuple[int, ...], int], devices: int) -> None:
        network, sizes, batch = case
        self.process = subprocess.Popen(
            [sys.executable, __file__, "child", "--case", network, " ".join(map(str, sizes)), str(batch), str(devices)],
            env={**os.environ, "PYTHONPATH": str(checkout.resolve()), "JAX_NUM_CPU_DEVICES": str(devices)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.parameters: int = self._answer()

    def rates(self) -> list[float]:
        assert self.process.stdin is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        found: list[float] = self._answer()
        return found

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def torch_rates(python: str, case: tuple[str, tuple[int, ...], int], threads: int) -> list[float]:
    network, sizes, batch = case
    script = HERE / "peers" / "gmorl_torch.py"
    flags = f"--threads {threads} --batch {batch} --network {network} --seconds 3 --sizes {' '.join(map(str, sizes))}"
    done = subprocess.run([python, str(script), *flags.split()], check=True, capture_output=True, text=True)
    return [float(json.loads(done.stdout)["rate"])]


def title_of(case: tuple[str, tuple[int, ...], int]) -> str:
    network, sizes, batch = case
    return f"{network} {' '.join(map(str, sizes))}, {batch}"


def gradients(before: Path | None, python: str | None, only: str, out: Path) -> None:
    """Measure the cases whose title begins with ``only`` in turns, and keep the medians of each."""
    for case in CASES:
        if not title_of(case).startswith(only):
            continue
        workers = {"two": Worker(HERE.parent, case, 2), "one": Worker(HERE.parent, case, 1)}
        if before:
            workers["before"] = Worker(before, case, 1)
        turns: dict[str, Callable[[], list[float]]] = {name: worker.rates for name, worker in workers.items()}
        if python:
            turns |= {f"torch {threads}": partial(torch_rates, python, case, threads) for threads in (1, 2)}
        found: dict[str, list[list[float]]] = {name: [] for name in turns}
        for _ in range(ROUNDS):
            for name, rates in turns.items():
                found[name].append(rates())
        medians = {
            name: [round(statistics.median(x), 2) for x in zip(*each, strict=True)] for name, each in found.items()
        }
        row = {"parameters": workers["two"].parameters, "rates": medians}
        keep(out, "gradients", title_of(case), row)
        for worker in workers.values():
            worker.process.kill()


def keep(out: Path, kind: str, name: str, row: dict[str, Any]) -> None:
    """Print a row and write it to the file of results."""
    print(name, json.dumps(row), flush=True)
    kept = json.loads(out.read_text()) if out.exists() else {"gradients": {}, "loop": {}}
    kept["machine"] = {"cores": os.cpu_count(), "jax": jax.__version__, "platform": sys.platform}
    kept[kind][name] = row
    out.write_text(json.dumps(kept, indent=1) + "\n")


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rates by wall time, and those by CPU time behind them, in Markdown."""
    lines = [
        "| network, batch | parameters | two devices: gradient steps/s (a CPU-s) | one device | before "
        "| PyTorch, 1 thread | 2 threads | beside before | beside the better PyTorch |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title in filter(rows.__contains__, map(title_of, CASES)):
        row = rows[title]
        rates = row["rates"]
        cells = [f"{rates[x][0]:.3g} ({rates[x][1]:.3g})" if x in rates else "-" for x in ("two", "one", "before")]
        cells += [f"{rates[x][0]:.3g}" if x in rates else "-" for x in ("torch 1", "torch 2")]
        peers = [("before",), ("torch 1", "torch 2")]
        for names in peers:
            theirs = max((rates[name][0] for name in names if name in rates), default=float("nan"))
            cells.append(f"{rates['two'][0] / theirs:.2f}")
        lines.append(f"| {title} | {row['parameters']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def loop(out: Path) -> None:
    """Measure the whole loop on as many devices as a training takes, and keep the median of each batch."""
    for batch, steps in ((256, 16), (1024, 4), (4096, 1), (256, 1)):
        learner = learner_of("rows", (32, 32), batch, steps)
        backend = JaxBackend(ENV, learner, PREFERENCES, eval_episodes=1, gamma=1.0)
        started = time.perf_counter()
        state, _ = backend.run(backend.init([jax.random.key(0)]), 1)
        jax.block_until_ready(state)
        compiling = time.perf_counter() - started
        rates = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            state, sums = backend.run(state, 40)
            assert np.isfinite(sums.metrics["critic_loss"]).all()
            rates.append(40 / (time.perf_counter() - started))
        rate = statistics.median(rates)
        row = {"batch": batch, "steps": steps, "rollouts": round(rate, 3), "compiling": round(compiling, 1)}
        keep(out, "loop", f"{batch}, {steps} gradient steps", row)


def loop_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rates of the loop in Markdown."""
    lines = [
        "| batch | gradient steps a rollout of 640 | environment steps/s | gradient steps/s | compiled in, s |",
        "|---|---|---|---|---|",
    ]
    for row in rows.values():
        rates = f"{row['rollouts'] * 640:,.0f} | {row['rollouts'] * row['steps']:.0f}"
        lines.append(f"| {row['batch']} | {row['steps']} | {rates} | {row['compiling']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gradients", "loop", "show", "child"])
    parser.add_argument("before", type=Path, nargs="?", help="an earlier checkout")
    parser.add_argument("--torch", help="Python with PyTorch's CPU build")
    parser.add_argument("--only", default="", help="cases whose title begins with it, such as rows 32")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the medians are kept")
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.what == "child":
        child(*a.case)
    elif a.what == "gradients":
        gradients(a.before, a.torch, a.only, a.out)
    elif a.what == "loop":
        loop(a.out)
    else:
        kept = json.loads(a.out.read_text())
        print(table(kept["gradients"]), loop_table(kept["loop"]), sep="\n\n")


if __name__ == "__main__":
    main()
