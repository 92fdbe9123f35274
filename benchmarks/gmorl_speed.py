"""Speed of GMORL's loop, and of its gradient step beside the same in PyTorch, in one run.

    python benchmarks/gmorl_speed.py --torch .venv-peers/bin/python

Loop: acting in 64 environments for ten steps each, replay, sixteen gradient steps, targets, all compiled. Gradient
step: no acting, a full replay. PyTorch runs `benchmarks/peers/gmorl_torch.py` with one thread and with two; the better
one counts. What is compared takes turns, three rounds of it, medians; compilation is not in the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.agents.sac.types import Params, SACLearning
from morl.envs.mec import MecOffloading
from morl.ops.preferences import equally_spaced_weights
from morl.training.backends.jax import JaxBackend

ROUNDS = 3
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
        replay_capacity=19_200,
        learning_starts=640,
        gradient_steps=gradient_steps,
        objective_scales=(0.003, 1.5),
    )
    spaces = (ENV.observation_space, ENV.action_space)
    return SAC(config, *spaces, 2, 0.95, 10_000, ENV.action_mask, ENV.action_features)


class Gradient:
    """Gradient steps alone, on a replay of real transitions."""

    def __init__(self, network: str, sizes: tuple[int, ...], batch: int) -> None:
        learner = learner_of(network, sizes, batch)
        filler = learner_of(network, sizes, 8, gradient_steps=1)  # which has no need of large batches
        backend = JaxBackend(ENV, filler, PREFERENCES, eval_episodes=1, gamma=1.0, devices=jax.devices()[:1])
        state, _ = backend.run(backend.init([jax.random.key(0)]), 30)
        state = jax.tree.map(lambda x: x[0], state.learners)
        self.parameters = sum(x.size for x in jax.tree.leaves(state.params.actor))

        @jax.jit
        def run(learnt: tuple[Params, SACLearning], key: jax.Array) -> tuple[Params, SACLearning]:
            return jax.lax.scan(lambda x, k: (learner.gradient_step(*x, state.replay, k)[0], None), learnt, keys(key))[
                0
            ]

        def keys(key: jax.Array) -> jax.Array:
            return jax.random.split(key, self.number)

        self.number = max(2, 25_600 // batch)
        self.run, self.key = run, jax.random.key(1)
        self.learnt = (state.params, state.learning)
        self.rate()

    def rate(self) -> float:
        started = time.perf_counter()
        self.learnt = jax.block_until_ready(self.run(self.learnt, self.key))
        return self.number / (time.perf_counter() - started)


def torch_rate(python: str, network: str, sizes: tuple[int, ...], batch: int, threads: int) -> float:
    script = Path(__file__).parent / "peers" / "gmorl_torch.py"
    flags = f"--threads {threads} --batch {batch} --network {network} --seconds 5 --sizes {' '.join(map(str, sizes))}"
    done = subprocess.run([python, str(script), *flags.split()], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["rate"])


def gradients(python: str | None) -> None:
    print(
        "| network | parameters | batch | ours, gradient steps/s | PyTorch, 1 thread | 2 threads | beside the better |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        ours = Gradient(*case)
        found: dict[str, list[float]] = {"ours": [], "1": [], "2": []}
        for _ in range(ROUNDS):
            found["ours"].append(ours.rate())
            for threads in (1, 2) if python else ():
                found[str(threads)].append(torch_rate(python, *case, threads))  # type: ignore[arg-type]
        medians = {name: statistics.median(rates) for name, rates in found.items() if rates}
        theirs = max((rate for name, rate in medians.items() if name != "ours"), default=float("nan"))
        name, sizes, batch = case
        cells = [f"{medians[x]:.1f}" if x in medians else "-" for x in ("ours", "1", "2")]
        title = f"{name} {' '.join(map(str, sizes))}"
        print(
            f"| {title} | {ours.parameters:,} | {batch} | {' | '.join(cells)} | {medians['ours'] / theirs:.2f} |",
            flush=True,
        )


def loop() -> None:
    print("\n| batch | gradient steps a rollout of 640 | environment steps/s | gradient steps/s | compiled in, s |")
    print("|---|---|---|---|---|")
    for batch, steps in ((256, 16), (1024, 4), (4096, 1), (256, 1)):
        learner = learner_of("rows", (32, 32), batch, steps)
        backend = JaxBackend(ENV, learner, PREFERENCES, eval_episodes=1, gamma=1.0, devices=jax.devices()[:1])
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
        print(f"| {batch} | {steps} | {rate * 640:,.0f} | {rate * steps:.0f} | {compiling:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", help="Python with PyTorch's CPU build; without it ours alone is measured")
    a = parser.parse_args()
    print(f"# {os.cpu_count()} cores, JAX {jax.__version__}, {sys.platform}")
    gradients(a.torch)
    loop()


if __name__ == "__main__":
    main()
