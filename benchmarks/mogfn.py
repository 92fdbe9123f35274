"""How exactly MOGFN samples: its distribution over the cells of a grid against the target, with no sampling noise.

    python benchmarks/mogfn.py grid                              # all cases, seeds 0 to 2
    python benchmarks/mogfn.py grid --case "H=8" --seeds 1       # cases whose name has this in it

The learnt policy's distribution is found by dynamic programming over the grid and the target by enumeration, for 11
preferences (0, 1), (0.1, 0.9), ..., (1, 0): L1 is Σ|p̂ − p| averaged over them, and |Δ log Z| the largest. Each number
is of the state at the end of a run, whose learning rates fall over exactly its steps. Seconds are those of training,
without compilation.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import jax
import numpy as np

from morl import gfn_metrics
from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.envs.hypergrid import HyperGrid
from morl.preferences import lattice

PREFERENCES = lattice(2, 10)
CHUNK = 1000  # updates of one compiled call


@dataclass(frozen=True)
class Case:
    """A grid, how long to train on it, and the L1 that is asked for."""

    side: int
    beta: float
    updates: int
    wanted: float

    @property
    def name(self) -> str:
        return f"H={self.side} beta={self.beta:g} {self.updates}"


CASES = (Case(8, 1, 3000, 0.02), Case(8, 1, 10_000, 0.005), Case(32, 1, 20_000, 0.01), Case(16, 8, 20_000, 0.01))


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    l1: float
    log_z_error: float
    uniform: float
    seconds: float


def one_run(case: Case, seed: int) -> Outcome:
    env = HyperGrid(case.side)
    agent = MOGFN(MOGFNConfig(beta=case.beta), env, case.updates)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state = agent.init(key_init)
    compiled = agent.run.lower(agent, state, key_run, CHUNK).compile()
    started = time.perf_counter()
    for _ in range(case.updates // CHUNK):
        state, _ = compiled(state, key_run)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - started

    outcomes, condition = env.outcomes(), agent.condition(PREFERENCES)
    log_reward = agent.log_reward(outcomes.values[None], PREFERENCES[:, None], case.beta)
    exact = gfn_metrics.target(outcomes, log_reward)
    learnt = agent.distribution(state, condition)
    return Outcome(
        l1=float(gfn_metrics.l1_distance(learnt, exact.probability).mean()),
        log_z_error=float(np.abs(np.asarray(agent.log_z(state, condition)) - exact.log_z).max()),
        uniform=float(gfn_metrics.l1_distance(1 / len(outcomes.values), exact.probability).mean()),
        seconds=seconds,
    )


def grid(wanted: str, seeds: int) -> None:
    """A line for each run, and a row of a table for each case."""
    rows = []
    for case in CASES:
        if wanted not in case.name:
            continue
        runs = []
        for seed in range(seeds):
            runs.append(one_run(case, seed))
            last = runs[-1]
            figures = f"L1 {last.l1:.4f} |dlogZ| {last.log_z_error:.4f} {last.seconds:.0f} s"
            print(f"{case.name} seed {seed}: {figures}", flush=True)
        each = ", ".join(f"{run.l1:.4f}" for run in runs)
        worst, error = max(run.l1 for run in runs), max(run.log_z_error for run in runs)
        rate = case.updates / min(run.seconds for run in runs)
        rows.append(
            f"| {case.side} | {case.beta:g} | {case.updates} | {each} | {worst:.4f} (at most {case.wanted:g}) "
            f"| {error:.4f} | {runs[0].uniform:.2f} | {rate:.0f} |"
        )
    print("\n| H | β | updates | L1 of each seed | worst | largest abs. error of log Z | L1 of uniform | updates/s |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("grid", help="exact distances on the hypergrid")
    command.add_argument("--case", default="", help="part of a case's name, such as 'H=8' or 'beta=8'")
    command.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    grid(args.case, args.seeds)


if __name__ == "__main__":
    main()
