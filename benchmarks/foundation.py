"""Speed of training on minecart, alone and beside morl-baselines.

    python benchmarks/foundation.py policies               # steps/s as the number of policies grows
    python benchmarks/foundation.py peers --peer-python PY # beside Envelope and GPI-LS (see benchmarks/peers/README.md)

Wall-clock is that of the whole command: start of Python, compilation, evaluations and pictures included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cmorl import MINECART_REFERENCE, minecart_hypervolume, one_run

HERE = Path(__file__).parent


POLICIES = """
import sys, json, jax
count, devices = int(sys.argv[1]), int(sys.argv[2])
jax.config.update("jax_num_cpu_devices", devices)
import morl
from training_rate import training_rate
from morl.agents.cmorl import CMORL, CMORLConfig
from morl.types import Task
env = morl.make("minecart-v0")
config = CMORLConfig(num_policies=max(count, 2), epochs=4, minibatches=4)
agent = CMORL(config, Task(env.observation_space, env.action_space, 3, 0.98, 10**9))
rate = training_rate(env, agent, agent.preferences[:count], eval_episodes=32, gamma=0.98, steps=300_000)
print(json.dumps(rate))
"""


def throughput(count: int, devices: int) -> dict[str, float]:
    """Median of five: steps/s of rollout and update (4 epochs of 4 minibatches) on minecart, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", POLICIES, str(count), str(devices)], check=True, capture_output=True, text=True, cwd=HERE
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
    reached = [one_run("--seed", str(seed)).seconds_to(0.95 * true) for seed in range(seeds)]
    print(
        f"morl, default settings: 0.95 of the true hypervolume after {', '.join(reached)} s ({seeds} seeds)", flush=True
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
    parser.add_argument("what", choices=("policies", "peers"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=600, help="wall-clock of each peer")
    parser.add_argument("--peer-python", default="python", help="interpreter that has morl-baselines")
    args = parser.parse_args()
    if args.what == "policies":
        policies()
    else:
        peers(args.peer_python, args.seconds, args.seeds)


if __name__ == "__main__":
    main()
