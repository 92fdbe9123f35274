"""Hypergrid: exact distances of what is learnt from its target, and the fronts that draws find."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import jax
import numpy as np
from drawing import SAMPLES, Floats, draw, sampler_of

from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.optimiser import Params
from morl.constructive import metrics as gfn_metrics
from morl.constructive.backend import SamplerBackend
from morl.envs.constructive.hypergrid import HyperGrid
from morl.ops import metrics
from morl.ops.preferences import lattice

ELEVEN = lattice(2, 10)


@dataclass(frozen=True)
class Case:
    """Side of a hypergrid, the updates to train for, and the largest L1 distance wanted."""

    side: int
    beta: float
    updates: int
    wanted: float
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"H={self.side} beta={self.beta:g} {self.updates}"


CASES = (
    Case(8, 1, 3000, 0.02),
    Case(8, 1, 10_000, 0.005),
    Case(32, 1, 20_000, 0.01),
    # at β = 8 log Z is most curved for extreme preferences, which uniform draws rarely include
    Case(16, 8, 20_000, 0.01, {"concentration": 0.5, "log_z_learning_rate": 3e-3}),
)


def trained(agent: MOGFN, updates: int, seed: int) -> tuple[Params, float]:
    """Return the policy of a sampler after so many updates, and the seconds they took without compilation."""
    backend = SamplerBackend(agent, 1, block=1, gamma=1.0)
    state, _ = backend.run(backend.init([jax.random.key(seed)]), 0)  # compiles
    started = time.perf_counter()
    state, _ = backend.run(state, updates)
    seconds = time.perf_counter() - started
    return jax.tree.map(lambda x: x[0], backend.policies(state)), seconds


@dataclass(frozen=True)
class Distances:
    """Distances of a learnt distribution from its target.

    Attributes:
        l1: Σ|p̂ − p|, averaged over preferences.
        log_z_error: largest |Δ log Z|.
        uniform: L1 of the uniform distribution, averaged over preferences.
        seconds: of training, without compilation.
    """

    l1: float
    log_z_error: float
    uniform: float
    seconds: float


def one_case(case: Case, seed: int) -> Distances:
    env = HyperGrid(case.side)
    agent = MOGFN(MOGFNConfig(beta=case.beta, **case.settings), env, case.updates)
    policy, seconds = trained(agent, case.updates, seed)
    outcomes, condition = env.outcomes(), agent.condition(ELEVEN)
    log_reward = agent.log_reward(outcomes.values[None], ELEVEN[:, None], case.beta)
    exact = gfn_metrics.target(outcomes, log_reward)
    learnt = agent.distribution(policy, condition)
    return Distances(
        l1=float(gfn_metrics.l1_distance(learnt, exact.probability).mean()),
        log_z_error=float(np.abs(np.asarray(agent.log_z(policy, condition)) - exact.log_z).max()),
        uniform=float(gfn_metrics.l1_distance(1 / len(outcomes.values), exact.probability).mean()),
        seconds=seconds,
    )


def grid(wanted: str, seeds: int) -> None:
    """Print a line for each run, and a table with a row for each case."""
    rows = []
    for case in CASES:
        if wanted not in case.name:
            continue
        runs = []
        for seed in range(seeds):
            runs.append(one_case(case, seed))
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


def fronts(seeds: int, updates: int, beta: float) -> None:
    """Print indicators of draws relative to the exact front's: of all draws, and of the best one for each preference.

    Weighted sums have no maximum in a concave region of the front, so the best draws miss it.
    """
    rows = []
    for objectives in (2, 3):
        env = HyperGrid(32, objectives)
        weights, exact, outcomes = lattice(objectives, 49), env.true_front(), env.outcomes()
        agent = MOGFN(MOGFNConfig(beta=beta), env, updates)
        log_reward = agent.log_reward(outcomes.values[None], weights[:, None], beta)
        target = gfn_metrics.target(outcomes, log_reward).probability
        rng = np.random.default_rng(0)
        chosen = {
            "exact sampler": np.stack([rng.choice(len(p), SAMPLES, p=p / p.sum()) for p in target]),
            "uniform": rng.integers(0, len(outcomes.values), (len(weights), SAMPLES)),
        }
        found = {name: [outcomes.values[places]] for name, places in chosen.items()}
        found["MOGFN"] = []
        for seed in range(seeds):
            policy, _ = trained(agent, updates, seed)
            found["MOGFN"].append(draw(sampler_of(agent, policy), weights, seed).values)
        for name, runs in found.items():
            shares = np.array([front_shares(values, weights, exact) for values in runs]).min(axis=0)
            cells = " | ".join(f"{x:.4f}" for x in shares)
            rows.append(f"| {objectives} | {name} | {cells} | {np.log(len(exact)):.2f} |")
            print(rows[-1], flush=True)
    print(f"\n# H = 32, β = {beta:g}, {updates} updates, worst of {seeds} seeds; R2: the exact front's / that found\n")
    print("| objectives | drawn by | HV, best of each / exact | HV, all / exact | R2, best of each | R2, all |", end="")
    print(" R2 as published, all | PC-entropy, all | most |\n|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")


def front_shares(values: Floats, weights: Floats, exact: Floats) -> list[float]:
    """Return hypervolumes and R2s of draws (P, n, R) relative to the exact front's, and the Pareto-clusters entropy."""
    reward = np.einsum("pnr,pr->pn", values, weights)
    best = values[np.arange(len(weights)), reward.argmax(axis=1)]
    # distinct points, as draws repeat them
    every = np.unique(values.reshape(-1, weights.shape[1]), axis=0)
    zero = np.zeros(weights.shape[1])
    volume = metrics.hypervolume(exact, zero)
    return [
        metrics.hypervolume(best, zero) / volume,
        metrics.hypervolume(every, zero) / volume,
        gfn_metrics.r2(exact, weights) / gfn_metrics.r2(best, weights),
        gfn_metrics.r2(exact, weights) / gfn_metrics.r2(every, weights),
        gfn_metrics.r2_published(exact, weights) / gfn_metrics.r2_published(every, weights),
        gfn_metrics.pareto_clusters_entropy(values.reshape(-1, weights.shape[1]), exact),
    ]
