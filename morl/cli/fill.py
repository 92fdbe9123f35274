"""``morl fill RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.cli.table import paragraph
from morl.parsing import parse
from morl.settings import FillSettings

COMMAND = (35, "RUN [flags]", "fill a run's front by merging its policies' parameters")


@dataclass(frozen=True)
class FillOptions:
    """Fill the front of a run (cmorl, ppo, dsac) by merging the parameters of its policies; leaves a new run directory.

    Merges are searched along lines between neighbours and by quadratic surrogates of the returns. Only those that are
    still non-dominated on fresh episodes are in the new front, with the numbers of these episodes.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    filling: FillSettings
    json: bool = False
    """Print the findings as JSON, as they are in fill.json."""


def main(args: Sequence[str]) -> int:
    """Fill the fronts and print what was found."""
    options = parse(FillOptions, args, prog="morl fill")
    from morl.analysis.filling.fill import fill

    found = fill(options.run, options.filling)
    if options.json:
        print(found.to_json())
        return 0
    for line in found.describe().splitlines():
        print(paragraph(line))
    print(f"run: {found.run.path} (morl front {found.run.path})")
    return 0
