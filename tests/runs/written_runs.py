"""Run directories written by hand: numbers of a front without a training."""

import csv

import numpy as np
import yaml

from morl.agents.cmorl import CMORLConfig
from morl.runs.front_csv import columns
from morl.settings import TrainSettings
from morl.training.setup import prepare


def write_run(path, objectives, fronts, *, env="deep-sea-treasure-v0", metrics=None, **settings):
    """A finished run of C-MORL.

    Args:
        path: directory to make.
        objectives: R names.
        fronts: returns (n, R) by seed.
        env: its name; need not exist.
        metrics: rows of metrics.csv; by default two steps for each seed.
        settings: those that differ.
    """
    number, seeds = len(objectives), list(fronts)
    path.mkdir(parents=True)
    plan = prepare("cmorl", TrainSettings(), CMORLConfig())
    defaults = plan.resolved(TrainSettings())
    notes = {"format": 3, "created": "2026-01-01", "device": "1 x cpu", "versions": {"jax": "0.10.2"}}
    own = {"env": env, "gamma": 0.9, "reference_point": [-10.0] * number, "seed": seeds[0], "num_seeds": len(seeds)}
    config = {**defaults, **own, **settings, "run": notes}
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with (path / "front.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns(objectives))
        for seed, returns in fronts.items():
            weights = np.full(number, 1 / number).tolist()
            for i, row in enumerate(np.asarray(returns, float).tolist()):
                errors = [0.1] * number
                writer.writerow(
                    [seed, i, *weights, *row, *errors, *(2 * x for x in row), *errors, 7.0, *[0.0, 1.0] * number]
                )
    rows = metrics or [[step, seed, step / 100 + seed, 1.5, 0.5, 3] for step in (100, 200) for seed in seeds]
    with (path / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "seed", "hypervolume", "expected_utility", "sparsity", "front_size"])
        writer.writerows(rows)
    return path


def points(seed, number, num_objectives):
    """Points (n, R) that no other dominates, by falling first objective."""
    found = np.abs(np.random.default_rng(seed).normal(size=(number, num_objectives)))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found[np.argsort(-found[:, 0])]
