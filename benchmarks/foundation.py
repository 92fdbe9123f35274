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
from pathlib import Path

HERE = Path(__file__).parent
MINECART_REFERENCE = ["-1", "-1", "-200"]


def train(out: Path, *flags: str) -> float:
    """Wall-clock seconds of one `morl train cmorl` in a process of its own."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "morl", "train", "cmorl", "--out", str(out), *flags], check=True, capture_output=True)
    return time.perf_counter() - started


def history(out: Path) -> list[dict[str, float]]:
    """Rows of metrics.csv."""
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader((out / "metrics.csv").read_text().splitlines())]


def minecart_hypervolume() -> float:
    """Hypervolume of MO-Gymnasium's own (approximate) front at gamma 0.98: 668.18."""
    import mo_gymnasium

    from morl.metrics import hypervolume

    front = mo_gymnasium.make("minecart-v0").unwrapped.pareto_front(0.98)
    return hypervolume(front, [float(x) for x in MINECART_REFERENCE])


def fronts(seeds: int) -> None:
    """Deep-sea-treasure with the default steps and a million; minecart with the default steps and with 500 000."""
    import morl
    from morl.metrics import hypervolume

    dst_true = hypervolume(morl.make("deep-sea-treasure-v0").true_front(1.0), (0, -25))
    minecart_true = minecart_hypervolume()
    cases = {
        "deep-sea-treasure-v0, 1M steps": (dst_true, "deep-sea-treasure-v0 --steps 1000000 --gamma 1 --reference-point 0 -25"),
        "minecart-v0, default": (minecart_true, "minecart-v0"),
        "minecart-v0, 500k steps": (minecart_true, "minecart-v0 --steps 500000"),
    }
    for name, (true, flags) in cases.items():
        print(f"\n{name} (true hypervolume {true:.2f})")
        print(f"{'seed':>4} {'policies':>8} {'HV':>8} {'of true':>8} {'seconds':>8} {'s to 0.8':>8} {'s to 0.95':>9}")
        shares, walls = [], []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "run"
                seconds = train(out, "--env", *flags.split(), "--seed", str(seed))
                front = morl.load(out).front
                rows = history(out)
            hv = front.hypervolume()
            shares.append(hv / true)
            walls.append(seconds)
            # metrics.csv counts from the start of the loop; what came before it belongs to the wall-clock too
            lead = max(0.0, seconds - rows[-1]["seconds"])
            reached = [
                next((f"{row['seconds'] + lead:.0f}" for row in rows if row["hypervolume"] >= part * true), "-")
                for part in (0.8, 0.95)
            ]
            print(f"{seed:>4} {len(front):>8} {hv:>8.2f} {hv / true:>8.3f} {seconds:>8.1f} {reached[0]:>8} {reached[1]:>9}", flush=True)
        print(f"median {statistics.median(shares):.3f} of true in {statistics.median(walls):.1f} s (slowest {max(walls):.1f} s)")


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
    print(f"{'policies':>8} {'1 device':>10} {'compile':>8} {f'{cores} devices':>10} {'compile':>8}   (steps/s, s)")
    for count in (1, 2, 4, 8, 16, 32):
        one, many = throughput(count, 1), throughput(count, min(count, cores))
        print(f"{count:>8} {one['rate']:>10,.0f} {one['compiling']:>8.1f} {many['rate']:>10,.0f} {many['compiling']:>8.1f}", flush=True)


def peers(peer_python: str, seconds: int, seeds: int) -> None:
    """Steps/s of 6 policies beside each peer at 1 and 2 threads, and the time each takes to 0.8 of the true hypervolume."""
    true = minecart_hypervolume()
    ours = throughput(6, os.cpu_count() or 1)
    print(f"morl, 6 policies at once: {ours['rate']:,.0f} steps/s (compiled in {ours['compiling']:.1f} s)", flush=True)
    times = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "run"
            whole = train(out, "--seed", str(seed))
            rows = history(out)
        lead = max(0.0, whole - rows[-1]["seconds"])
        times.append(next(row["seconds"] + lead for row in rows if row["hypervolume"] >= 0.8 * true))
    print(f"morl, default settings: 0.8 of the true hypervolume after {statistics.median(times):.0f} s (median of {seeds})", flush=True)
    for name in ("envelope", "gpi-ls"):
        for threads in (1, 2):
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "peer.json"
                command = [peer_python, str(HERE / "peers" / "run_peer.py"), name, "--env", "minecart-v0"]
                command += ["--seconds", str(seconds), "--threads", str(threads), "--seed", "0", "--out", str(out)]
                command += ["--gamma", "0.98", "--reference-point", *MINECART_REFERENCE]
                subprocess.run(command, check=True, capture_output=True)
                result = json.loads(out.read_text())
            best = max((row["hypervolume"] for row in result["history"]), default=0.0)
            reached = next((f"after {row['seconds']:.0f} s" for row in result["history"] if row["hypervolume"] >= 0.8 * true), "not reached")
            rate = result["steps_per_second"]
            print(
                f"{name}, {threads} thread(s): {rate:.0f} steps/s, ours {ours['rate'] / rate:,.0f} times; 0.8 {reached}; "
                f"best {best / true:.3f} of true in {seconds} s",
                flush=True,
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
