"""``morl sample RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from morl.cli.table import paragraph, table
from morl.cli.train import STOPPED
from morl.errors import UserError
from morl.parsing import parse
from morl.runs import files
from morl.settings import Device
from morl.words import counted

if TYPE_CHECKING:
    from morl.constructive.sampling import Candidates

COMMAND = (60, "RUN [flags]", "draw objects with the sampler of a run (mogfn), for any preference")
LONGEST = 60  # letters of an object in the table


@dataclass(frozen=True)
class SampleOptions:
    """Draw objects with the sampler of a run (mogfn), for any preferences, and print the best of them.

    The CSV file has a row for each: its number, the object as text, the preference and beta it was drawn for, its
    objectives, their reward under the preference, the log-probability of the steps that built it, its novelty, and 1
    where the same was drawn for that preference before.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    preference: tyro.conf.UseAppendAction[tuple[tuple[float, ...], ...]] = ()
    """Weights of the objectives that sum to 1; repeat the flag for more preferences."""
    n: int = 1000
    """Objects to draw for each preference."""
    out: Path | None = None
    """New CSV file for the drawn objects."""
    stream: Path | None = None
    """New CSV or Parquet file (which needs the 'parquet' extra) for any number of objects, written as they are drawn;
    it has no novelty and no repetitions. Ctrl-C keeps what was drawn."""
    unique: bool = False
    """Leave out objects that were drawn for the same preference before."""
    known: Path | None = None
    """Objects, one a line or in the column object of a CSV file: novelty is the distance to the nearest of these. By
    default it is that to the nearest different object that was drawn."""
    sheet: Path | None = None
    """New PNG file for pictures of the best objects."""
    top: int = 10
    """Number of best objects of each preference to print and draw."""
    beta: float | None = None
    """Exponent of the reward to draw for; by default the highest the sampler was trained for."""
    seed: int = 0
    """Seed of the sampling."""
    training_seed: int | None = None
    """Training seed of the sampler, in a run of several seeds; by default the first seed."""
    device: Device = "auto"
    """Device that JAX runs on."""

    def __post_init__(self) -> None:
        if not self.preference:
            raise UserError("give --preference, weights of the objectives that sum to 1")
        for name, low in (("n", 1), ("top", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise UserError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("out", "unique", "known", "sheet") if self.stream is not None else ():
            if getattr(self, name):
                raise UserError(f"give --stream or --{name}, which needs all objects at once, not both")


def main(args: Sequence[str]) -> int:
    """Draw objects, print the best, and write files if asked to; return ``STOPPED`` when a stream was stopped early."""
    options = parse(SampleOptions, args, prog="morl sample")
    if options.stream is not None:
        return _stream(options, options.stream)
    from morl.constructive import sampling, sheets
    from morl.loading import setup_of
    from morl.ops.preferences import check_preference
    from morl.viz.video import check_new_file

    known = [] if options.known is None else sampling.read_known(options.known)
    if options.out is not None:
        check_new_file(options.out)
    setup = setup_of(options.run)[0]
    setup.require("sample")
    names, env = setup.objectives, setup.env
    preferences = [check_preference(weights, len(names), names) for weights in options.preference]
    if options.sheet is not None:
        sheets.check(env, options.sheet)
    drawn = sampling.sample(
        options.run,
        np.stack(preferences),
        options.n,
        seed=options.seed,
        beta=options.beta,
        known=known,
        training_seed=options.training_seed,
        device=options.device,
    )
    best = drawn.best(options.top)
    print(describe(drawn, best))
    if options.out is not None:
        written = drawn.unique() if options.unique else drawn
        files.write_text(options.out, written.to_csv())
        print(f"candidates: {options.out} ({len(written)})")
    if options.sheet is not None:
        number = sheets.draw(env, best, options.sheet)
        print(f"pictures: {options.sheet} ({number} of the best)")
    return 0


def _stream(options: SampleOptions, path: Path) -> int:
    """Draw objects into a file as they come, with progress on a terminal, and print the best."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from morl.cli.running.interrupts import stop_on_interrupt
    from morl.constructive import sampling, streaming

    streaming.check_path(path)
    source = sampling.open_source(
        options.run,
        options.preference,
        options.n,
        seed=options.seed,
        beta=options.beta,
        training_seed=options.training_seed,
        device=options.device,
    )
    total, console = options.n * len(source.weights), Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        stop_on_interrupt("the rows drawn so far are kept") as stopped,
    ):
        task = progress.add_task("drawing", total=total)
        done = streaming.stream(
            source,
            options.n,
            path,
            options.top,
            on_rows=lambda rows: progress.update(task, completed=rows),
            should_stop=lambda: bool(stopped),
        )
    names = source.setup.objectives
    body = [
        [
            " ".join(f"{w:.3g}" for w in source.weights[i]),
            f"{one.reward:.4g}",
            *(f"{x:.4g}" for x in one.values),
            _shortened(one.text),
        ]
        for i, best in enumerate(done.best)
        for one in best
    ]
    print(paragraph(f"{counted(done.rows, 'object')} drawn at beta {source.beta:g}; the best:"))
    print(table(["drawn for", "reward", *names, "object"], body, right=range(1, 2 + len(names))))
    print(f"candidates: {path} ({done.rows}{f' of {total}, stopped early' if done.stopped else ''})")
    return STOPPED if done.stopped else 0


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def describe(drawn: Candidates, best: Candidates) -> str:
    """Return a title and a table of the best objects of each preference."""
    different = len(set(drawn.objects))
    title = f"{counted(len(drawn), 'object')} drawn at beta {drawn.beta:g}, {different} of them different; the best:"
    header = ["drawn for", "reward", *drawn.objectives, "novelty", "object"]
    body = [
        [
            " ".join(f"{w:.3g}" for w in best.preferences[i]),
            f"{best.rewards[i]:.4g}",
            *(f"{x:.4g}" for x in best.values[i]),
            f"{best.novelty[i]:.3g}",
            _shortened(text),
        ]
        for i, text in enumerate(best.objects)
    ]
    return f"{paragraph(title)}\n{table(header, body, right=range(1, len(header) - 1))}"
