"""Steps a second of MuJoCo's robots in one process, beside MO-Gymnasium's own vector environment.

    python benchmarks/host/stepping.py                 # all robots
    python benchmarks/host/stepping.py mo-ant-2obj-v5  # some

Both step the same 12 environments by the same random actions, episodes that start over and all, in turns of about a
second; each number is the median of seven turns, as is the ratio of two turns that follow each other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import mo_gymnasium
import numpy as np
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

import morl

ROBOTS = ("mo-hopper-v5", "mo-halfcheetah-v5", "mo-walker2d-v5", "mo-swimmer-v5", "mo-ant-v5", "mo-humanoid-v5")
NUM_ENVS, TURNS, SECONDS = 12, 7, 1.0


def rate(envs: Any, actions: np.ndarray[Any, Any]) -> float:
    """Return the steps/s of one turn."""
    started, taken = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        envs.step(actions[taken % len(actions)])
        taken += 1
    return taken * NUM_ENVS / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("robots", nargs="*", default=ROBOTS, help="ids of environments; by default all")
    robots = parser.parse_args().robots
    print("| environment | MO-Gymnasium, steps/s | morl, steps/s | ratio |\n|---|---|---|---|")
    for id in robots:
        theirs = MOSyncVectorEnv([lambda id=id: mo_gymnasium.make(id)] * NUM_ENVS)
        env: Any = morl.make(id, "host")
        ours = env.make_vector(NUM_ENVS)
        space = theirs.action_space
        space.seed(0)
        actions = np.stack([space.sample() for _ in range(64)])
        theirs.reset(seed=0)
        ours.reset(seed=0)
        turns = [(rate(theirs, actions), rate(ours, actions)) for _ in range(TURNS)]
        peer, own = (statistics.median(column) for column in zip(*turns, strict=True))
        ratio = statistics.median(own / peer for peer, own in turns)
        print(f"| {id} | {peer:,.0f} | {own:,.0f} | {ratio:.2f} |", flush=True)
        theirs.close()
        ours.close()


if __name__ == "__main__":
    main()
