"""Cost of more objectives: C-MORL on the same building with 2, 3, 6 and 9 of its rewards, and hypervolumes.

    python benchmarks/objectives.py

Each number of objectives is trained in fresh processes: steps/s of collecting and learning in the first stage, median
of five; then whole trainings of both stages by either method, their compilation, evaluations and pictures included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from training_rate import training_rate

import morl
from morl.agents.cmorl import CMORL, CMORLConfig
from morl.envs.base import Objective
from morl.envs.building.environment import Building
from morl.ops.metrics import hypervolume_estimate
from morl.training.backends import devices
from morl.types import Task

NUMBERS = (2, 3, 6, 9)
METHODS = ("ipo", "cpo")
STEPS, EPISODE = 1_000_000, 48  # steps of a whole training, and of an episode


@dataclass(frozen=True)
class Some(Building):
    """The building with the first ``count`` of its nine rewards."""

    by_floor: bool = True
    count: int = 9

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Names of the rewards."""
        return super().objectives[: self.count]

    def step(self, *args: Any) -> Any:
        """Step as in :meth:`morl.envs.base.Env.step`, with the first ``count`` rewards."""
        state, obs, reward, *rest = super().step(*args)
        return state, obs, reward[: self.count], *rest


def throughput(count: int) -> dict[str, float]:
    """Return steps/s of training six policies with ``count`` objectives, and the seconds of compilation."""
    devices.reserve()
    env = Some(count=count)
    agent = CMORL(CMORLConfig(num_policies=6), Task(env.observation_space, env.action_space, count, 1.0, 10**9))
    return training_rate(env, agent, agent.preferences, eval_episodes=4, gamma=1.0, steps=8 * 6 * 1024)


def whole(count: int, method: Any) -> dict[str, float]:
    """Return steps/s of a whole training of both stages, and the size of its front."""
    started = time.perf_counter()
    devices.reserve()
    spec = morl.EnvSpec(
        id="building-some-v0",
        summary="the first of the building's nine rewards",
        objectives=tuple(objective.name for objective in Some(count=count).objectives),
        reference_point=(0.0,) * count,
        gamma=1.0,
        entry_point=f"{__name__}:Some",
        kwargs={"count": count, "episode_steps": EPISODE, "time_resolution": 3600},
        max_episode_steps=EPISODE,
    )
    with tempfile.TemporaryDirectory() as scratch:
        settings = morl.TrainSettings(
            env=morl.register_env(spec).id, steps=STEPS, out=Path(scratch) / "run", eval_episodes=8, final_episodes=8
        )
        run = morl.train("cmorl", settings, CMORLConfig(extension=method))
    return {"rate": STEPS / (time.perf_counter() - started), "policies": len(run.front)}


def in_its_own_process(*arguments: object) -> dict[str, float]:
    """Run this script with these arguments in a process of its own; return the JSON it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result


def hypervolumes(count: int, size: int = 200) -> str:
    """Return a table row of a spherical front: hypervolume as runs report it, seconds, and a Monte Carlo check."""
    points = np.abs(np.random.default_rng(0).normal(size=(size, count)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    started = time.perf_counter()
    value, exact = hypervolume_estimate(points, np.zeros(count))
    seconds = time.perf_counter() - started
    if exact:
        return f"| {count} | {value:.6g}, exact | {seconds:.2f} | |"
    # independent Monte Carlo estimates; half of their standard deviation is the standard error of their mean
    others = [
        moocore.hv_approx(points, ref=np.zeros(count), maximise=True, nsamples=2**18, seed=i, method="DZ2019-MC")
        for i in range(4)
    ]
    apart = abs(np.mean(others) - value) / value
    error = np.std(others, ddof=1) / 2 / value
    check = f"{apart:.2%} from Monte Carlo, whose error is {error:.2%}"
    return f"| {count} | {value:.6g}, approximate | {seconds:.2f} | {check} |"


def main() -> None:
    if len(sys.argv) > 1:
        count, *method = sys.argv[1:]
        print(json.dumps(whole(int(count), *method) if method else throughput(int(count))))
        return
    print(
        "| objectives | collecting and learning, steps/s | beside 2 "
        f"| {' | '.join(f'whole training, {method}, steps/s | beside 2 | policies' for method in METHODS)} |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    first: dict[str, float] = {}
    for count in NUMBERS:
        cells = [str(count)]
        for method in ("", *METHODS):
            result = in_its_own_process(count, *([method] if method else []))
            beside = result["rate"] / first.setdefault(method, result["rate"])
            cells += [f"{result['rate']:,.0f}", f"{beside:.2f}", *([str(result["policies"])] if method else [])]
        print(f"| {' | '.join(cells)} |", flush=True)
    print("\n| objectives | hypervolume of 200 points | seconds | check |\n|---|---|---|---|")
    for count in NUMBERS:
        print(hypervolumes(count), flush=True)


if __name__ == "__main__":
    main()
