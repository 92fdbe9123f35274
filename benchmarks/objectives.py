"""What objectives cost: C-MORL's training on the same building with 2, 3, 6 and 9 of its rewards, and hypervolumes.

    python benchmarks/objectives.py

Each number of objectives is trained in a fresh process: seconds of the first call, which compiles, then steps/s of
collecting and learning together, median of five.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from training_rate import training_rate

NUMBERS = (2, 3, 6, 9)


def throughput(count: int) -> dict[str, float]:
    """Of six policies with ``count`` objectives."""
    from morl import devices
    from morl.agents.cmorl import CMORL, CMORLConfig
    from morl.envs.building import Building
    from morl.types import Task

    devices.reserve()

    @dataclass(frozen=True)
    class Some(Building):
        """The first of the nine rewards."""

        def step(self, *args: Any) -> Any:
            state, obs, reward, *rest = super().step(*args)
            return state, obs, reward[:count], *rest

    env = Some(by_floor=True)
    agent = CMORL(CMORLConfig(num_policies=6), Task(env.observation_space, env.action_space, count, 1.0, 10**9))
    return training_rate(env, agent, agent.preferences, eval_episodes=4, gamma=1.0, steps=8 * 6 * 1024)


def hypervolumes(count: int, size: int = 200) -> str:
    """Of a front on a sphere: what the run reports, seconds, and how far four other estimates are from it."""
    import moocore

    from morl.metrics import hypervolume_estimate

    points = np.abs(np.random.default_rng(0).normal(size=(size, count)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    started = time.perf_counter()
    value, exact = hypervolume_estimate(points, np.zeros(count))
    seconds = time.perf_counter() - started
    if exact:
        return f"| {count} | {value:.6g}, exact | {seconds:.2f} | |"
    # of independent samples: their deviation is an honest error of each, and theirs is the larger one
    others = [
        moocore.hv_approx(points, ref=np.zeros(count), maximise=True, nsamples=2**18, seed=i, method="DZ2019-MC")
        for i in range(4)
    ]
    apart = abs(np.mean(others) - value) / value
    error = np.std(others, ddof=1) / 2 / value
    check = f"{apart:.2%} from Monte Carlo, whose error is {error:.2%}"
    return f"| {count} | {value:.6g}, approximate | {seconds:.2f} | {check} |"


def main() -> None:
    if len(sys.argv) == 2:
        print(json.dumps(throughput(int(sys.argv[1]))))
        return
    print("| objectives | steps/s | beside 2 | first call, s |\n|---|---|---|---|")
    rates: dict[int, float] = {}
    for count in NUMBERS:
        done = subprocess.run([sys.executable, __file__, str(count)], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        rates[count] = result["rate"]
        print(
            f"| {count} | {result['rate']:,.0f} | {rates[count] / rates[2]:.2f} | {result['compiling']:.1f} |",
            flush=True,
        )
    print("\n| objectives | hypervolume of 200 points | seconds | check |\n|---|---|---|---|")
    for count in NUMBERS:
        print(hypervolumes(count), flush=True)


if __name__ == "__main__":
    main()
