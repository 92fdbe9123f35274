"""Results of a training: rows of metrics while it runs, the front at its end, and the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml
from numpy.typing import NDArray

from morl.ops import metrics
from morl.ops.preferences import equally_spaced_weights, explain_one_sided
from morl.quality import front_metrics, objective_metrics
from morl.runs import files, storage
from morl.runs.directory import check_fronts, check_objects, provenance
from morl.runs.front import Floats, Front
from morl.runs.front_csv import objects_csv, to_csv
from morl.runs.loggers.recorder import Recorder
from morl.settings import TrainSettings
from morl.training.progress import Progress
from morl.training.reporter import Status
from morl.training.setup import Setup
from morl.training.solution_sets import SolutionSet
from morl.types import Trainer

EXPECTED_UTILITY_WEIGHTS = 100


@dataclass(frozen=True)
class Results:
    """Metrics and fronts of the seeds of a training.

    Attributes:
        path: run directory.
        seeds: in the order of the rows and of the policies.
        per_seed: policies of each seed.
        solutions: what is kept for each seed.
        later_metrics: names of metrics that only the second stage reports.
    """

    setup: Setup
    settings: TrainSettings
    path: Path
    seeds: Sequence[int]
    per_seed: int
    solutions: SolutionSet
    later_metrics: Sequence[str] = ()

    def rows(self, progress: Progress, seconds: float, rate: float) -> list[dict[str, Any]]:
        """Return one row of metrics.csv for each seed.

        Args:
            progress: with the sums of the agent's metrics since the last evaluation.
            seconds: of work since the start of the run.
            rate: environment steps a second over all seeds.
        """
        rows = []
        for i, seed in enumerate(self.seeds):
            mine = slice(i * self.per_seed, (i + 1) * self.per_seed)
            number = sum(progress.numbers[mine]) or np.nan  # none where all were reverted
            rows.append(
                {
                    "step": progress.steps,
                    "seed": seed,
                    "seconds": round(seconds, 3),
                    **self._quality(self.solutions.returns(i)),
                    **objective_metrics(self.solutions.returns(i), self.setup.objectives),
                    **self.solutions.metrics(i),
                    "steps_per_second": round(rate, 1),
                    **dict.fromkeys(self.later_metrics, float("nan")),
                    **{name: sum(values[mine]) / number for name, values in progress.sums.items()},
                    **self._of_each_policy(progress, mine),
                }
            )
        return rows

    def _of_each_policy(self, progress: Progress, mine: slice) -> dict[str, float]:
        """Return the metrics of each policy of a seed, where it has several, that the agent names, by column."""
        if self.per_seed == 1:
            return {}
        numbers = progress.numbers[mine]
        return {
            f"{name}_policy_{i}": value / (number or np.nan)
            for name in self.setup.agent.policy_metrics
            for i, (value, number) in enumerate(zip(progress.sums.get(name, [])[mine], numbers, strict=False))
        }

    def _quality(self, returns: Floats) -> dict[str, float]:
        """Return the metrics of a front (n, R) that are computed at every evaluation, by column."""
        setup = self.setup
        known = setup.protocol.known_front
        return front_metrics(
            returns,
            setup.reference_point,
            setup.true_front,
            self._weights,
            known_front=None if known is None else known.points,
            true_hypervolume=setup.true_hypervolume,
        )

    @cached_property
    def _weights(self) -> Floats:
        return equally_spaced_weights(len(self.setup.objectives), EXPECTED_UTILITY_WEIGHTS)

    def final(self, trainer: Trainer, keys: jax.Array) -> tuple[dict[int, Front], list[str]]:
        """Evaluate what is kept on fresh episodes: estimates that put a policy into an archive are its luckiest ones.

        Args:
            trainer: evaluates.
            keys: (S,) one for each seed.

        Returns:
            the front of each seed, and a line about each, with warnings about its hypervolumes.
        """
        found = self.solutions.final(trainer, keys, self.settings.final_episodes)
        fronts, lines = {}, []
        for i, (seed, (evaluation, params, preferences)) in enumerate(zip(self.seeds, found, strict=True)):
            fronts[seed] = self.setup.front(evaluation, params, preferences)
            lines.append(f"seed {seed}: {self._describe(i, fronts[seed])}")
            notes = fronts[seed].notes
            if getattr(self.setup.config, "preference_units", "scaled") == "raw":
                one_sided = explain_one_sided(fronts[seed].returns, self.setup.objectives)
                notes += [one_sided] if one_sided else []
            lines += [f"seed {seed}: {note}" for note in notes]
        return fronts, lines

    def _describe(self, index: int, front: Front) -> str:
        kept = self.solutions.describe(index)
        if front.labelled:  # labels are exact: nothing was evaluated again
            return f"{kept}, {len(front)} in the front, {front.describe_hypervolume()}"
        before = metrics.hypervolume_estimate(self.solutions.returns(index), self.setup.reference_point)[0]
        return (
            f"{kept}, hypervolume {before:.6g} by training estimates, "
            f"{front.hypervolume():.6g} {front.how_measured} ({len(front)} {front.kind})"
        )

    def write(self, fronts: dict[int, Front], steps: int, record: Recorder) -> None:
        """Write the fronts in place of those that an early stop has left, never beside another's policies.

        Args:
            fronts: by seed.
            steps: environment steps of each seed.
            record: for the picture and the final metrics.

        Raises:
            OSError: a file cannot be written, or is not read back as it was written; then there is no ``front.csv``.
        """
        tables = self.solutions.tables()
        pixels = write_fronts(self.path, self.setup, fronts, f"{self.settings.env}, {steps:,} steps", tables)
        record.image("front", pixels, steps)
        utilities = [metrics.expected_utility(front.returns, self._weights) for front in fronts.values()]
        results = {
            "final/hypervolume": float(np.mean([front.hypervolume() for front in fronts.values()])),
            "final/expected_utility": float(np.mean(utilities)),
        }
        record.hparams(self.setup.resolved(self.settings), results, steps)


def write_fronts(
    path: Path, setup: Setup, fronts: dict[int, Front], title: str, tables: Mapping[str, str] | None = None
) -> NDArray[np.uint8]:
    """Write the policies, ``front.csv`` and ``front.png`` of a run directory; return the picture's (H, W, 3) pixels.

    Args:
        path: run directory.
        setup: of the run.
        fronts: by seed.
        title: of the picture, after the agent's name.
        tables: further CSV files by name.

    Raises:
        OSError: a file cannot be written, or is not read back as it was written; then there is no ``front.csv``.
    """
    from morl.viz import plotting  # matplotlib takes a while to load

    policies = {str(seed): front.params for seed, front in fronts.items()}
    with storage.replacing(path / "checkpoints" / "front", policies):
        (path / "front.csv").unlink(missing_ok=True)
    if setup.has_objects:
        files.write_text(path / "objects.csv", objects_csv(fronts), partial(check_objects, fronts=fronts))
    for name, table in (tables or {}).items():
        files.write_text(path / name, table)
    files.write_text(path / "front.csv", to_csv(fronts), partial(check_fronts, fronts=fronts))
    figure = plotting.draw_front(fronts, f"{setup.spec.name} on {title}", setup.true_front)
    return plotting.save(figure, path / "front.png")


def write_config(
    path: Path, setup: Setup, settings: TrainSettings, device: str, notes: Mapping[str, Any] | None = None
) -> str:
    """Write ``config.yaml`` of a run directory and return its text.

    Args:
        path: run directory.
        setup, settings: of the run.
        device: it runs on, in words.
        notes: further notes of the run, as plain values.
    """
    found = setup.observations.origin
    text: str = yaml.safe_dump(
        {
            **setup.resolved(settings),
            "run": {
                **provenance(device, setup.spec.packages),
                **({"origin": dict(found)} if found else {}),
                "protocol": setup.protocol.as_dict(),
                **(notes or {}),
            },
        },
        sort_keys=False,
    )
    files.write_text(path / "config.yaml", text)
    return text


def status_of(rows: Sequence[dict[str, Any]], steps: int, total: int, rate: float) -> Status:
    """Return the progress to report after an evaluation, from its rows of metrics."""

    def column(name: str) -> tuple[Any, ...]:
        return tuple(row[name] for row in rows if name in row)

    return Status(
        steps,
        total,
        rate,
        hypervolume=column("hypervolume"),
        expected_utility=column("expected_utility"),
        front_size=column("front_size"),
        share=column("hypervolume_share"),
        evaluated=True,
    )
