"""Rewards of the v5 robots against the v4 ones of published fronts, with the same starts and actions in both.

    python benchmarks/host/robot_versions.py

Differences are of the rewards of the same step, v5 less v4, for as long as both are in the same state: means over steps
that end nothing, and over those in which the robot falls.
"""

from __future__ import annotations

import warnings
from typing import Any

import mo_gymnasium
import numpy as np

ROBOTS = {  # v4: v5
    "mo-hopper-2d-v4": "mo-hopper-2obj-v5",
    "mo-hopper-v4": "mo-hopper-v5",
    "mo-ant-2d-v4": "mo-ant-2obj-v5",
    "mo-ant-v4": "mo-ant-v5",
    "mo-humanoid-v4": "mo-humanoid-v5",
    "mo-halfcheetah-v4": "mo-halfcheetah-v5",
    "mo-walker2d-v4": "mo-walker2d-v5",
}
EPISODES, STEPS = 20, 500


def differences(old: Any, new: Any) -> tuple[list[Any], list[Any], int]:
    """Return reward differences (N, R) of steps that end nothing and (M, R) of falls, and how many episodes part."""
    going, falls, parted = [], [], 0
    new.action_space.seed(0)
    for seed in range(EPISODES):
        for env in (old, new):
            env.reset(seed=seed)
        for _ in range(STEPS):
            action = new.action_space.sample()
            _, before, ended, *_ = old.step(action)
            _, after, over, *_ = new.step(action)
            same = all(np.array_equal(getattr(old.data, name), getattr(new.data, name)) for name in ("qpos", "qvel"))
            if not same or ended != over:
                parted += 1
                break
            (falls if ended else going).append(after - before)
            if ended:
                break
    return going, falls, parted


def text(rows: list[Any]) -> str:
    """Return the mean of differences (N, R) as text."""
    return " ".join(f"{x:.3g}" for x in np.mean(rows, axis=0)) if rows else "none"


def main() -> None:
    warnings.simplefilter("ignore")  # about v4, which is out of date
    print("| v4 | v5 | observation | reward of a step | of a fall | steps, falls | episodes that part |")
    print("|---|---|---|---|---|---|---|")
    for before, after in ROBOTS.items():
        old, new = (mo_gymnasium.make(id).unwrapped for id in (before, after))
        going, falls, parted = differences(old, new)
        sizes = " to ".join(str(env.observation_space.shape[0]) for env in (old, new))
        counts = f"{len(going)}, {len(falls)}"
        print(f"| {before} | {after} | {sizes} | {text(going)} | {text(falls)} | {counts} | {parted} of {EPISODES} |")


if __name__ == "__main__":
    main()
