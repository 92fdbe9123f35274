"""What the foundation claims, measured: fronts on deep-sea-treasure and minecart, speed beside morl-baselines.

    python benchmarks/foundation.py fronts                 # 5 seeds each, every run in a fresh process
    python benchmarks/foundation.py policies               # steps/s as the number of policies grows
    python benchmarks/foundation.py peers --peer-python PY # beside Envelope and GPI-LS (see benchmarks/peers/README.md)

Wall-clock is that of the whole command: start of Python, compilation, evaluations and pictures included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MINECART_REFERENCE = ["-1", "-1", "-200"]


@dataclass
class Result:
    """One `morl train cmorl` in a process of its own; the hypervolume is that of the re-evaluated front."""

    seconds: float
    policies: int
    hypervolume: float
    history: list[dict[str, float]]

    def seconds_to(self, hypervolume: float) -> str:
        """Wall-clock until an evaluation first reached it."""
        lead = (
            self.seconds - self.history[-1]["seconds"]
        )  # imports before the loop, re-evaluation and pictures after it
        rows = [row for row in self.history if row["hypervolume"] >= hypervolume]
        return f"{rows[0]['seconds'] + lead:.0f}" if rows else "-"


def one_run(*flags: str) -> Result:
    """Train and read the run back."""
    import morl

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "morl", "train", "cmorl", "--out", str(out), *flags]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        rows = csv.DictReader((out / "metrics.csv").read_text().splitlines())
        history = [{name: float(value) for name, value in row.items()} for row in rows]
        front = morl.load(out).front
    return Result(seconds, len(front), front.hypervolume(), history)


def minecart_hypervolume() -> float:
    """Hypervolume of MO-Gymnasium's own (approximate) front at gamma 0.98: 668.18."""
    import mo_gymnasium

    from morl.metrics import hypervolume

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its spaces' precision
        front = mo_gymnasium.make("minecart-v0").unwrapped.pareto_front(0.98)
    return hypervolume(front, [float(x) for x in MINECART_REFERENCE])


def fronts(seeds: int) -> None:
    """Deep-sea-treasure with a million steps; minecart with the default steps and with 500 000."""
    import morl
    from morl.metrics import hypervolume

    dst = "deep-sea-treasure-v0"
    cases = [
        (
            f"{dst} --steps 1000000 --gamma 1 --reference-point 0 -25",
            hypervolume(morl.make(dst).true_front(1.0), (0, -25)),
        ),
        ("minecart-v0", minecart_hypervolume()),
        ("minecart-v0 --steps 500000", minecart_hypervolume()),
    ]
    for flags, true in cases:
        print(f"\n--env {flags} (true hypervolume {true:.2f})\nseed policies HV of_true seconds to_0.8 to_0.95")
        shares, walls = [], []
        for seed in range(seeds):
            result = one_run("--env", *flags.split(), "--seed", str(seed))
            shares.append(result.hypervolume / true)
            walls.append(result.seconds)
            print(
                f"{seed} {result.policies} {result.hypervolume:.2f} {shares[-1]:.3f} {walls[-1]:.1f} "
                f"{result.seconds_to(0.8 * true)} {result.seconds_to(0.95 * true)}",
                flush=True,
            )
        share, wall = statistics.median(shares), statistics.median(walls)
        print(f"median {share:.3f} of true (worst {min(shares):.3f}), {wall:.1f} s (worst {max(walls):.1f})")


POLICIES = """
import sys, time, json, jax
count, devices = int(sys.argv[1]), int(sys.argv[2])
jax.config.update("jax_num_cpu_devices", devices)
import numpy as np
import morl
from morl.agents.cmorl import CMORL, CMORLConfig
from morl.jax_backend import JaxBackend
from morl.types import Task
env = morl.make("minecart-v0")
agent = CMORL(CMORLConfig(num_policies=max(count, 2)), Task(env.observation_space, env.action_space, 3, 0.98, 10**9))
backend = JaxBackend(env, agent.learner, agent.preferences[:count], eval_episodes=32, gamma=0.98)
state = backend.init(list(jax.random.split(jax.random.key(0), count)))
started = time.perf_counter()
state, metrics = backend.run(state, 1)
jax.block_until_ready(metrics)
compiling = time.perf_counter() - started
per_update = count * agent.learner.num_envs * agent.learner.rollout_steps
updates = max(4, 300_000 // per_update)
rates = []
for _ in range(5):
    started = time.perf_counter()
    state, metrics = backend.run(state, updates)
    jax.block_until_ready(metrics)
    rates.append(updates * per_update / (time.perf_counter() - started))
print(json.dumps({"compiling": compiling, "rate": sorted(rates)[2]}))
"""


def throughput(count: int, devices: int) -> dict[str, float]:
    """Median of five: steps/s of rollout and update together on minecart, default settings, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", POLICIES, str(count), str(devices)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def policies() -> None:
    """Total steps/s for 1 to 32 policies on one device and on one a core."""
    cores = os.cpu_count() or 1
    print(f"policies, steps/s on 1 device, compiled in s, steps/s on {cores} devices, compiled in s")
    for count in (1, 2, 4, 8, 16, 32):
        one, many = throughput(count, 1), throughput(count, min(count, cores))
        columns = (one["rate"], one["compiling"], many["rate"], many["compiling"])
        print(f"{count:>2} " + " ".join(f"{x:>9,.0f}" if x > 1000 else f"{x:>6.1f}" for x in columns), flush=True)


def run_peer(python: str, name: str, threads: int, seconds: int) -> dict[str, Any]:
    """JSON of one run of a peer, evaluated once at its end."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "peer.json"
        command = [python, str(HERE / "peers" / "run_peer.py"), name, "--env", "minecart-v0", "--out", str(out)]
        command += ["--seconds", str(seconds), "--eval-every", str(seconds), "--threads", str(threads), "--seed", "0"]
        command += ["--gamma", "0.98", "--reference-point", *MINECART_REFERENCE]
        subprocess.run(command, check=True, capture_output=True)
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def peers(python: str, seconds: int, seeds: int) -> None:
    """Steps/s of 6 policies beside each peer, at 1 and 2 threads; the hypervolume of each after ``seconds``."""
    true = minecart_hypervolume()
    ours = throughput(6, os.cpu_count() or 1)
    print(f"morl, 6 policies at once: {ours['rate']:,.0f} steps/s (compiled in {ours['compiling']:.1f} s)", flush=True)
    reached = [one_run("--seed", str(seed)).seconds_to(0.8 * true) for seed in range(seeds)]
    print(
        f"morl, default settings: 0.8 of the true hypervolume after {', '.join(reached)} s ({seeds} seeds)", flush=True
    )
    for name in ("envelope", "gpi-ls"):
        rates = {threads: run_peer(python, name, threads, 60)["steps_per_second"] for threads in (1, 2)}
        for threads, rate in rates.items():
            print(f"{name}, {threads} thread(s): {rate:.0f} steps/s; morl {ours['rate'] / rate:,.0f} times", flush=True)
        result = run_peer(python, name, max(rates, key=lambda threads: rates[threads]), seconds)
        best = max(row["hypervolume"] for row in result["history"])
        print(
            f"{name}: {best / true:.3f} of the true hypervolume after {seconds} s, {result['steps']} steps", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fronts", "policies", "peers"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=600, help="wall-clock of each peer")
    parser.add_argument("--peer-python", default="python", help="interpreter that has morl-baselines")
    args = parser.parse_args()
    if args.what == "fronts":
        fronts(args.seeds)
    elif args.what == "policies":
        policies()
    else:
        peers(args.peer_python, args.seconds, args.seeds)


if __name__ == "__main__":
    main()
