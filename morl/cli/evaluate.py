"""``morl evaluate RUN``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.cli.front import describe
from morl.errors import UserError
from morl.parsing import parse
from morl.runs.front import Floats, Front
from morl.settings import EvaluateSettings

COMMAND = (30, "RUN [flags]", "evaluate the policies of a run's front again on fresh seeds")


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate the policies of a run's front again, greedily, on fresh episodes; the run is not changed."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    evaluation: EvaluateSettings
    out: Path | None = None
    """Also write the numbers of every policy and preference: a new CSV file."""
    overwrite: bool = False
    """Write over that file if it is there."""

    def __post_init__(self) -> None:
        if self.out is not None and self.out.suffix.lower() != ".csv":
            raise UserError(f"cannot write numbers to {self.out}; allowed: .csv")
        if self.overwrite and self.out is None:
            raise UserError("--overwrite is for --out, the file to write over")


def main(args: Sequence[str]) -> int:
    """Evaluate the fronts and print them with their metrics."""
    options = parse(EvaluateOptions, args, prog="morl evaluate")
    from morl.loading import evaluated
    from morl.runs.files import write_text
    from morl.viz.video import check_new_file

    if options.out is not None:
        check_new_file(options.out, overwrite=options.overwrite)
    found = evaluated(options.run, options.evaluation)
    for seed, front in found.fronts.items():
        ids = front.evaluated if front.objects is None else None
        print(describe(seed, front, range(len(front)), ids))
        if gone := len(found.tables[seed]["length"]) - len(front):
            print(f"not shown: {gone} that others dominate on these episodes")
    print(f"\n{metrics_of(found.fronts, found.setup.true_front)}")
    for seed, front in found.fronts.items():
        if front.note:
            print(f"note: seed {seed}: {front.note}")
    if options.out is not None:
        write_text(options.out, found.to_csv())
        print(f"numbers: {options.out} ({sum(len(table['length']) for table in found.tables.values())} rows)")
    return 0


def metrics_of(fronts: Mapping[int, Front], true_front: Floats | None) -> str:
    """Return a table of every registered metric with a row per seed, and an explanation of the columns.

    Args:
        fronts: by training seed.
        true_front: (m, R); without one, metrics that need it are left out.
    """
    from morl.cli.metrics import cells, explained
    from morl.cli.table import paragraph, table
    from morl.ops.preferences import equally_spaced_weights
    from morl.quality import NUM_PREFERENCES, measure
    from morl.registry import metric_specs

    specs = [spec for spec in metric_specs().values() if true_front is not None or "known_front" not in spec.needs]
    rows = []
    for seed, front in fronts.items():
        values = measure(
            front.returns,
            specs,
            reference_point=front.reference_point,
            preferences=equally_spaced_weights(len(front.objectives), NUM_PREFERENCES),
            known_front=true_front,
        )
        rows.append([str(seed), *cells(values, specs)])
    header = ["seed", *(spec.label for spec in specs)]
    reference_point = next(iter(fronts.values())).reference_point.tolist()
    about = explained(specs, reference_point, "", "the true front")
    return f"{table(header, rows, right=range(len(header)))}\n{paragraph(about)}"
