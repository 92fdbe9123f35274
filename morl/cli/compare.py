"""``morl compare RUN...``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from morl.cli.metrics import cells, explained
from morl.cli.table import paragraph, table
from morl.errors import UserError
from morl.parsing import parse
from morl.runs.csv import csv_text

if TYPE_CHECKING:
    from morl.analysis.comparison import Comparison
    from morl.ops.bootstrap import Interval

COMMAND = (70, "RUN... [flags]", "compare runs: metrics with intervals over seeds, probability of improvement")

JSON_FRONTS = {"true": "true front", "pooled": "best points of all runs"}


@dataclass(frozen=True)
class CompareOptions:
    """Measure runs on one scale: hypervolume, expected utility, IGD+ and the other metrics of each seed's front.

    Groups of seeds are compared by their interquartile means with 95 % bootstrap intervals, and pairs of groups by the
    probability that a seed of the first is better than a seed of the second. Objectives, environment and discount have
    to be the same.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run directories."""
    by: Literal["settings", "run"] = "settings"
    """Grouping: runs whose agent and settings are the same except the seed, or each run by itself."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume, one number per objective; by default the runs', or the lowest of theirs in
    each objective."""
    resamples: int = 10_000
    """Resamples of the bootstrap."""
    seed: int = 0
    """Seed of the bootstrap."""
    csv: bool = False
    """Print each seed's numbers as CSV."""
    json: bool = False
    """Print everything as JSON."""
    png: Path | None = None
    """Also draw the comparison into a new PNG file."""

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"resamples must be at least 100, not {self.resamples}")
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, not {self.seed}")
        if self.csv and self.json:
            raise UserError("give --csv or --json, not both")
        if self.png is not None and self.png.suffix.lower() != ".png":
            raise UserError(f"cannot write a picture to {self.png}; allowed: .png")


def main(args: Sequence[str]) -> int:
    """Compare the runs, print the tables, and draw them if asked to."""
    options = parse(CompareOptions, args, prog="morl compare")
    from morl.analysis import comparison, results

    if options.png is not None:
        from morl.viz.video import check_new_file

        check_new_file(options.png)
    found = comparison.compare(
        results.read(options.runs),
        by=options.by,
        reference_point=options.reference_point,
        resamples=options.resamples,
        seed=options.seed,
    )
    if options.png is not None:
        from morl.viz import plotting

        plotting.save(plotting.draw_comparison(found), options.png)
    if options.csv:
        print(as_csv(found), end="")
    elif options.json:
        print(json.dumps(as_json(found), indent=1, allow_nan=False))
    else:
        print(describe(found))
        if options.png is not None:
            print(f"picture: {options.png}")
    return 0


def describe(found: Comparison) -> str:
    """Return three tables: fronts, groups, and pairs of groups."""
    metrics = found.metrics
    lowest = "" if found.own_reference else ", the lowest of the runs'"
    about = explained(metrics, found.reference_point.tolist(), lowest, found.known_front.phrase)
    lines = [paragraph(f"{found.env}, γ = {found.gamma:g}. {about}"), ""]
    lines[1:1] = [paragraph(line) for line in found.protocol.describe()]
    numbers = {group: str(i + 1) for i, group in enumerate(found.groups)}
    header = ["group", "run", "seed", "policies", *(metric.label for metric in metrics)]
    rows = [
        [numbers[front.group], front.run, str(front.seed), str(front.policies), *cells(front.values, metrics)]
        for front in found.measured
    ]
    lines += [table(header, rows, right=[0, *range(2, len(header))]), ""]
    lines += ["interquartile mean over the seeds [95 % interval]:"]
    header = ["group", "seeds", *(metric.label for metric in metrics), "what"]
    rows = [
        [
            numbers[group],
            str(len(found.of(group, metrics[0].name))),
            *(interval(found.means[group, metric.name]) for metric in metrics),
            group,
        ]
        for group in found.groups
    ]
    lines.append(table(header, rows, right=range(len(header) - 1)))
    if len(found.groups) > 1:
        decided = [metric for metric in metrics if metric.sign]
        header = ["better?", *(metric.label for metric in decided)]
        rows = [
            [
                f"{numbers[one]} than {numbers[two]}",
                *(interval(found.improvement[one, two, metric.name]) for metric in decided),
            ]
            for one, two in combinations(found.groups, 2)
        ]
        lines += ["", "probability of improvement [95 % interval]:", table(header, rows, right=range(1, len(header)))]
    lines += [
        f"{'' if i else chr(10)}note: {front.run}, seed {front.seed}: {front.note}"
        for i, front in enumerate(front for front in found.measured if front.note)
    ]
    if found.notes:
        lines += ["", *(paragraph(f"note: {note}") for note in found.notes)]
    if few := [f"{front.run}, seed {front.seed}" for front in found.measured if front.policies < 3]:
        lines += ["", f"note: fewer than three points have no sparsity: {'; '.join(few)}"]
    fewest = min(len(found.of(group, metrics[0].name)) for group in found.groups)
    if fewest < 5:
        seeds = "1 seed has no interval" if fewest == 1 else f"of {fewest} seeds an interval is too narrow"
        lines += ["", f"note: {seeds}; 5 or more tell how sure the numbers are"]
    return "\n".join(lines)


def interval(x: Interval) -> str:
    """Return a number with its interval if it has one."""
    if math.isnan(x.value):
        return "-"
    return f"{x.value:.5g}" if math.isnan(x.low) else f"{x.value:.5g} [{x.low:.5g}, {x.high:.5g}]"


def as_csv(found: Comparison) -> str:
    """Return CSV with one row per front."""
    names = [metric.name for metric in found.metrics]
    exact = [f"{name}_exact" for name in names if f"{name}_exact" in found.measured[0].values]
    return csv_text(
        ["group", "run", "seed", "policies", *names, *exact],
        (
            [
                front.group,
                front.run,
                front.seed,
                front.policies,
                *(front.values.get(name, "") for name in (*names, *exact)),
            ]
            for front in found.measured
        ),
    )


def as_json(found: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values; missing intervals are null."""
    from morl.ops.bootstrap import CONFIDENCE

    def finite(x: float) -> float | None:
        return x if math.isfinite(x) else None

    def ends(x: Interval) -> dict[str, float | None]:
        return {"value": finite(x.value), "low": finite(x.low), "high": finite(x.high)}

    known = JSON_FRONTS.get(found.known_front.kind, found.known_front.phrase.removeprefix("the "))
    names = [metric.name for metric in found.metrics]
    return {
        "env": found.env,
        "gamma": found.gamma,
        "reference_point": found.reference_point.tolist(),
        "igd_plus_against": known,
        "known_front": known,
        "protocol": found.protocol.as_dict(),
        "notes": list(found.notes),
        "confidence": CONFIDENCE,
        "fronts": [
            {
                **{"group": x.group, "run": x.run, "seed": x.seed, "policies": x.policies},
                **{name: finite(x.values[name]) for name in names},
                "exact": x.exact,
                "note": x.note,
            }
            for x in found.measured
        ],
        "interquartile_means": [
            {"group": group, "metric": metric, **ends(x)} for (group, metric), x in found.means.items()
        ],
        "probability_of_improvement": [
            {"group": one, "over": two, "metric": metric, **ends(x)}
            for (one, two, metric), x in found.improvement.items()
        ],
    }
