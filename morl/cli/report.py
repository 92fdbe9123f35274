"""``morl report RUN...``."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.parsing import parse

COMMAND = (80, "RUN... [flags]", "write an HTML file that shows runs: fronts, sliders for the preference, metrics")


@dataclass(frozen=True)
class ReportOptions:
    """Write one HTML file that shows runs: their fronts, sliders for the preference, metrics, settings.

    It loads nothing from the network. Several runs of one environment are put side by side.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run directories."""
    out: Path | None = None
    """File to write; by default report.html, in the run directory or, for several runs, in the working directory."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume of the fronts, one number per objective; by default each run's own."""
    open: bool = False
    """Show it in the browser."""


def main(args: Sequence[str]) -> int:
    """Write the report, and open it if asked to."""
    options = parse(ReportOptions, args, prog="morl report")
    from morl import report
    from morl.analysis import results

    runs = results.read(options.runs)
    out = options.out or (runs[0].path if len(runs) == 1 else Path()) / "report.html"
    report.write(runs, out, options.reference_point)
    print(f"report: {out}")
    if options.open:
        webbrowser.open(out.resolve().as_uri())
    return 0
