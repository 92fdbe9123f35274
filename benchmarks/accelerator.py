"""Speed of a device: rates of environments and of all agents' updates, and whether a run repeats on it bit for bit.

    python benchmarks/accelerator.py                      # on the GPU, where JAX sees one
    JAX_PLATFORMS=cpu python benchmarks/accelerator.py    # the same on the CPU, to put beside it
    python benchmarks/accelerator.py --only MJX "C-MORL"  # lines whose name has one of these

Each line is the median of several calls after the first one, which compiles, and the seconds of that first call. On a
CPU the learners of C-MORL are split over the cores, as in `morl train`; all else runs as one program. "repeats" trains
twice from the same seed and compares the parameters bit for bit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "")  # the device's own choice, also for the scripts that are imported here

import jax
import numpy as np

from morl.training.backends.devices import reserve

reserve()

Line = tuple[float, float]  # rate per second, seconds of the first call


def environment(id: str, batch: int, length: int) -> Line:
    """Steps a second of random actions in one compiled scan."""
    from environments import ours

    return ours(id, batch, length)


def offloading(batch: int) -> Line:
    from environments import rate
    from mec import our_steps

    go, compiling = our_steps(6, batch)
    return rate(go), compiling


def cmorl(id: str, num_envs: int, steps: int, policies: int = 6) -> Line:
    """Environment steps a second of collecting and learning, all policies added up."""
    from training_rate import training_rate

    import morl
    from morl.agents.cmorl import CMORL, CMORLConfig
    from morl.types import Task

    env = morl.make(id, "jax")
    config = CMORLConfig(num_policies=policies, num_envs=num_envs, epochs=4, minibatches=4)
    agent = CMORL(config, Task(env.observation_space, env.action_space, len(env.objectives), 0.98, 10**9))
    found = training_rate(env, agent, agent.preferences[:policies], eval_episodes=4, gamma=0.98, steps=steps)
    return found["rate"], found["compiling"]


def gmorl(network: str, sizes: tuple[int, ...], batch: int) -> Line:
    """Gradient steps a second."""
    from gmorl_speed import Gradient

    started = time.perf_counter()
    gradient = Gradient(network, sizes, batch)
    compiling = time.perf_counter() - started
    return statistics.median(gradient.rate() for _ in range(5)), compiling


def mogfn(id: str, settings: dict[str, Any], updates: int) -> Line:
    """Updates a second of the first ones."""
    from environments import rate

    import morl
    from morl.agents.mogfn import MOGFN, MOGFNConfig
    from morl.constructive.backend import SamplerBackend

    agent = MOGFN(MOGFNConfig(**settings), morl.make(id, "jax"), 10_000)
    backend = SamplerBackend(agent, 1, block=1, gamma=1.0)
    started = time.perf_counter()
    state, _ = backend.run(backend.init([jax.random.key(0)]), 0)
    compiling = time.perf_counter() - started

    def go() -> int:
        nonlocal state
        state, _ = backend.run(state, updates)
        return updates

    go()
    return rate(go), compiling


def repeats() -> str:
    """Return, as text, whether 20 updates of C-MORL from one seed give the same parameters twice, to the bit."""
    import morl
    from morl.agents.cmorl import CMORL, CMORLConfig
    from morl.training.backends.jax import JaxBackend
    from morl.types import Task

    env = morl.make("minecart-v0", "jax")
    agent = CMORL(CMORLConfig(num_policies=6), Task(env.observation_space, env.action_space, 3, 0.98, 10**9))
    found = []
    for _ in range(2):
        backend = JaxBackend(env, agent.learner, agent.preferences, eval_episodes=4, gamma=0.98)
        state, _ = backend.run(backend.init(list(jax.random.split(jax.random.key(0), len(agent.preferences)))), 20)
        found.append(b"".join(np.ascontiguousarray(x).tobytes() for x in jax.tree.leaves(backend.saved(state))))
    return "to the bit" if found[0] == found[1] else "not to the bit"


def cases(device: str) -> dict[str, Callable[[], Line]]:
    """Return the measurements by name; batches that would take minutes on a CPU are smaller there."""
    from mogfn import STRINGS

    small = device == "cpu"
    strings = {**STRINGS, "beta": 96.0}
    hopper = (2, 64) if small else (1024, 8192)
    return {
        "fruit-tree, 4096 environments": partial(environment, "fruit-tree-v0", 4096, 64),
        "fruit-tree, 65 536": partial(environment, "fruit-tree-v0", 65_536, 64),
        "minecart, 64 environments": partial(environment, "minecart-v0", 64, 256),
        "minecart, 4096": partial(environment, "minecart-v0", 4096, 64),
        "minecart, 65 536": partial(environment, "minecart-v0", 65_536, 64),
        "offloading, 512 environments": partial(offloading, 512),
        "offloading, 8192": partial(offloading, 8192),
        "C-MORL on minecart, 6 policies of 16 environments": partial(cmorl, "minecart-v0", 16, 300_000),
        "C-MORL on minecart, 6 of 256": partial(cmorl, "minecart-v0", 256, 2_000_000),
        "C-MORL on minecart, 6 of 2048": partial(cmorl, "minecart-v0", 2048, 10_000_000),
        "GMORL, gradient steps, rows 32 32, batch 256": partial(gmorl, "rows", (32, 32), 256),
        "GMORL, rows 96 96, 4096": partial(gmorl, "rows", (96, 96), 4096),
        "GMORL, convolution 64 128 128, 4096": partial(gmorl, "convolution", (64, 128, 128), 4096),
        "MOGFN, updates, hypergrid, batch 128": partial(mogfn, "hypergrid-v0", {}, 200),
        "MOGFN, bigrams, transformer, batch 128": partial(mogfn, "ngrams-v0", strings, 10 if small else 100),
        f"MJX hopper, {hopper[0]} environments": partial(environment, "mo-hopper-v5", hopper[0], 20),
        f"MJX hopper, {hopper[1]}": partial(environment, "mo-hopper-v5", hopper[1], 20),
        f"MJX ant, {hopper[1] // 2}": partial(environment, "mo-ant-v5", hopper[1] // 2, 10),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of lines")
    args = parser.parse_args()
    device = jax.devices()[0]
    print(f"{device.device_kind} ({device.platform}), {os.cpu_count()} cores, JAX {jax.__version__}\n")
    print("| what | a second | first call, s |\n|---|---|---|")
    for name, measure in cases(device.platform).items():
        if not any(part in name for part in args.only):
            continue
        try:  # a measurement that fails on this device does not stop the others
            rate, compiling = measure()
            print(f"| {name} | {rate:,.{0 if rate > 20 else 1}f} | {compiling:.1f} |", flush=True)
        except Exception:
            traceback.print_exc()
            print(f"| {name} | failed | |", flush=True)
    if "" in args.only or "repeats" in args.only:
        print(f"\nrepeats: {repeats()}", flush=True)


if __name__ == "__main__":
    main()
