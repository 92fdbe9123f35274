"""Trackio, a tracker with a local database. TRACKIO_DIR says where that is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from morl.runs.loggers.base import Opening, Row, scalars


class TrackioLogger:
    """Logger of a run of the project ``morl``."""

    def __init__(self, opening: Opening) -> None:
        import trackio

        # a name that no earlier run has: with one, Trackio would go on with that
        self.identity: str | None = opening.identity or f"{opening.path.name}-{secrets.token_hex(3)}"
        self._trackio = trackio
        self._run = trackio.init(
            project="morl", name=self.identity, config=dict(opening.settings), resume="allow", embed=False
        )

    def write(self, row: Row) -> None:
        """Log the finite numbers of a row at its step."""
        self._run.log(scalars(row), step=int(row["step"]))

    def image(self, name: str, image: Any, step: int) -> None:
        """Log a picture."""
        self._run.log({name: self._trackio.Image(image)}, step=step)

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Log the results at the last step."""
        self._run.log(dict(results), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
