"""Functions of the public API that do what the commands of the same purpose do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from morl.analysis import comparison, results
from morl.analysis.comparison import Comparison, Grouping

Runs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def compare_runs(
    runs: Runs,
    *,
    by: Grouping = "settings",
    reference_point: ArrayLike | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare finished runs of one environment, as ``morl compare`` does.

    >>> import morl
    >>> found = morl.compare_runs(["runs/a", "runs/b"])  # doctest: +SKIP
    >>> found.means[found.groups[0], "hypervolume"].value  # doctest: +SKIP

    Args:
        runs: run directories, or one of them.
        by: what makes a group: the same agent and settings but for the seed, or each run.
        reference_point: (R,) of the hypervolume; by default the runs' own, of different ones the lowest in every
            objective.
        resamples: bootstrap samples behind each interval.
        seed: of these samples.

    Raises:
        UserError: not a finished run, one that is given twice, or runs whose returns are not of the same kind.
    """
    found = results.read(_paths(runs))
    return comparison.compare(found, by=by, reference_point=reference_point, resamples=resamples, seed=seed)


def write_report(runs: Runs, out: str | os.PathLike[str] | None = None) -> Path:
    """Write one HTML file that shows finished runs of one environment, as ``morl report`` does, and return its path.

    Args:
        runs: run directories, or one of them.
        out: the file; by default report.html, in the run directory or, for several runs, in the working directory.

    Raises:
        UserError: as for :func:`compare_runs`, or a file that cannot be written or is no report.
    """
    from morl import report

    paths = _paths(runs)
    path = Path(out) if out is not None else (paths[0] if len(paths) == 1 else Path()) / "report.html"
    report.write(results.read(paths), path)
    return path


def _paths(runs: Any) -> list[Path]:
    return [Path(runs)] if isinstance(runs, str | os.PathLike) else [Path(run) for run in runs]
