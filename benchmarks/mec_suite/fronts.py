"""Fronts of the schemes that do not learn, of C-MORL and of one conditioned agent, on the same episodes."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import morl
from morl.envs.offloading import schemes
from morl.ops.metrics import hypervolume
from morl.ops.pareto import non_dominated
from morl.ops.preferences import equally_spaced_weights

RESULTS = Path(__file__).parents[1] / "results" / "mec_suite_fronts.json"
AGENTS = {  # settings for the budget; d3po takes any preference
    "cmorl": "cmorl --env {id} --steps {steps} --num-policies 6 --seed 0",
    "d3po": "d3po --env {id} --steps {steps} --seed 0",
}
NUMBER = {2: 21, 3: 28}  # preferences, by the number of objectives


def find(ids: list[str], steps: int, episodes: int, out: Path) -> None:
    """Find the fronts of the scenarios, one after the other, and store each as soon as it is found."""
    for id in ids:
        env: Any = morl.make(id)
        row: dict[str, Any] = {
            "objectives": [objective.name for objective in env.objectives],
            "units": [objective.unit for objective in env.objectives],
            "reference_point": np.asarray(env.reference_point).tolist(),
            "episodes": episodes,
            "seed": schemes.SEED,
            "date": datetime.date.today().isoformat(),
            "cores": os.cpu_count(),
            "fronts": {},
        }
        for name, entry in schemes.catalogue(env, NUMBER[len(env.objectives)]).items():
            started = time.perf_counter()
            points = means(env, entry, episodes)
            row["fronts"][name] = _front(env, points) | {"seconds": round(time.perf_counter() - started, 1)}
            print(f"{id}, {name}: {row['fronts'][name]['hypervolume']:.4g}", flush=True)
        for name, words in AGENTS.items():
            command = words.format(id=id, steps=steps)
            directory, started = out / f"{id}-{name}-{steps}", time.perf_counter()
            if not (directory / "front.csv").exists():
                run = [sys.executable, "-m", "morl", "train", *command.split(), "--out", str(directory)]
                subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
            seconds = round(time.perf_counter() - started, 1)
            points = means(env, learned(env, directory), episodes)
            row["fronts"][name] = _front(env, points) | {"command": f"morl train {command}", "seconds": seconds}
            print(f"{id}, {name}: {row['fronts'][name]['hypervolume']:.4g} after {seconds} s", flush=True)
        stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(stored | {id: row}, indent=1) + "\n")
        print(f"# wrote {RESULTS}", flush=True)


def learned(env: Any, directory: Path) -> schemes.Entry:
    """Return the policies of a run, which see the scenario's own observation, as a scheme."""
    front = morl.load(directory).fronts[0]
    learner: Any = front.learner

    def choose(env: Any, policy: Any, preference: jax.Array, state: Any, key: jax.Array) -> jax.Array:
        obs = env.observe(state, env.default_params)
        action = learner.to_env(learner.act(policy, obs[None], preference, key, greedy=True))
        chosen: jax.Array = action[0]
        return chosen

    if not front.conditional:
        return schemes.Entry(schemes.Scheme(env, choose), front.params, front.preferences)
    size = len(env.objectives)
    preferences = equally_spaced_weights(size, NUMBER[size])
    policies = jax.tree.map(lambda x: np.stack([np.asarray(x)] * len(preferences)), front.params)
    return schemes.Entry(schemes.Scheme(env, choose), policies, preferences)


def means(env: Any, entry: schemes.Entry, episodes: int) -> np.ndarray[Any, Any]:
    """Return the mean undiscounted returns (N, R) of all policies of a scheme."""
    found = schemes.evaluated(env, entry, episodes=episodes)
    return np.asarray(found.undiscounted, np.float64).mean(axis=1)


def _front(env: Any, points: np.ndarray[Any, Any]) -> dict[str, Any]:
    points = points[non_dominated(points, keep_duplicates=False)]
    volume = hypervolume(points, np.asarray(env.reference_point))
    return {"points": points.round(6).tolist(), "hypervolume": float(volume)}


def draw(path: Path) -> None:
    """Draw the stored fronts, delay against energy, a part for each scenario."""
    if not RESULTS.exists():
        raise SystemExit("no fronts are stored yet; python benchmarks/mec_suite fronts finds them")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    stored = json.loads(RESULTS.read_text())
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, parts = plt.subplots(2, 4, figsize=(14, 6.5), layout="constrained")
    order = list(dict.fromkeys(name for row in stored.values() for name in row["fronts"]))
    colours = dict(zip(order, plt.get_cmap("tab10").colors, strict=False))
    for axes, (id, row) in zip(parts.flat, stored.items(), strict=False):
        for name, front in row["fronts"].items():
            points = -np.asarray(front["points"])
            points = points[np.argsort(points[:, 0])]
            style = "-" if points.shape[1] == 2 else ""
            axes.plot(
                points[:, 0],
                points[:, 1],
                marker="o",
                markersize=4,
                linewidth=1,
                linestyle=style,
                label=name,
                color=colours[name],
            )
        axes.set(xlabel="delay, s an episode", ylabel="energy, J an episode", xscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(id + (", lost tasks not shown" if len(row["objectives"]) > 2 else ""), fontsize=10)
        axes.grid(alpha=0.3, which="both")
    names = {
        label: handle for axes in parts.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    for axes in list(parts.flat)[len(stored) :]:
        axes.set_axis_off()
    parts.flat[-1].legend(names.values(), names.keys(), loc="center", fontsize=11)
    figure.savefig(path, dpi=90)
    print(f"# wrote {path}")
