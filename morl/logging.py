"""Writers of training metrics: one row of named scalars an evaluation, to CSV and TensorBoard."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class CsvWriter:
    """``metrics.csv``; the first row fixes the columns. Flushed at every row, so that a killed run keeps them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="")
        self._writer: csv.DictWriter[str] | None = None

    def write(self, row: dict[str, float | int]) -> None:
        """Append a row."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardWriter:
    """TensorBoard events; scalars of seed s under ``seed_s/``, at the environment step."""

    def __init__(self, directory: Path) -> None:
        from tensorboardX import SummaryWriter  # imports torch where that is installed: not before it is needed

        self._writer: Any = SummaryWriter(str(directory))

    def write(self, row: dict[str, float | int]) -> None:
        """Write every scalar of a row but its step and seed."""
        for name, value in row.items():
            if name not in ("step", "seed"):
                self._writer.add_scalar(f"seed_{row['seed']}/{name}", value, row["step"])
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """Write a text, the configuration for example."""
        self._writer.add_text(name, text)

    def image(self, name: str, image: Any, step: int) -> None:
        """Write an (H, W, 3) uint8 image."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write what a run was set to and what came of it, for the table of runs under HPARAMS."""
        from tensorboardX.summary import hparams

        plain = {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in settings.items()}
        for summary in hparams(plain, dict(results)):
            self._writer.file_writer.add_summary(summary)
        for name, value in results.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the events file."""
        self._writer.close()
