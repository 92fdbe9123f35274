"""MOGFN: how exactly it samples, the fronts it finds beside other methods' at equal oracle calls, and its speed.

    python benchmarks/mogfn.py grid                            # exact distances on the hypergrid
    python benchmarks/mogfn.py grid --case "H=8" --seeds 1     # cases whose name has this in it
    python benchmarks/mogfn.py fronts                          # fronts on the hypergrid of 32 x 32
    python benchmarks/mogfn.py bigrams                         # three bigrams with the published settings
    python benchmarks/mogfn.py bigrams --updates 2000 --set learning_rate 1e-3 log_z_learning_rate 1e-2
    python benchmarks/mogfn.py dna
    python benchmarks/mogfn.py molecules
    python benchmarks/mogfn.py speed --gfnx .venv-gfnx/bin/python --torchgfn .venv-torchgfn/bin/python

grid: the learnt policy's distribution is found by dynamic programming over the grid and the target by enumeration, for
11 preferences (0, 1), (0.1, 0.9), ..., (1, 0): L1 is Σ|p̂ − p| averaged over them, and |Δ log Z| the largest. Each
number is of the state at the end of a run, whose learning rates fall over exactly its steps.

The others draw 128 objects for each preference of a lattice, or as many as ``--samples`` says; of several numbers, each
has its row, from the same run of a method that samples. HV is of the best of each preference, "HV of all" of all of
them; the reference point is 0. Top-10 are the best 10 of those by the weighted sum: their mean reward and how far apart
they are in pairs (Levenshtein; molecules: 1 − Tanimoto), both averaged over preferences. NSGA-II and the random search
have no draws: theirs are the 10 best different objects of all that they ever built, for each preference, which is more
favourable. All methods have the same number of oracle calls, one for each object built: those of training, and for the
two searches those of MOGFN's evaluation on top. Seconds are of training or search, without compilation where there is
one, and with the oracle's.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import yaml
from numpy.typing import NDArray

import morl
from morl.agents.baselines.mo_reinforce import MOReinforce, MOReinforceConfig
from morl.agents.baselines.search import NSGA2Config, nsga2, random_objects
from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.algorithm import MOGFN, Params
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.trajectories import AnyTask, Finished
from morl.constructive import metrics as gfn_metrics
from morl.constructive import sampling
from morl.constructive.backend import SamplerBackend
from morl.envs.constructive.hypergrid import HyperGrid
from morl.ops import metrics
from morl.ops.preferences import lattice

Floats = NDArray[np.float64]

ELEVEN = lattice(2, 10)
SAMPLES, TOP = 128, 10  # objects drawn for each preference, and best of them, as published
WIDTH, ROWS = 64, 65_536  # most preferences and most objects of one compiled call


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


def reinforced(agent: MOReinforce, updates: int, seed: int) -> tuple[Any, float]:
    """Return the state of MO-REINFORCE after so many updates, and the seconds they took without compilation."""
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state: Any = agent.init(key_init)
    chunk = next(size for size in (500, 250, 100, 50, 10, 1) if updates % size == 0)
    compiled = agent.run.lower(agent, state, key_run, chunk).compile()
    started = time.perf_counter()
    for _ in range(updates // chunk):
        state, _ = compiled(state, key_run)
    jax.block_until_ready(state)
    return state, time.perf_counter() - started


# Exact distances


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


# Draws for preferences


@dataclass
class Drawn:
    """Objects of P preferences, n of each.

    Attributes:
        values: (P, n, R) objectives.
        obs: (P, n, *shape) observations.
    """

    values: Floats
    obs: NDArray[Any]


Sampler = Callable[[jax.Array, jax.Array], Finished]  # preferences (n, R) and a key -> n objects


def draw(sample: Sampler, weights: Floats, seed: int, samples: int = SAMPLES) -> Drawn:
    """Return ``samples`` objects for each of the preferences (P, R)."""
    values, obs = [], []
    # equal parts, so that one compiled program draws them all
    width = min(WIDTH, max(1, ROWS // samples))
    parts = next(n for n in range(-(-len(weights) // width), len(weights) + 1) if len(weights) % n == 0)
    for i, part in enumerate(np.split(weights, parts)):
        repeated = jnp.asarray(np.repeat(part, samples, axis=0), jnp.float32)
        found = sample(repeated, jax.random.fold_in(jax.random.key(seed + 1000), i))
        values.append(np.asarray(found.values, np.float64).reshape(len(part), samples, -1))
        obs.append(np.asarray(found.obs).reshape(len(part), samples, *found.obs.shape[1:]))
    return Drawn(np.concatenate(values), np.concatenate(obs))


def sampler_of(agent: MOGFN, policy: Params) -> Sampler:
    """Return the sampler at the highest β."""
    beta = agent.config.beta_range[1]
    return lambda weights, key: agent.sample(policy, Condition(weights, jnp.full(len(weights), beta)), key).end


class Best:
    """The best different objects of a stream for each of the preferences (P, R)."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights.astype(np.float32)
        self._new: list[tuple[Any, Any]] = []
        self._count = 0

    def add(self, found: Finished) -> None:
        self._new.append((np.asarray(found.values), np.asarray(found.obs)))
        self._count += len(found.values)
        if self._count > 8192:
            self._merge()

    def _merge(self) -> NDArray[np.int64]:
        """Keep objects among the best 10 of any preference; return the places (P, 10) of each one's best."""
        values, obs = (np.concatenate(parts) for parts in zip(*self._new, strict=True))
        _, first = np.unique(obs.reshape(len(obs), -1), axis=0, return_index=True)
        reward = self._weights @ values[first].T
        places = np.argpartition(-reward, TOP - 1, axis=1)[:, :TOP]
        kept, which = np.unique(places, return_inverse=True)
        self._new, self._count = [(values[first[kept]], obs[first[kept]])], 0
        return which.reshape(places.shape)

    def drawn(self) -> Drawn:
        places = self._merge()
        values, obs = self._new[0]
        return Drawn(values[places].astype(np.float64), obs[places])


def searched(stream: Iterable[Finished], weights: Floats, calls: int) -> tuple[Drawn, float]:
    """Return the best objects that a search finds, and its seconds; it must use exactly ``calls`` oracle calls."""
    best, seconds, number = Best(weights), 0.0, 0
    started = time.perf_counter()
    for found in stream:
        jax.block_until_ready(found)
        seconds += time.perf_counter() - started
        best.add(found)
        number += len(found.values)
        started = time.perf_counter()
    assert number == calls, (number, calls)
    return best.drawn(), seconds


@dataclass(frozen=True)
class Quality:
    """Quality of the objects drawn.

    Attributes:
        hypervolume: of the best object of each preference.
        of_all: hypervolume of all objects.
        reward: mean weighted sum of each preference's best 10.
        diversity: mean distance between each preference's best 10.
    """

    hypervolume: float
    of_all: float
    reward: float
    diversity: float


def quality(env: AnyTask, drawn: Drawn, weights: Floats) -> Quality:
    reward = np.einsum("pnr,pr->pn", drawn.values, weights)
    places = gfn_metrics.top_k(reward, TOP)
    best = drawn.values[np.arange(len(weights)), places[:, 0]]
    zero = np.zeros(weights.shape[1])
    top = np.take_along_axis(drawn.obs.reshape(*reward.shape, -1), places[..., None], axis=1)
    words = sampling.texts(env, top.reshape(-1, *drawn.obs.shape[2:]))
    far = [sampling.diversity(env, words[i : i + TOP]) for i in range(0, len(words), TOP)]
    return Quality(
        hypervolume=metrics.hypervolume(best, zero),
        of_all=metrics.hypervolume(drawn.values.reshape(-1, len(zero)), zero),
        reward=gfn_metrics.top_k_reward(reward, TOP),
        diversity=float(np.mean(far)),
    )


# Fronts of the hypergrid


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


# Strings, strands and molecules beside the baselines


@dataclass(frozen=True)
class Comparison:
    """Task, settings of MOGFN on it, and budget."""

    env: str
    updates: int
    divisions: int
    mogfn: dict[str, Any]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    population: int = 500


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
COMPARISONS = {
    # published (Jain et al., 2023, appendix D.2)
    "bigrams": Comparison("ngrams-v0", 10_000, 49, {**STRINGS, "beta": 96.0}),
    # far fewer updates than published, as folding takes most of the time
    "dna": Comparison(
        "dna-folding-v0",
        1000,
        10,
        {**STRINGS, "beta": 80.0, "learning_rate": 1e-3, "log_z_learning_rate": 1e-2, "anneal": True},
        {"oracle_processes": 2},
    ),
    "molecules": Comparison(
        "molecules-v0",
        1000,
        10,
        {**STRINGS, "batch": 64, "beta": 60.0, "bins": 16, "network": "graph"}
        | {"learning_rate": 1e-3, "log_z_learning_rate": 1e-2, "anneal": True},
        {"oracle_processes": 2},
    ),
}
SEARCHES = ("nsga-ii", "random")
METHODS = ("exact", "mogfn", "mo-reinforce", *SEARCHES)


def one_method(
    method: str, plan: Comparison, env: Any, weights: Floats, seed: int, samples: int
) -> tuple[Drawn, float, int]:
    """Return a method's objects for each of the preferences (P, R), its seconds and its oracle calls."""
    config = MOGFNConfig(**plan.mogfn)
    training, evaluation = plan.updates * config.batch, len(weights) * samples
    if method == "exact":
        return exact_draws(env, config, weights, seed, samples), 0.0, 0
    if method == "mogfn":
        mogfn = MOGFN(config, env, plan.updates)
        policy, seconds = trained(mogfn, plan.updates, seed)
        return draw(sampler_of(mogfn, policy), weights, seed, samples), seconds, training + evaluation
    if method == "mo-reinforce":
        shared = {f.name for f in dataclasses.fields(MOReinforceConfig)} - {"anneal", "learning_rate"}
        settings = {name: value for name, value in plan.mogfn.items() if name in shared}
        reinforce = MOReinforce(MOReinforceConfig(learning_rate=1e-3, **settings), env, plan.updates)
        state, seconds = reinforced(reinforce, plan.updates, seed)
        drawn = draw(lambda w, key: reinforce.sample(state, w, key).end, weights, seed, samples)
        return drawn, seconds, training + evaluation
    calls = training + evaluation
    if method == "nsga-ii":
        stream = nsga2(env, calls, NSGA2Config(plan.population), seed)
    else:
        stream = random_objects(env, calls, seed)
    return *searched(stream, weights, calls), calls


def exact_draws(env: Any, config: MOGFNConfig, weights: Floats, seed: int, samples: int) -> Drawn:
    """Draw from the exact target distribution, which counting strings gives."""
    outcomes, rng = env.outcomes(), np.random.default_rng(seed)
    log_reward = MOGFN(config, env, 1).log_reward(outcomes.values[None], weights[:, None], config.beta_range[1])
    target = gfn_metrics.target(outcomes, log_reward)
    classes = np.stack([rng.choice(len(p), samples, p=p / p.sum()) for p in target.probability])
    strings = env.draw(rng, classes.reshape(-1))
    return Drawn(outcomes.values[classes], strings.reshape(*classes.shape, -1))


def compare(plan: Comparison, methods: Sequence[str], seeds: Sequence[int], samples: Sequence[int]) -> None:
    """Print a line for each run, and a table of means (and the worst seed) with a row for each number of draws."""
    env: Any = morl.make(plan.env, **plan.env_kwargs)
    weights = lattice(len(env.objectives), plan.divisions)
    known = metrics.hypervolume(env.true_front(), np.zeros(weights.shape[1])) if hasattr(env, "outcomes") else None
    rows = []
    for method in methods:
        if method == "exact" and known is None:
            continue
        # a search depends on its number of calls; a sampler draws once, and smaller numbers are its first draws
        numbers = samples if method in SEARCHES else [max(samples)]
        runs: dict[int, list[tuple[Quality, float, int]]] = {}
        oracle = ""
        for seed, most in itertools.product(seeds, numbers):
            if hasattr(env, "oracle"):
                env.oracle.forget()
            drawn, seconds, calls = one_method(method, plan, env, weights, seed, most)
            if hasattr(env, "oracle"):
                counts = env.oracle.counts
                oracle = f"{counts.computed:,} ({counts.computed / max(seconds, 1e-9):.0f}/s of training)"
            for number in [most] if method in SEARCHES else samples:
                first = drawn if number == most else Drawn(drawn.values[:, :number], drawn.obs[:, :number])
                found = quality(env, first, weights)
                runs.setdefault(number, []).append((found, seconds, calls and calls - (most - number) * len(weights)))
                print(f"{method} seed {seed}, {number} draws: {found} {seconds:.0f} s {oracle}", flush=True)
        for number, each in runs.items():
            qualities = [quality for quality, _, _ in each]
            best = mean_and_worst([q.hypervolume for q in qualities], known)
            of_all = mean_and_worst([q.of_all for q in qualities], known)
            rows.append(
                f"| {method} | {number} | {each[0][2]:,} | {best} | {of_all} "
                f"| {statistics.mean(q.reward for q in qualities):.4f} "
                f"| {statistics.mean(q.diversity for q in qualities):.2f} "
                f"| {statistics.mean(seconds for _, seconds, _ in each):.0f} | {oracle or '-'} |"
            )
    print(f"\n# {plan.env}, {plan.updates} updates, {len(weights)} preferences, means of {len(seeds)} seeds")
    print(
        f"# {plan.mogfn}\n# in brackets: the worst of the seeds{', as a share of the known front' if known else ''}\n"
    )
    print("| method | draws | oracle calls | HV | HV of all | top-10 reward | top-10 diversity | seconds |", end="")
    print(" different objects computed |\n|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")


def mean_and_worst(volumes: Sequence[float], known: float | None) -> str:
    """Return the mean and the worst hypervolume as text, the worst as a share of the known front's if there is one."""
    worst = f"{min(volumes) / known:.2%}" if known else f"{min(volumes):.4f}"
    return f"{statistics.mean(volumes):.4f} ({worst})"


def changed(settings: dict[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Return settings with values from the command line, given as pairs of name and value, in place of some."""
    return settings | {name: yaml.safe_load(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("grid", help="exact distances on the hypergrid")
    command.add_argument("--case", default="", help="part of a case's name, such as 'H=8' or 'beta=8'")
    command.add_argument("--seeds", type=int, default=3)
    command = commands.add_parser("fronts", help="fronts on the 32 x 32 hypergrid")
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--updates", type=int, default=5000)
    command.add_argument("--beta", type=float, default=8.0)
    for name, plan in COMPARISONS.items():
        command = commands.add_parser(name, help=f"{plan.env} beside the baselines")
        command.add_argument("--seeds", type=int, default=3)
        command.add_argument("--first-seed", type=int, default=0)
        command.add_argument("--updates", type=int, default=plan.updates)
        command.add_argument("--divisions", type=int, default=plan.divisions, help="of the lattice of preferences")
        command.add_argument("--population", type=int, default=plan.population, help="of NSGA-II")
        command.add_argument("--samples", type=int, nargs="+", default=[SAMPLES], help="draws for each preference")
        command.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
        command.add_argument("--set", nargs="+", default=[], help="settings of MOGFN, each a name and a value")
    command = commands.add_parser("speed", help="the unconditional part beside gfnx and torchgfn")
    command.add_argument("--gfnx", help="Python with gfnx 0.0.1")
    command.add_argument("--torchgfn", help="Python with torchgfn")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--updates", type=int, default=500, help="of a round")
    a = parser.parse_args()
    if a.command == "grid":
        grid(a.case, a.seeds)
    elif a.command == "fronts":
        fronts(a.seeds, a.updates, a.beta)
    elif a.command == "speed":
        from mogfn_speed import speed

        speed(a.gfnx, a.torchgfn, a.rounds, a.updates)
    else:
        plan = COMPARISONS[a.command]
        settings = changed(plan.mogfn, a.set)
        names = ("updates", "divisions", "population")
        plan = dataclasses.replace(plan, **{name: getattr(a, name) for name in names}, mogfn=settings)
        compare(plan, a.methods, range(a.first_seed, a.first_seed + a.seeds), a.samples)


if __name__ == "__main__":
    main()
