"""Progress of a training on a terminal, in a notebook, or as lines of text."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from morl.training.reporter import Reporter, Status
from morl.words import clock_text, rate_text

COMPILING = "compiling..."
SPEED_SECONDS = 600.0  # over which the bar measures the speed that it foretells the end by


def range_text(values: tuple[float, ...], form: str) -> str:
    """Return one number, or the lowest and highest over the seeds."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low}..{high}"


def quality_text(status: Status) -> str:
    """Return the quality of the front so far in words."""
    share = f" ({range_text(status.share, '.1%')} of true)" if status.share else ""
    return (
        f"HV {range_text(status.hypervolume, '.6g')}{share} EU {range_text(status.expected_utility, '.4g')} "
        f"front {range_text(status.front_size, 'd')}"
    )


def times_text(elapsed: float | None, remaining: float | None) -> str:
    """Return the time since the start, and the time to go where it is known and there is any."""
    passed = clock_text(elapsed or 0.0)
    return passed if not remaining else f"{passed}, {clock_text(remaining)} left"


class _Times(ProgressColumn):
    """Column of the time since the start and the time to go."""

    def render(self, task: Task) -> Text:
        """Return both as text."""
        return Text(times_text(task.elapsed, task.time_remaining))


class TerminalReporter:
    """Reporter with a progress bar on a terminal; elsewhere it prints one line per evaluation.

    Attributes:
        path: run directory, once there is one.
        updated: whether the first updates are done, which are compiled before.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.path: Path | None = None
        self.updated = False
        self._quality = COMPILING
        self._progress = Progress(
            BarColumn(bar_width=10),
            TextColumn("{task.percentage:>3.0f}%"),
            _Times(Column(no_wrap=True)),
            TextColumn("{task.fields[rate]} {task.fields[quality]}", table_column=Column(no_wrap=True, ratio=1)),
            expand=True,
            console=self.console,
            disable=not self.console.is_terminal,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task = self._progress.add_task("train", total=None, rate="", quality=self._quality)

    def __enter__(self) -> TerminalReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, headline: str, path: Path) -> None:
        """Print the headline and the run directory."""
        self.path = path
        self._print(headline)
        self._print(f"run directory: {path}")
        self._progress.start()

    def update(self, status: Status) -> None:
        """Show the status in the bar, or as a line after an evaluation."""
        self.updated = True
        rate = rate_text(status.steps_per_second)
        self._quality = quality_text(status) if status.evaluated else self._quality.replace(COMPILING, "")
        self._progress.update(self._task, completed=status.step, total=status.total, rate=rate, quality=self._quality)
        if status.evaluated and self._progress.disable:
            self._print(f"{status.step:>12,}/{status.total:,} steps  {rate}  {self._quality}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the training continues if nobody reads its output
            if self._progress.live.is_started:
                self.console.print(text, markup=False, highlight=False)
            else:
                print(text, file=self.console.file, flush=True)


@contextmanager
def shown(reporter: Reporter | bool | None) -> Iterator[Reporter | None]:
    """Yield the reporter of a training: the one given, the default one for None, no one for False.

    The default one is for people: on a terminal and in a notebook, in a program of theirs and not in its workers.
    """
    if reporter is None:
        reporter = watched()
    if not isinstance(reporter, bool):
        yield reporter
    elif not reporter:
        yield None
    else:
        with TerminalReporter(_notebook_console() if in_notebook() else None) as made:
            yield made


def watched() -> bool:
    """Return whether somebody seems to watch what this process prints."""
    if multiprocessing.parent_process() is not None or "PYTEST_CURRENT_TEST" in os.environ:
        return False
    return in_notebook() or (_is_terminal(sys.stdout) and _is_terminal(sys.stderr))


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook."""
    module: Any = sys.modules.get("IPython")
    shell = module.get_ipython() if module and hasattr(module, "get_ipython") else None
    return hasattr(shell, "kernel")


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # none, as without a console, or closed
        return False


def _notebook_console() -> Console:
    """Return a console of plain lines in the cell's output; a bar would need a package of widgets."""
    return Console(file=sys.stdout, force_terminal=False, force_jupyter=False, soft_wrap=True)
