"""Scores of a finished training, by its fronts and its table of metrics. Imports no JAX until it computes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morl.tune.settings import MetricName


def by_seed(run: Any, metric: MetricName) -> dict[int, dict[str, float]]:
    """Return score, hypervolume and expected utility of each seed's front, re-evaluated if the agent has policies.

    Args:
        run: a finished run, as ``morl.train`` returns it.
        metric: name of the score.
    """
    from morl.ops.metrics import expected_utility
    from morl.ops.preferences import equally_spaced_weights
    from morl.training.results import EXPECTED_UTILITY_WEIGHTS

    whole = _true_hypervolume(run.path)
    found = {}
    for seed, front in run.fronts.items():
        hypervolume = front.hypervolume()
        weights = equally_spaced_weights(front.returns.shape[1], EXPECTED_UTILITY_WEIGHTS)
        utility = expected_utility(front.returns, weights)
        score = utility if metric == "eu" else hypervolume / whole
        found[seed] = {"score": score, "hypervolume": hypervolume, "expected_utility": utility}
    return found


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of n values; 0 for one value."""
    number = len(values)
    mean = sum(values) / number
    return math.sqrt(sum((x - mean) ** 2 for x in values) / max(1, number - 1) / number)


def last_step(path: Path) -> int:
    """Return the environment steps in the last row of a run's ``metrics.csv``."""
    from morl.runs.directory import read_rows

    header, *rows = read_rows(path / "metrics.csv")
    return int(float(rows[-1][header.index("step")]))


def _true_hypervolume(path: Path) -> float:
    """Return the hypervolume of the true front by a run's ``metrics.csv``; 1 where it is not known."""
    from morl.runs.directory import read_rows

    header, *rows = read_rows(path / "metrics.csv") or [[]]
    for row in rows:
        values = dict(zip(header, row, strict=True))
        if (share := float(values.get("hypervolume_share", 0.0))) > 0:
            return float(values["hypervolume"]) / share
    return 1.0
