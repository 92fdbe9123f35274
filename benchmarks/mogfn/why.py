"""Why a sampler's front is where it is: time, distance from its target, and the front that the target itself holds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from comparison import Comparison, rounded
from drawing import Drawn, Floats, quality
from target import chains

import morl
from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.diagnostics import log_weight
from morl.agents.mogfn.trajectories import Finished, backward
from morl.envs.constructive.dna_folding import DNAFolding
from morl.envs.constructive.strings import State
from morl.ops.preferences import lattice

RESULTS = Path(__file__).parents[1] / "results" / "mogfn_why.json"
FEW = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.4, 0.3, 0.3))  # of the lattice


@dataclass(frozen=True)
class Unfolded(DNAFolding):
    """The task without its oracle: all objectives are 0.5."""

    def values(self, states: State, params: tuple[()]) -> jax.Array:
        return jnp.full((*states.done.shape, 3), 0.5, jnp.float32)


def why(plan: Comparison, policies: Path, seed: int, steps: int, kept: int, methods: tuple[str, ...]) -> None:
    """Store and print what is behind the fronts on DNA of samplers that a comparison has trained."""
    env: Any = morl.make(plan.env)
    weights = lattice(3, plan.divisions)
    found: dict[str, Any] = {"env": plan.env, "calls": plan.calls, "seed": seed, "steps": steps, "kept": kept}
    agents = {method: MOGFN(MOGFNConfig(**plan.settings(method)), env, 1) for method in methods}
    trained = {m: kept_policy(agents[m], policies / f"{plan.env}-{m}-{seed}.npz") for m in methods}
    reward = agents[methods[0]]
    beta = reward.config.beta_range[1]

    def log_reward(values: Floats) -> Floats:
        return np.asarray(reward.log_reward(values, weights, np.full(len(weights), beta)), np.float64)

    best = trained[methods[-1]][1].obs[:, 0]
    random = np.random.default_rng(seed).integers(0, env.num_letters, best.shape).astype(np.int32)
    starts = {"from the best known": (best, False), "from random strands": (random, True)}
    drawn = {}
    for name, (start, warm) in starts.items():
        drawn[name] = chains(env, log_reward, start, steps, kept, seed, warm)
        found[f"target, {name}"] = rounded(quality(env, drawn[name], weights))
        print(name, found[f"target, {name}"], flush=True)
    target = drawn["from the best known"]
    places = [int(np.abs(weights - np.array(few)).sum(axis=1).argmin()) for few in FEW]
    for method, agent in agents.items():
        found[method] = bounds(agent, trained[method][0], weights, places, target, seed) | times(
            agent, trained[method][0]
        )
        print(method, found[method], flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def kept_policy(agent: MOGFN, path: Path) -> tuple[Any, Drawn]:
    """Read what a comparison has kept of a sampler: its policy, and the best objects found."""
    like = agent.policy(agent.init(jax.random.key(0)))  # of these shapes
    with np.load(path, allow_pickle=False) as file:
        leaves = [jnp.asarray(file[f"arr_{i}"]) for i in range(len(jax.tree.leaves(like)))]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), Drawn(file["values"], file["obs"])


def bounds(
    agent: MOGFN, policy: Any, weights: Floats, places: list[int], target: Drawn, seed: int, number: int = 128
) -> dict[str, float]:
    """Return bounds of log Z and the correlation of log p with β log R, means over a few preferences.

    Held out: strands of the target's chains for this and the other preferences, and random ones.
    """
    env: Any = agent.env
    rng = np.random.default_rng(seed)
    rows = []
    for i, place in enumerate(places):
        weight = np.repeat(weights[place][None], number, axis=0)
        mine = agent.condition(weight)
        own = agent.sample(policy, mine, jax.random.fold_in(jax.random.key(seed), i))
        lower = np.asarray(log_weight(agent, policy, mine, own), np.float64)
        upper = _weights_of(agent, policy, weights[place], target.obs[place], target.values[place])
        random = rng.integers(0, env.num_letters, (number, env.horizon)).astype(np.int32)
        others = target.obs[:, 0], target.values[:, 0]
        pool = np.concatenate([target.obs[place], others[0], random])
        values = np.concatenate([target.values[place], others[1], env.oracle([env.text(row) for row in random])])
        goal = np.asarray(agent.log_reward(values, weights[place][None], np.full(1, agent.config.beta_range[1])))
        log_p = goal - _weights_of(agent, policy, weights[place], pool, values)
        good = slice(0, len(target.obs[place]) + len(others[0]))
        rows.append(
            {
                "log_z": float(agent.log_z(policy, mine)[0]),
                "elbo": lower.mean(),
                "elbo_weighted": np.logaddexp.reduce(lower) - np.log(number),
                "eubo": upper.mean(),
                "log_reward_own": float(np.mean(agent.log_reward(own.end.values, *mine))),
                "log_reward_target": float(goal[: len(target.obs[place])].mean()),
                "correlation": np.corrcoef(log_p, goal)[0, 1],
                "correlation_without_random": np.corrcoef(log_p[good], goal[good])[0, 1],
            }
        )
    return {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}


def _weights_of(agent: MOGFN, policy: Any, weight: Floats, strings: Any, values: Floats) -> Floats:
    """Return β log R − log p (n,) of strings (n, L) for a preference."""
    env: Any = agent.env
    letters = jnp.asarray(strings)
    length = (letters < env.num_letters).sum(axis=1, dtype=jnp.int32)
    end = Finished(State(letters, length, jnp.ones(len(letters), bool)), letters, jnp.asarray(values, jnp.float32))
    paths = jax.jit(backward, static_argnums=0)(env, env.default_params, end, jax.random.key(0))
    condition = agent.condition(np.repeat(weight[None], len(letters), axis=0))
    return np.asarray(log_weight(agent, policy, condition, paths), np.float64)


def times(agent: MOGFN, policy: Any, rounds: int = 5) -> dict[str, float]:
    """Return milliseconds of the parts of an update, medians of some rounds without compilation.

    An update of the task without its oracle is building and learning.
    """
    env: Any = agent.env
    bare = replace(agent, env=Unfolded(env.lengths))
    state = bare.init(jax.random.key(0))._replace(params=policy)
    condition = bare.draw_condition(jax.random.key(1), bare.config.batch)
    build = jax.jit(bare._build)
    update = jax.jit(bare.update)
    state, _ = update(state, jax.random.key(2))
    strands = [env.text(row) for row in np.asarray(build(state, condition, jax.random.key(3)).end.obs)]

    def fold() -> None:
        env.oracle.forget()
        env.oracle(strands)

    parts: dict[str, Callable[[], Any]] = {
        "building": lambda: jax.block_until_ready(build(state, condition, jax.random.key(3))),
        "building and learning": lambda: jax.block_until_ready(update(state, jax.random.key(2))),
        "oracle": fold,
    }
    found = {}
    for name, part in parts.items():
        part()
        each = []
        for _ in range(rounds):
            started = time.perf_counter()
            part()
            each.append(1000 * (time.perf_counter() - started))
        found[name] = round(float(np.median(each)), 1)
    found["learning"] = round(found.pop("building and learning") - found["building"], 1)
    return {f"ms_{name}": value for name, value in found.items()}


def show() -> None:
    """Print the stored figures as tables."""
    found = json.loads(RESULTS.read_text())
    print("| draws of the target itself | HV of the best of each | HV of all | top-10 reward | top-10 diversity |")
    print("|---|---|---|---|---|")
    for name, row in found.items():
        if name.startswith("target"):
            cells = f"{row['hypervolume']:.3f} | {row['of_all']:.3f} | {row['reward']:.3f} | {row['diversity']:.1f}"
            print(f"| {name.removeprefix('target, ')} | {cells} |")
    methods = [name for name, row in found.items() if isinstance(row, dict) and not name.startswith("target")]
    print(f"\n| | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
    for name in found[methods[0]]:
        print(f"| {name.replace('_', ' ')} | {' | '.join(f'{found[m][name]:.3g}' for m in methods)} |")
