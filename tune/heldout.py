"""Comparison of the best settings with the defaults on seeds that the search has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from morl.errors import UserError
from morl.ops.bootstrap import Interval, bootstrap_interval
from morl.runs.csv import csv_text
from morl.runs.front import Floats
from morl.tune import ledger as ledgers
from morl.tune.journal import Journal, Trial
from morl.tune.ledger import Ledger
from morl.tune.settings import StudySettings
from morl.tune.worker import Job
from morl.words import counted

RESAMPLES = 10_000
DEFAULT = "default"  # name of the defaults among what is compared

Train = Callable[
    [Job, dict[str, tuple[Path, dict[str, Any], dict[str, Any]]], Ledger, StudySettings], dict[str, dict[str, Any]]
]
"""A function such as :func:`morl.tune.on_ray.hold_out`."""


@dataclass(frozen=True)
class HeldOut:
    """Scores of the best settings and of the defaults on the same n seeds.

    Attributes:
        seeds: n seeds.
        best, default: (n,) scores.
        hypervolumes: (2, n) hypervolumes, the best settings first.
        mean_best, mean_default: means over the seeds with bootstrap intervals.
        difference: mean of best less default, seed by seed, with its bootstrap interval.
        p_value: two-sided p-value of a paired permutation test of no difference. With five seeds it is at least 1/16;
            NaN with one.
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
        """Return a table with one row for each seed."""
        return csv_text(
            ["seed", "best_score", "default_score", "best_hypervolume", "default_hypervolume"],
            zip(self.seeds, self.best.tolist(), self.default.tolist(), *self.hypervolumes.tolist(), strict=True),
        )


def compare(
    best: Mapping[int, Mapping[str, float]], default: Mapping[int, Mapping[str, float]], seed: int = 0
) -> HeldOut:
    """Compare two settings on the seeds that both were trained with.

    Args:
        best, default: by seed, ``score`` and ``hypervolume``.
        seed: seed of the bootstrap and of the permutations.
    """
    seeds = tuple(sorted(best.keys() & default.keys()))
    scores = np.array([[results[s]["score"] for s in seeds] for results in (best, default)])
    volumes = np.array([[results[s]["hypervolume"] for s in seeds] for results in (best, default)])
    rng = np.random.default_rng(seed)
    p_value = float("nan")
    if len(seeds) > 1:  # flips the sign of each seed's difference, in all 2**n ways where they are few
        found = stats.permutation_test(
            (scores[0], scores[1]), _mean_difference, permutation_type="samples", n_resamples=RESAMPLES, rng=rng
        )
        p_value = float(found.pvalue)
    mean_best, mean_default, mean_difference = (
        bootstrap_interval((values,), np.mean, RESAMPLES, rng) for values in (*scores, scores[0] - scores[1])
    )
    return HeldOut(seeds, scores[0], scores[1], volumes, mean_best, mean_default, mean_difference, p_value)


def _mean_difference(x: Floats, y: Floats, axis: int = -1) -> Floats:
    difference: Floats = np.mean(x - y, axis=axis)
    return difference


def contestants(best: Trial) -> dict[str, dict[str, Any]]:
    """Return the searched settings of what is compared, by name: the best trial first, then the defaults."""
    return {f"trial-{best.number:05}": best.params, DEFAULT: {}}


def is_trained(journal: Journal, best: Trial) -> bool:
    """Return whether the journal has the results of both on held-out seeds, or that they failed there."""
    return all(name in journal.held_out for name in contestants(best))


def result(journal: Journal, best: Trial) -> HeldOut | None:
    """Return the comparison by the journal; ``None`` where one of the two is not trained or has failed."""
    one, two = (journal.held_out.get(name) for name in contestants(best))
    return compare(one, two) if one and two else None


def train(
    ledger: Ledger,
    best: Trial,
    run: Train,
    *,
    job: Job,
    settings: StudySettings,
    defaults: Mapping[str, Any],
    seeds: list[int],
    directory: Path,
) -> None:
    """Train the best settings and the defaults on held-out seeds, and write the results into the journal.

    Args:
        ledger: of the study; what its journal has already is not trained again.
        best: the trial whose settings are compared.
        run: trains.
        job: what trials share.
        settings: those of the study.
        defaults: the agent's settings by name.
        seeds: consecutive seeds.
        directory: directory of these trainings' run directories.

    Raises:
        UserError: a run directory that cannot be written.
    """
    changes = {"seed": seeds[0], "num_seeds": len(seeds)}
    wanted = {
        name: (directory / name, params, changes)
        for name, params in contestants(best).items()
        if name not in ledger.journal.held_out
    }
    best_name, _ = contestants(best)
    same = all(_frozen(value) == defaults[name] for name, value in best.params.items())
    if same:
        ledger.note("the defaults are the best settings: there is nothing to compare them with")
        wanted.pop(best_name, None)
    elif wanted:
        unseen = f"{counted(len(seeds), 'seed')} that the search has not seen"
        ledger.note(f"trial {best.number} against the defaults on {unseen}")
    for name, message in run(replace(job, checkpoints=False), wanted, ledger, settings).items():
        if "final" in message:
            results = {int(seed): one for seed, one in message["seeds"].items()}
            ledger.journal.hold_out(name, results)
            if same and name == DEFAULT:
                ledger.journal.hold_out(best_name, results)
        elif "unwritable" in message:
            raise UserError(message["unwritable"])
        elif "failed" in message:
            ledger.note(f"{name} failed on the held-out seeds: {message['failed']}")
            ledger.journal.hold_out(name, {})


def left_to_train(journal: Journal, settings: StudySettings) -> bool:
    """Return whether something is still to be trained on held-out seeds."""
    best = ledgers.best(journal.trials)
    return best is not None and settings.held_out_seeds > 0 and not is_trained(journal, best)


def _frozen(value: Any) -> Any:
    """Return lists as tuples: JSON has no tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
