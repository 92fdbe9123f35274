"""Fronts of foresight beside greedy-ω, with its published α and with those for the front, on many systems."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from morl.envs.mec import MecOffloading, schemes, search
from morl.ops.metrics import hypervolume
from morl.ops.pareto import non_dominated

RESULTS = Path(__file__).parents[1] / "results" / "offloading_columns.json"
PUBLISHED = {"cloud_frequency": 4.0, "edge_frequency": 2.0}
TEST = {"num_edges": (1, 10), "cloud_frequency": (3.0, 5.0), "edge_frequency": (1.5, 2.5)}
SYSTEMS: dict[str, dict[str, Any]] = {
    **{f"E = {n}": {"num_edges": n, **PUBLISHED} for n in (1, 3, 6, 9, 10)},
    "train ranges": {},
    "test ranges": TEST,
    "test ranges, E = 6": TEST | {"num_edges": 6},
    "test ranges, E = 9": TEST | {"num_edges": 9},
}
FRONT = schemes.Foresight()
FORESIGHT = "foresight, α for the front"
MYOPIC = ("greedy-ω", "greedy-ω, α for the front")


def find_prices(seeds: list[int]) -> None:
    """Search the prices on the train ranges, and store them with the seconds that it took."""
    env = MecOffloading(max_edges=8, bins=1, capacity=64)  # more than such policies queue
    for seed in seeds:
        started = time.process_time()
        found = search.prices(env, schemes.grid(11)[1:], seed=seed)
        stored = _stored()
        stored["prices"][str(seed)] = found.round(4).tolist()
        stored["seconds"][str(seed)] = round(time.process_time() - started)
        _store(stored)
        print(f"# seed {seed}: prices {found.round(2)}, {stored['seconds'][str(seed)]} CPU seconds", flush=True)


def measure(only: str, episodes: int, number: int) -> None:
    """Measure the systems whose name begins with ``only``, in both channels, and store each as soon as it is found."""
    for channel in ("high_rate", "physical"):
        env = MecOffloading(max_edges=10, bins=1, channel=channel)  # type: ignore[arg-type]
        for system, kwargs in SYSTEMS.items():
            name = f"{system}, {channel}"
            if not name.startswith(only):
                continue
            front, published = schemes.grid(number), schemes.grid(number) * schemes.SCALES / FRONT.scales
            cases = {MYOPIC[0]: (np.zeros(2), published), MYOPIC[1]: (np.zeros(2), front)}
            for seed, found in _stored()["prices"].items():
                cases |= {f"foresight, seed {seed}": (found, published), f"{FORESIGHT}, seed {seed}": (found, front)}
            policies = np.repeat(np.array([prices for prices, _ in cases.values()], np.float32), number, axis=0)
            preferences = np.concatenate([each / each.sum(axis=1, keepdims=True) for _, each in cases.values()])
            # greedy-ω is foresight without prices: one program for all, on the same episodes
            got = schemes.evaluated(env, FRONT, policies, preferences, params=env.context(**kwargs), episodes=episodes)
            means = np.asarray(got.undiscounted, np.float64).mean(axis=1).reshape(len(cases), number, 2)
            fronts = {
                case: points[non_dominated(points, keep_duplicates=False)]
                for case, points in zip(cases, means, strict=True)
            }
            worst = np.min([points.min(axis=0) for points in fronts.values()], axis=0)
            volumes = {case: float(hypervolume(points, worst)) for case, points in fronts.items()}
            row = {
                "episodes": episodes,
                "preferences": number,
                "reference_point": worst.tolist(),
                "hypervolume": volumes,
            }
            print(f"# {name}: {volumes}", flush=True)
            stored = _stored()
            stored["systems"][name] = row
            _store(stored)


def table() -> str:
    """Return the stored results as a table in Markdown."""
    lines = [
        "| system | reference point | greedy-ω | α for the front | foresight | α for the front | gain of the better |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in _stored()["systems"].items():
        volumes = dict(row["hypervolume"])
        myopic = [volumes.pop(scheme) for scheme in MYOPIC]
        spread = [volume for case, volume in volumes.items() if case.startswith(FORESIGHT)]
        plain = [volume for case, volume in volumes.items() if not case.startswith(FORESIGHT)]
        where = f"{-row['reference_point'][0]:.0f} s, {-row['reference_point'][1]:.2f} J"
        pairs = zip(plain, spread, strict=True)  # a seed each
        gains = ", ".join(f"{max(pair) / max(myopic) - 1:+.1%}" for pair in pairs)
        each = " | ".join(", ".join(f"{volume:.0f}" for volume in found) for found in (plain, spread))
        lines.append(f"| {name} | {where} | {myopic[0]:.0f} | {myopic[1]:.0f} | {each} | {gains} |")
    return "\n".join(lines)


def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = {"prices": {}, "seconds": {}, "systems": {}}
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else stored


def _store(stored: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
