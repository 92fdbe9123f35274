"""``morl front RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.cli.table import table
from morl.errors import UserError
from morl.front import Front
from morl.options import parse


@dataclass(frozen=True)
class FrontOptions:
    """Print the front of a run, or the policy of it that fits a preference."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    seed: int | None = None
    """Training seed; by default all of them."""
    preference: tuple[float, ...] | None = None
    """Weights of the objectives, adding up to 1: print only the policy with the largest weighted return."""
    csv: bool = False
    """Print all numbers as CSV, in the columns of front.csv."""


def main(args: Sequence[str]) -> int:
    """Print."""
    options = parse(FrontOptions, args, prog="morl front")
    if options.csv and options.preference is not None:
        raise UserError("--csv prints the whole front; give it without --preference")
    from morl.loading import load

    run = load(options.run)
    if options.seed is not None and options.seed not in run.fronts:
        raise UserError(f"seed {options.seed} is not in this run; it has {', '.join(map(str, run.fronts))}")
    fronts = {seed: front for seed, front in run.fronts.items() if options.seed in (None, seed)}
    if options.csv:
        from morl.front import to_csv

        print(to_csv(fronts), end="")
        return 0
    for seed, front in fronts.items():
        rows = range(len(front)) if options.preference is None else [front.assign(options.preference)]
        print(describe(seed, front, rows))
    if options.preference is None:
        print(f"picture: {run.path / 'front.png'}")
    return 0


def describe(seed: int, front: Front, rows: Sequence[int]) -> str:
    """A title line and a table of policies, or of objects."""
    title = f"seed {seed}: {len(front)} {front.kind}, {front.describe_hypervolume()}; "
    if front.objects is not None:
        return title + _described_objects(front, front.objects, rows)
    title += f"discounted returns, mean ± standard error of {front.episodes} greedy episodes"
    header = ["id", "trained for", *front.objectives, "steps"]
    body = [
        [
            str(i),
            " ".join(f"{w:.2f}" for w in front.preferences[i]),
            *(f"{x:.4g} ± {e:.2g}" for x, e in zip(front.returns[i], front.stderr[i], strict=True)),
            f"{front.length[i]:.0f}",
        ]
        for i in rows
    ]
    return f"{title}\n{table(header, body, right=[0, *range(2, len(header))])}"


def _described_objects(front: Front, objects: Sequence[str], rows: Sequence[int]) -> str:
    """The rest of the title, and the table."""
    header = ["id", "drawn for", *front.objectives, "steps", "object"]
    body = [
        [
            str(i),
            " ".join(f"{w:.2f}" for w in front.preferences[i]),
            *(f"{x:.4g}" for x in front.returns[i]),
            f"{front.length[i]:.0f}",
            objects[i],
        ]
        for i in rows
    ]
    return f"the best of those drawn\n{table(header, body, right=[0, *range(2, len(header) - 1)])}"
