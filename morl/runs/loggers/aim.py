"""Aim, a tracker with a local repository, by default ``.aim`` of the working directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from morl.runs.loggers.base import Opening, Row, scalars


class AimLogger:
    """Logger of a run of the experiment ``morl``."""

    def __init__(self, opening: Opening) -> None:
        import aim

        self._image = aim.Image
        self._run = aim.Run(
            run_hash=opening.identity, experiment="morl", capture_terminal_logs=False, system_tracking_interval=None
        )
        self._run.name = opening.path.name
        self._run["settings"] = dict(opening.settings)
        self.identity: str | None = self._run.hash

    def write(self, row: Row) -> None:
        """Track the finite numbers of a row at its step."""
        for name, value in scalars(row).items():
            self._run.track(value, name=name, step=int(row["step"]))

    def image(self, name: str, image: Any, step: int) -> None:
        """Track a picture."""
        self._run.track(self._image(image), name=name, step=step)

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the results beside the settings."""
        self._run["results"] = dict(results)

    def close(self) -> None:
        """Close the run."""
        self._run.close()
