"""Progress of a training, for whoever shows it to a person or stops by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from morl.errors import user_code


@dataclass(frozen=True)
class Status:
    """Progress of a training for a reporter; one value a seed where it depends on the seed.

    Attributes:
        step, total: environment steps of one seed, done and planned.
        steps_per_second: over all seeds, collecting and learning, since the last status.
        hypervolume, expected_utility, front_size: of the archive by training estimates, at the last evaluation.
        share: hypervolume over the true front's, where that is known.
    """

    step: int
    total: int
    steps_per_second: float
    hypervolume: tuple[float, ...] = ()
    expected_utility: tuple[float, ...] = ()
    front_size: tuple[int, ...] = ()
    share: tuple[float, ...] = ()
    evaluated: bool = False


class Reporter(Protocol):
    """Reporter of a training to a person."""

    def start(self, headline: str, path: Path) -> None:
        """Show the headline, before anything is compiled."""
        ...

    def update(self, status: Status) -> None:
        """Show the progress, after each chunk of updates."""
        ...

    def note(self, text: str) -> None:
        """Show a line: the agent's notes at the start, and each front re-evaluated at the end."""
        ...


class Watcher:
    """Reporter of a training and what can stop it, where they were given.

    Attributes:
        stopped: whether ``on_status`` has stopped the training.

    Args:
        reporter: shows the progress.
        on_status: called with each status; the training stops once it has returned True.
        asked: whether the training shall stop, for another reason.
    """

    def __init__(
        self,
        reporter: Reporter | None,
        on_status: Callable[[Status], object] | None = None,
        asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reporter, self._on_status, self._asked = reporter, on_status, asked
        self.stopped = False

    def start(self, headline: str, path: Path) -> None:
        """Show the headline."""
        if self._reporter:
            self._reporter.start(headline, path)

    def note(self, text: str) -> None:
        """Show a line."""
        if self._reporter:
            self._reporter.note(text)

    def update(self, status: Status) -> None:
        """Show the status.

        Raises:
            UserCodeError: ``on_status`` raised.
        """
        if self._reporter:
            self._reporter.update(status)
        if self._on_status:
            with user_code("on_status", f"step {status.step:,}"):
                self.stopped |= self._on_status(status) is True

    def should_stop(self) -> bool:
        """Return whether the training shall stop."""
        return self.stopped or self._asked()
