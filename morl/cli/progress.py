"""Progress of a training on the terminal."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from morl.training.loop import Status


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


class TerminalReporter:
    """Reporter with a progress bar on a terminal; elsewhere it prints one line per evaluation."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._quality = "compiling..."
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}% {task.fields[rate]} {task.fields[quality]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
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
        self._print(headline)
        self._print(f"run directory: {path}")
        self._progress.start()

    def update(self, status: Status) -> None:
        """Show the status in the bar, or as a line after an evaluation."""
        rate = f"{status.steps_per_second / 1000:.3g}k steps/s"
        self._quality = quality_text(status) if status.evaluated else self._quality.replace("compiling...", "")
        self._progress.update(self._task, completed=status.step, total=status.total, rate=rate, quality=self._quality)
        if status.evaluated and self._progress.disable:
            self._print(f"{status.step:>12,}/{status.total:,} steps  {rate}  {self._quality}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the training continues if nobody reads its output
            print(text, file=self.console.file, flush=True)
