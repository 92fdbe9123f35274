"""``morl evaluate RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.cli.front import describe
from morl.options import parse


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate the policies of a run's front again, greedily, on episodes of its own."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    episodes: int = 128
    """Greedy episodes of each policy."""
    seed: int = 1_000_000
    """Seed of the episodes."""
    gamma: float | None = None
    """Discount; by default the run's."""


def main(args: Sequence[str]) -> int:
    """Evaluate and print; the run directory is not touched."""
    options = parse(EvaluateOptions, args, prog="morl evaluate")
    from morl.loading import reevaluate

    fronts = reevaluate(options.run, episodes=options.episodes, seed=options.seed, gamma=options.gamma)
    for seed, front in fronts.items():
        print(describe(seed, front, range(len(front))))
    return 0
