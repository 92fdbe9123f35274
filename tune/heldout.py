"""The best settings against the defaults, seed by seed, on seeds that no choice was made by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from morl.ops.bootstrap import Interval, bootstrap_interval
from morl.runs.csv import csv_text
from morl.runs.front import Floats

RESAMPLES = 10_000


@dataclass(frozen=True)
class HeldOut:
    """Scores of two settings on the same seeds.

    Attributes:
        seeds: n.
        best, default: (n,) scores.
        hypervolumes: (2, n) of the best settings and of the defaults.
        mean_best, mean_default: with bootstrap intervals over the seeds.
        difference: mean of the differences seed by seed, best less default, with its interval.
        p_value: of a paired permutation test of no difference, two-sided. Of five seeds it is at least 1/16.
    """

    seeds: tuple[int, ...]
    best: Floats
    default: Floats
    hypervolumes: Floats
    mean_best: Interval
    mean_default: Interval
    difference: Interval
    p_value: float

    def as_csv(self) -> str:
        """One row a seed."""
        return csv_text(
            ["seed", "best_score", "default_score", "best_hypervolume", "default_hypervolume"],
            zip(self.seeds, self.best.tolist(), self.default.tolist(), *self.hypervolumes.tolist(), strict=True),
        )


def compare(
    best: Mapping[int, Mapping[str, float]], default: Mapping[int, Mapping[str, float]], seed: int = 0
) -> HeldOut:
    """What two settings reach on the seeds that both were trained with.

    Args:
        best, default: by seed, ``score`` and ``hypervolume``.
        seed: of the bootstrap.
    """
    seeds = tuple(sorted(best.keys() & default.keys()))
    scores = np.array([[of[s]["score"] for s in seeds] for of in (best, default)])
    volumes = np.array([[of[s]["hypervolume"] for s in seeds] for of in (best, default)])
    rng = np.random.default_rng(seed)
    p_value = float("nan")
    if len(seeds) > 1:  # the test by flipping the sign of each seed's difference, all 2**n ways where they are few
        found = stats.permutation_test(
            (scores[0], scores[1]), _mean_difference, permutation_type="samples", n_resamples=RESAMPLES, rng=rng
        )
        p_value = float(found.pvalue)
    mean_best, mean_default, mean_difference = (
        bootstrap_interval((values,), np.mean, RESAMPLES, rng) for values in (*scores, scores[0] - scores[1])
    )
    return HeldOut(
        seeds,
        scores[0],
        scores[1],
        volumes,
        mean_best,
        mean_default,
        mean_difference,
        p_value,
    )


def _mean_difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
    difference: Floats = np.mean(x - y, axis=axis)
    return difference
