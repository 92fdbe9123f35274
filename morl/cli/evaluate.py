"""``morl evaluate RUN``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from morl.analysis.offline.settings import LogSettings, check_log_path
from morl.cli.front import describe
from morl.cli.table import paragraph
from morl.errors import UserError
from morl.parsing import parse
from morl.runs.front import Front
from morl.settings import EvaluateSettings
from morl.yardsticks.fronts import KnownFront

if TYPE_CHECKING:
    from morl.analysis.offline.evaluation import JudgedFront

COMMAND = (30, "RUN [flags]", "evaluate the policies of a run's front again on fresh seeds, or by a log")


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate the policies of a run's front again, greedily, on fresh episodes; the run is not changed.

    With --from-log no episode is run: the policies are judged by logged episodes of another one.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    evaluation: EvaluateSettings
    by_log: LogSettings
    out: Path | None = None
    """Also write the numbers of every policy and preference: a new CSV file."""
    overwrite: bool = False
    """Write over that file if it is there."""
    from_log: Path | None = None
    """Judge the policies by this log instead, a .npz or .parquet file; morl rollout --log writes one."""

    def __post_init__(self) -> None:
        if self.out is not None and self.out.suffix.lower() != ".csv":
            raise UserError(f"cannot write numbers to {self.out}; allowed: .csv")
        if self.overwrite and self.out is None:
            raise UserError("--overwrite is for --out, the file to write over")
        if self.from_log is not None:
            check_log_path(self.from_log)
            fresh = EvaluateSettings()
            for name in ("episodes", "env_kwargs", "gamma", "max_envs", "gpi"):
                if getattr(self.evaluation, name) != getattr(fresh, name):
                    raise UserError(f"--{name.replace('_', '-')} is for fresh episodes; leave it out with --from-log")
        elif self.by_log != LogSettings():
            names = ", ".join(f"--{field.name.replace('_', '-')}" for field in fields(LogSettings))
            raise UserError(f"{names} are for --from-log")


def main(args: Sequence[str]) -> int:
    """Evaluate the fronts and print them with their metrics."""
    options = parse(EvaluateOptions, args, prog="morl evaluate")
    from morl.loading import evaluated
    from morl.runs.files import write_text
    from morl.viz.video import check_new_file

    if options.out is not None:
        check_new_file(options.out, overwrite=options.overwrite)
    if options.from_log is not None:
        return judge(options, options.from_log)
    found = evaluated(options.run, options.evaluation)
    for seed, front in found.fronts.items():
        ids = front.evaluated if front.objects is None else None
        print(describe(seed, front, range(len(front)), ids))
        if gone := len(found.tables[seed]["length"]) - len(front):
            print(f"not shown: {gone} that others dominate on these episodes")
    protocol = found.setup.protocol
    print(f"\n{metrics_of(found.fronts, protocol.known_front)}")
    for line in protocol.describe():
        print(paragraph(line))
    for text in notes_of(found.fronts):
        print(paragraph(f"note: {text}"))
    if options.out is not None:
        write_text(options.out, found.to_csv())
        print(f"numbers: {options.out} ({sum(len(table['length']) for table in found.tables.values())} rows)")
    return 0


def judge(options: EvaluateOptions, log: Path) -> int:
    """Judge the fronts by a log, print what it says of them, and return the exit code."""
    from morl.analysis.offline.evaluation import evaluate_log
    from morl.runs.files import write_text

    found = evaluate_log(
        options.run,
        log,
        options.by_log,
        seed=options.evaluation.seed,
        reference_point=options.evaluation.reference_point,
        device=options.evaluation.device,
    )
    lengths = found.log.lengths
    print(f"{len(lengths)} logged episodes of {found.log.behaviour}; {options.by_log.target} actions are judged")
    for seed, judged in found.fronts.items():
        print(f"\nseed {seed}, by {options.by_log.estimator}, with 95 % intervals:")
        print(judged_table(judged, options.by_log))
        for note in judged.notes:
            print(paragraph(f"note: {note}"))
    if options.out is not None:
        text = found.to_csv()
        write_text(options.out, text)
        print(f"numbers: {options.out} ({text.count(chr(10)) - 1} rows)")
    return 0


def judged_table(judged: JudgedFront, settings: LogSettings) -> str:
    """Return tables of the policies that a log judges, and of their front by each estimator."""
    from morl.cli.table import table

    def shown(value: float, low: float, high: float) -> str:
        return f"{value:.4g} ({low:.4g} to {high:.4g})"

    objectives = judged.front.objectives
    rows = [["behaviour", "", *map(shown, judged.behaviour, judged.behaviour_low, judged.behaviour_high), ""]]
    if not judged.judged:
        return table(["policy", "effective", *objectives, "non-dominated"], rows)
    each = judged.estimates[settings.estimator]
    for place, row in enumerate(judged.judged):
        numbers = map(shown, each.returns[place], each.low[place], each.high[place])
        rows.append([str(row), f"{judged.effective[row]:.0f}", *numbers, f"{each.non_dominated[place]:.0%}"])
    text = table(["policy", "effective", *objectives, "non-dominated"], rows, right=(1,))
    fronts = [
        [name, *(shown(whole.value, whole.low, whole.high) for whole in (one.hypervolume, one.sharpe))]
        for name, one in judged.estimates.items()
    ]
    k = min(settings.top_k, len(judged.judged))
    return f"{text}\n\n{table(['front by', 'hypervolume', f'SharpeRatio@{k}'], fronts)}"


def notes_of(fronts: Mapping[int, Front]) -> list[str]:
    """Return warnings about the hypervolumes of fronts by seed; one that all of them have is told once."""
    told: dict[str, list[int]] = {}
    for seed, front in fronts.items():
        for note in front.notes:
            told.setdefault(note, []).append(seed)
    every = len(fronts)
    return [
        note if len(seeds) == every > 1 or "hides" in note else f"seed {', '.join(map(str, seeds))}: {note}"
        for note, seeds in told.items()
    ]


def metrics_of(fronts: Mapping[int, Front], known_front: KnownFront | None) -> str:
    """Return a table of every registered metric with a row per seed, and an explanation of the columns.

    Args:
        fronts: by training seed.
        known_front: to measure against; without one, metrics that need it are left out.
    """
    from morl.cli.metrics import cells, explained
    from morl.cli.table import table
    from morl.ops.preferences import equally_spaced_weights
    from morl.quality import NUM_PREFERENCES, measure
    from morl.registry import metric_specs

    specs = [spec for spec in metric_specs().values() if known_front is not None or "known_front" not in spec.needs]
    rows = []
    for seed, front in fronts.items():
        values = measure(
            front.returns,
            specs,
            reference_point=front.reference_point,
            preferences=equally_spaced_weights(len(front.objectives), NUM_PREFERENCES),
            known_front=None if known_front is None else known_front.points,
        )
        rows.append([str(seed), *cells(values, specs)])
    header = ["seed", *(spec.label for spec in specs)]
    reference_point = next(iter(fronts.values())).reference_point.tolist()
    about = explained(specs, reference_point, "", "" if known_front is None else known_front.phrase)
    return f"{table(header, rows, right=range(len(header)))}\n{paragraph(about)}"
