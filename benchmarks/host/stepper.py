"""Contender of ``stepping.py``: environments in a process of their own, stepped for as long as each line of input says.

    python benchmarks/host/stepper.py mo-hopper-v5 48 peer
    PYTHONPATH=CHECKOUT python benchmarks/host/stepper.py mo-hopper-v5 48 '{"threads": 2}'

``peer`` is MO-Gymnasium's ``MOSyncVectorEnv``; else keywords of ``make_vector`` as JSON, of the library on the path.
Prints the ids of its processes, and for each line of seconds that it reads the number of steps and the CPU seconds of
this process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from typing import Any

import numpy as np


def main() -> None:
    id, number, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    envs: Any
    if how == "peer":
        import mo_gymnasium
        from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

        envs = MOSyncVectorEnv([lambda: mo_gymnasium.make(id)] * number)
        space = envs.single_action_space
    else:
        import morl

        env: Any = morl.make(id, "host")
        envs = env.make_vector(number, **json.loads(how))
        space = env.action_space
    space.seed(0)
    actions = np.stack([[space.sample() for _ in range(number)] for _ in range(64)])
    envs.reset(seed=0)
    taken = 0
    print(json.dumps([os.getpid(), *(child.pid for child in multiprocessing.active_children())]), flush=True)
    for line in sys.stdin:
        before, cpu, until = taken, time.process_time(), time.perf_counter() + float(line)
        while time.perf_counter() < until:
            envs.step(actions[taken % len(actions)])
            taken += 1
        print(json.dumps([(taken - before) * number, time.process_time() - cpu]), flush=True)
    envs.close()


if __name__ == "__main__":
    main()
