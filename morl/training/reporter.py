"""Progress of a training, for whoever shows it to a person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
