"""Methods on strings, strands and molecules at equal numbers of oracle calls."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import results
import yaml
from drawing import Best, Drawn, Floats, Quality, draw, quality, sampler_of

import morl
from morl.agents.baselines.mo_reinforce import MOReinforce, MOReinforceConfig
from morl.agents.baselines.search import NSGA2Config, nsga2, random_objects
from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.trajectories import Finished
from morl.constructive import metrics as gfn_metrics
from morl.ops import metrics
from morl.ops.preferences import lattice

Task = Any


@dataclass(frozen=True)
class Comparison:
    """Task, settings of MOGFN on it, and budget.

    Attributes:
        env, env_kwargs: the task.
        updates: of MOGFN.
        divisions: of the lattice of preferences.
        mogfn: settings of the plain sampler.
        guided: those that the guided sampler has in their place.
        population: of NSGA-II.
        calls: oracle calls in all, from which the number of updates follows; 0 for ``updates`` of them.
        store: whether runs are stored.
    """

    env: str
    updates: int
    divisions: int
    mogfn: dict[str, Any]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    guided: dict[str, Any] = field(default_factory=dict)
    population: int = 500
    calls: int = 0
    store: bool = False

    def updates_for(self, draws: int) -> int:
        """Return the updates of a run that draws so many objects after them."""
        return (self.calls - draws) // self.mogfn["batch"] if self.calls else self.updates

    def used(self, draws: int) -> int:
        """Return the oracle calls of such a run."""
        return self.updates_for(draws) * int(self.mogfn["batch"]) + draws

    def settings(self, method: str) -> dict[str, Any]:
        """Return the settings of a sampler."""
        if method in ("mogfn", "mo-reinforce", "exact"):
            return self.mogfn
        return self.mogfn | self.guided | ABLATIONS.get(method, {})


STRINGS = {
    "batch": 128,
    "bins": 50,
    "network": "transformer",
    "learning_rate": 1e-4,
    "log_z_learning_rate": 1e-3,
    "anneal": False,
    "max_grad_norm": 10.0,
    "epsilon": 0.01,
    "min_log_reward": -2000.0,
}
# for a hundredth of the published updates: a higher rate that is annealed, and a smaller network
FEWER_UPDATES = {
    **STRINGS,
    "learning_rate": 1e-3,
    "log_z_learning_rate": 1e-2,
    "anneal": True,
    "width": 32,
    "num_blocks": 2,
    "num_heads": 2,
}
GUIDED = {"gradient_steps": 4, "elite_share": 0.5, "replay_candidates": 4}
COMPARISONS = {
    # published (Jain et al., 2023, appendix D.2)
    "bigrams": Comparison("ngrams-v0", 10_000, 49, {**STRINGS, "beta": 96.0}),
    "dna": Comparison(
        "dna-folding-v0",
        1000,
        10,
        {**FEWER_UPDATES, "beta": 80.0},
        guided={**GUIDED, "genetic_batch": 96, "replay_batch": 64},
        population=100,
    ),
    "molecules": Comparison(
        "molecules-v0",
        1000,
        10,
        {**FEWER_UPDATES, "batch": 64, "beta": 60.0, "bins": 16, "network": "mlp", "hidden": (128, 128)},
        guided={**GUIDED, "genetic_batch": 48, "replay_batch": 64},
        population=100,
    ),
}
SEARCHES = ("nsga-ii", "random")
# one change to the guided sampler each
ABLATIONS: dict[str, dict[str, Any]] = {
    "guided, none bred": {"genetic_batch": 0},
    "guided, one gradient step": {"gradient_steps": 1},
    "guided, no replay of the archive": {"elite_share": 0.0},
}
METHODS = ("exact", "mogfn", "guided", "mo-reinforce", *SEARCHES, *ABLATIONS)


class Run:
    """One run of a method.

    Attributes:
        best: all objects that the oracle was called with.
        drawn: objects drawn after training, None of a search.
        seconds: of training or search, without compilation.
        policy: what was trained; None of a search.
    """

    def __init__(self, weights: Floats) -> None:
        self.best = Best(weights)
        self.drawn: Drawn | None = None
        self.seconds = 0.0
        self.policy: Any = None

    def follow(self, stream: Iterator[Finished]) -> None:
        """Take in the objects of a stream, and the time that it takes to make them."""
        started = time.perf_counter()
        for found in stream:
            jax.block_until_ready(found)
            self.seconds += time.perf_counter() - started
            self.best.add(found)
            started = time.perf_counter()

    def evaluate(self, drawn: Drawn) -> None:
        self.drawn = drawn
        flat = drawn.values.reshape(-1, drawn.values.shape[-1])
        self.best.add(Finished((), drawn.obs.reshape(len(flat), *drawn.obs.shape[2:]), flat))


def one_run(method: str, plan: Comparison, env: Task, weights: Floats, seed: int, samples: int) -> Run:
    """Run a method on ``plan.calls`` oracle calls at most, those of its draws for preferences (P, R) included."""
    run, calls = Run(weights), plan.used(len(weights) * samples)
    if method == "exact":
        run.evaluate(exact_draws(env, MOGFNConfig(**plan.settings("mogfn")), weights, seed, samples))
    elif method == "nsga-ii":
        run.follow(nsga2(env, calls, NSGA2Config(plan.population), seed))
    elif method == "random":
        run.follow(random_objects(env, calls, seed))
    elif method == "mo-reinforce":
        _reinforce(plan, env, weights, seed, samples, run)
    else:
        _sample(method, plan, env, weights, seed, samples, run)
    assert method == "exact" or run.best.number == calls, (run.best.number, calls)
    return run


def _sample(method: str, plan: Comparison, env: Task, weights: Floats, seed: int, samples: int, run: Run) -> None:
    updates = plan.updates_for(len(weights) * samples)
    agent = MOGFN(MOGFNConfig(**plan.settings(method)), env, updates)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state = agent.init(key_init)
    iterate = jax.jit(agent.iterate, donate_argnums=0).lower(state, key_run).compile()

    def objects() -> Iterator[Finished]:
        nonlocal state
        for i in range(updates):
            state, _, found = iterate(state, jax.random.fold_in(key_run, i))
            yield found

    run.follow(objects())
    run.policy = jax.device_get(agent.policy(state))
    run.evaluate(draw(sampler_of(agent, run.policy), weights, seed, samples))


def _reinforce(plan: Comparison, env: Task, weights: Floats, seed: int, samples: int, run: Run) -> None:
    updates, base = plan.updates_for(len(weights) * samples), plan.settings("mogfn")
    shared = {f.name for f in dataclasses.fields(MOReinforceConfig)} - {"anneal", "learning_rate"}
    settings = {name: value for name, value in base.items() if name in shared}
    agent = MOReinforce(MOReinforceConfig(learning_rate=1e-3, **settings), env, updates)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state = agent.init(key_init)
    iterate = jax.jit(agent.iterate).lower(state, key_run).compile()

    def objects() -> Iterator[Finished]:
        nonlocal state
        for i in range(updates):
            state, _, found = iterate(state, jax.random.fold_in(key_run, i))
            yield found

    run.follow(objects())
    run.evaluate(draw(lambda w, key: agent.sample(state, w, key).end, weights, seed, samples))


def exact_draws(env: Any, config: MOGFNConfig, weights: Floats, seed: int, samples: int) -> Drawn:
    """Draw from the exact target distribution, which counting strings gives."""
    outcomes, rng = env.outcomes(), np.random.default_rng(seed)
    log_reward = MOGFN(config, env, 1).log_reward(outcomes.values[None], weights[:, None], config.beta_range[1])
    target = gfn_metrics.target(outcomes, log_reward)
    classes = np.stack([rng.choice(len(p), samples, p=p / p.sum()) for p in target.probability])
    strings = env.draw(rng, classes.reshape(-1))
    return Drawn(outcomes.values[classes], strings.reshape(*classes.shape, -1))


def compare(
    plan: Comparison, methods: Sequence[str], seeds: Sequence[int], samples: Sequence[int], policies: Path | None = None
) -> None:
    """Print and store a line for each run, and print a table of means.

    Of several numbers of draws each has its row: a search depends on its number of calls; a sampler draws once, and
    smaller numbers are its first draws. ``policies`` is a directory to keep what was trained in, and the best
    objects found.
    """
    env: Any = morl.make(plan.env, **plan.env_kwargs)
    weights = lattice(len(env.objectives), plan.divisions)
    known = metrics.hypervolume(env.true_front(), np.zeros(weights.shape[1])) if hasattr(env, "outcomes") else None
    rows = []
    for method in methods:
        if method == "exact" and known is None:
            continue
        numbers = samples if method in SEARCHES else [max(samples)]
        found: dict[int, list[dict[str, Any]]] = {}
        for seed, most in itertools.product(seeds, numbers):
            if hasattr(env, "oracle"):
                env.oracle.forget()
            run = one_run(method, plan, env, weights, seed, most)
            computed = env.oracle.counts.computed if hasattr(env, "oracle") else run.best.number
            if policies is not None and run.policy is not None:
                policies.mkdir(parents=True, exist_ok=True)
                best = run.best.drawn()
                name = policies / f"{plan.env}-{method}-{seed}.npz"
                np.savez(name, *jax.tree.leaves(run.policy), values=best.values, obs=best.obs)
            for number in [most] if method in SEARCHES else samples:
                record = {"task": plan.env, "method": method, "calls": plan.calls or run.best.number}
                record |= {"samples": number, "seed": seed, "computed": computed, "seconds": round(run.seconds, 1)}
                record |= {"settings": plan.settings(method)} if method not in SEARCHES else {}
                if run.drawn is not None:
                    first = Drawn(run.drawn.values[:, :number], run.drawn.obs[:, :number])
                    record["drawn"] = rounded(quality(env, first, weights))
                if number == most and method != "exact":
                    record["all"] = rounded(quality(env, run.best.drawn(), weights, run.best.front))
                print(record, flush=True)
                if plan.store:
                    results.add(record)
                found.setdefault(number, []).append(record)
        for number, each in found.items():
            for kind in ("all", "drawn"):
                if some := [row[kind] for row in each if kind in row]:
                    rows.append(_row(f"{method}, {kind}", number, some, known))
    print(f"\n# {plan.env}, {plan.calls} oracle calls, {len(weights)} preferences, means of {len(seeds)} seeds")
    print(
        f"# {plan.mogfn}\n# in brackets: the worst of the seeds{', as a share of the known front' if known else ''}\n"
    )
    print("| method, objects | draws | HV | HV of all | top-10 reward | top-10 diversity |\n|---|---|---|---|---|---|")
    print(*rows, sep="\n")


def _row(name: str, number: int, some: list[dict[str, float]], known: float | None) -> str:
    best, of_all = (mean_and_worst([row[column] for row in some], known) for column in ("hypervolume", "of_all"))
    reward, far = (statistics.mean(row[column] for row in some) for column in ("reward", "diversity"))
    return f"| {name} | {number} | {best} | {of_all} | {reward:.4f} | {far:.2f} |"


def rounded(found: Quality) -> dict[str, float]:
    return {name: round(value, 4) for name, value in dataclasses.asdict(found).items()}


def mean_and_worst(volumes: Sequence[float], known: float | None) -> str:
    """Return the mean and the worst hypervolume as text, the worst as a share of the known front's if there is one."""
    worst = f"{min(volumes) / known:.2%}" if known else f"{min(volumes):.4f}"
    return f"{statistics.mean(volumes):.4f} ({worst})"


def changed(settings: dict[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Return settings with values from the command line, given as pairs of name and value, in place of some."""
    return settings | {name: yaml.safe_load(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
