"""Weights & Biases. Its own environment variables say where runs go: WANDB_MODE=offline keeps them here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from morl.runs.loggers.base import Opening, Row, scalars


class WandbLogger:
    """Logger of a run of the project ``morl`` (or WANDB_PROJECT); offline runs are kept in the run directory."""

    def __init__(self, opening: Opening) -> None:
        import wandb

        self._image = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "morl",
            name=opening.path.name,
            dir=opening.path,
            config=dict(opening.settings),
            id=opening.identity,
            resume="allow",
            settings=wandb.Settings(console="off", silent=True),
        )
        self.identity: str | None = self._run.id
        # rows that are written again after a resumption have a step that wandb's own counter has passed
        self._run.define_metric("*", step_metric="step")

    def write(self, row: Row) -> None:
        """Log the finite numbers of a row at its step."""
        self._run.log({**scalars(row), "step": int(row["step"])})

    def image(self, name: str, image: Any, step: int) -> None:
        """Log a picture."""
        self._run.log({name: self._image(image), "step": step})

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the results into the run's summary."""
        self._run.summary.update(dict(results))

    def close(self) -> None:
        """Finish the run; waits until it is sent, or written where it is offline."""
        self._run.finish()
