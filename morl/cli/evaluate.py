"""``morl evaluate RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.cli.front import describe
from morl.parsing import parse
from morl.settings import EvaluateSettings


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate the policies of a run's front again, greedily, on episodes of its own; the run is not touched."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    evaluation: EvaluateSettings


def main(args: Sequence[str]) -> int:
    """Evaluate and print."""
    options = parse(EvaluateOptions, args, prog="morl evaluate")
    from morl.loading import reevaluate

    for seed, front in reevaluate(options.run, options.evaluation).items():
        print(describe(seed, front, range(len(front))))
    return 0
