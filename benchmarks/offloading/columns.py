"""Fronts of a learned policy beside greedy-ω, with its published α and with those for the front, on many systems."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import morl
from morl.envs.mec import MecOffloading, schemes
from morl.ops.metrics import hypervolume
from morl.ops.pareto import non_dominated

RESULTS = Path(__file__).parents[1] / "results" / "offloading_columns.json"
OBSERVED = {"marginals": True, "finite": True, "bins": 1}
PUBLISHED = {"cloud_frequency": 4.0, "edge_frequency": 2.0}
COLUMNS: dict[str, dict[str, Any]] = {
    **{f"E = {n}": {"num_edges": n, "max_edges": max(n, 2), **PUBLISHED} for n in (1, 3, 6, 9, 10)},
    "train ranges": {"contexts": "train", "max_edges": 8},
    "test ranges": {"contexts": "test", "max_edges": 10},
    "physical channel, E = 6": {"num_edges": 6, "max_edges": 6, "channel": "physical", **PUBLISHED},
}
SCALES = (0.003, 1.5)  # α for the front


def train(out: Path, seeds: list[int], steps: int) -> None:
    """Train those seeds that have no front yet, each in a process of its own."""
    kwargs = " ".join(f"{name} {value}" for name, value in OBSERVED.items())
    for seed in seeds:
        run = out / f"{steps}-{seed}"
        if (run / "front.csv").exists():
            continue
        words = f"d3po --env mec-offloading-v0 --preset offloading --steps {steps} --seed {seed}"
        started = time.perf_counter()
        command = f"-m morl train {words} --env-kwargs max_edges 8 {kwargs} --out {run}"
        subprocess.run([sys.executable, *command.split()], check=True)
        (run / "seconds.txt").write_text(f"{time.perf_counter() - started:.0f}\n")


def front_of(env: MecOffloading, scheme: Any, policies: Any, number: int, episodes: int) -> np.ndarray[Any, Any]:
    """Return the non-dominated mean returns (n, 2) of so many preferences."""
    found = schemes.evaluated(env, scheme, policies, schemes.grid(number), episodes=episodes)
    means = np.asarray(found.undiscounted, np.float64).mean(axis=1)
    return means[non_dominated(means, keep_duplicates=False)]


def measure(out: Path, seeds: list[int], steps: int, only: str, episodes: int, number: int) -> None:
    """Measure the columns whose name has ``only``, and store each as soon as it is found."""
    none = np.zeros(number, np.float32)
    for name, kwargs in COLUMNS.items():
        if only not in name:
            continue
        plain, seen = MecOffloading(bins=1, **kwargs), MecOffloading(**OBSERVED, **kwargs)
        fronts = {
            "greedy-ω": front_of(plain, schemes.Greedy(), none, number, episodes),
            "greedy-ω, α for the front": front_of(plain, schemes.Greedy(scales=SCALES), none, number, episodes),
        }
        for seed in seeds:
            trained = morl.load(out / f"{steps}-{seed}").fronts[0]
            policies = jax.tree.map(lambda x: np.stack([np.asarray(x)] * number), trained.params)
            learned = schemes.Learned(trained.learner)
            fronts[f"d3po, seed {seed}"] = front_of(seen, learned, policies, number, episodes)
        worst = np.min([points.min(axis=0) for points in fronts.values()], axis=0)
        row = {
            "episodes": episodes,
            "preferences": number,
            "steps": steps,
            "reference_point": worst.tolist(),
            "hypervolume": {name: float(hypervolume(points, worst)) for name, points in fronts.items()},
        }
        print(f"# {name}: {row['hypervolume']}", flush=True)
        stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(stored | {name: row}, indent=1) + "\n")


def table() -> str:
    """Return the stored results as a table in Markdown."""
    lines = [
        "| system | reference point | greedy-ω, s J | α for the front | d3po, by seed | beside the better greedy-ω |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for name, row in json.loads(RESULTS.read_text()).items():
        volumes = dict(row["hypervolume"])
        myopic = [volumes.pop(scheme) for scheme in ("greedy-ω", "greedy-ω, α for the front")]
        where = f"{-row['reference_point'][0]:.0f} s, {-row['reference_point'][1]:.2f} J"
        gains = ", ".join(f"{volume / max(myopic) - 1:+.1%}" for volume in volumes.values())
        each = ", ".join(f"{volume:.0f}" for volume in volumes.values())
        lines.append(f"| {name} | {where} | {myopic[0]:.0f} | {myopic[1]:.0f} | {each} | {gains} |")
    return "\n".join(lines)
