"""Contract of loggers, and the logger that calls a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, float | int]


@dataclass(frozen=True)
class Opening:
    """Run that a logger is opened for.

    Attributes:
        path: run directory.
        settings: resolved ones of the run, by name.
        step: environment step from which earlier rows are written again; None in a new run.
        identity: what the logger has returned as its identity before; None in a new run.
    """

    path: Path
    settings: Mapping[str, Any]
    step: int | None = None
    identity: str | None = None


class Logger(Protocol):
    """Logger of one training.

    Attributes:
        identity: name by which the tracking tool knows this run, to go on with when it is resumed; None without one.
    """

    identity: str | None

    def write(self, row: Row) -> None:
        """Write a row of ``metrics.csv``: ``step``, ``seed`` and named numbers, which may be NaN."""
        ...

    def image(self, name: str, image: Any, step: int) -> None:
        """Write a picture (H, W, 3) uint8."""
        ...

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the final results, beside the settings."""
        ...

    def close(self) -> None:
        """Close it, with all that is written on its way."""
        ...


class Function:
    """Logger that calls a function with each row of ``metrics.csv``, a dictionary of ``step``, ``seed`` and metrics."""

    identity: str | None = None

    def __init__(self, function: Callable[[Row], object]) -> None:
        self._function = function

    def write(self, row: Row) -> None:
        self._function(dict(row))

    def image(self, name: str, image: Any, step: int) -> None:
        """Leave pictures out."""

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Leave the results out; ``morl.train`` returns them."""

    def close(self) -> None:
        """Do nothing."""


def scalars(row: Row) -> dict[str, float]:
    """Return the finite numbers of a row but step and seed, named ``seed_s/name``, for tools that show no others."""
    return {
        f"seed_{row['seed']}/{name}": float(value)
        for name, value in row.items()
        if name not in ("step", "seed") and math.isfinite(value)
    }
