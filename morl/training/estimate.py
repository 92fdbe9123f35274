"""Estimate of how long a training takes, told once it is known."""

from __future__ import annotations

from dataclasses import dataclass

from morl.words import duration_text, rate_text

MEASURED_SECONDS = 3.0  # of updates after the first ones, which are compiled
SHORT = 10.0  # seconds; nobody asks about less


@dataclass
class Estimate:
    """Measure of the first chunks of updates.

    Attributes:
        chunks: number measured.
        seconds: that they took, without the first.
        told: whether the line was returned, or is not needed.
    """

    chunks: int = 0
    seconds: float = 0.0
    told: bool = False

    def after(self, steps: int, seconds: float, left: int, seeds: int = 1) -> str | None:
        """Return a line about the time to go, after one of the first chunks; None before it is known and later.

        Args:
            steps: of one seed in this chunk.
            seconds: that it took.
            left: steps of one seed that are left.
            seeds: trained side by side.
        """
        if self.told or steps < 1:
            return None
        self.chunks += 1
        if self.chunks == 1:  # compiled first
            return None
        self.seconds += seconds
        if self.seconds < MEASURED_SECONDS:
            return None
        self.told = True
        to_go = left * seconds / steps
        if to_go < SHORT:
            return None
        rate = rate_text(steps * seeds / seconds)
        return f"about {duration_text(to_go)} of training to go at {rate}, evaluations not counted"
