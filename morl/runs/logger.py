"""Logger of a training: log.txt, metrics.csv and TensorBoard events."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morl.errors import UserError
from morl.runs.csv import CsvWriter
from morl.runs.tensorboard import TensorBoardWriter

Row = dict[str, float | int]


class Recorder:
    """The open log, metrics and events of a run directory; one process at a time has them.

    Raises:
        UserError: another process has them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._csv: CsvWriter
        self._tensorboard: TensorBoardWriter
        self._log = (path / "log.txt").open("a", encoding="utf-8", errors="backslashreplace")
        self._open: list[Any] = [self._log]
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._log.close()
            raise UserError(f"{path} is being written by another process; wait for it, or stop it first") from None

    def begin(self, rows: int, step: int | None) -> None:
        """Open metrics.csv and the TensorBoard events.

        Args:
            rows: size in bytes to truncate metrics.csv to.
            step: environment step from which earlier events are dropped; None in a new run.

        Raises:
            UserError: metrics.csv has lost rows.
        """
        self._csv = CsvWriter(self._path / "metrics.csv", rows)
        self._open.append(self._csv)
        self._tensorboard = TensorBoardWriter(self._path, step)
        self._open.append(self._tensorboard)

    def say(self, text: str) -> None:
        """Write a line to log.txt; a line that cannot be written does not stop the training."""
        with contextlib.suppress(OSError):
            self._log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            self._log.flush()

    def config(self, text: str) -> None:
        """Write the configuration to TensorBoard."""
        self._tensorboard.text("config", f"```yaml\n{text}```")

    def write(self, row: Row) -> None:
        """Write a row of metrics to all three files.

        Raises:
            FileNotFoundError: the run directory is gone, which open files would not notice.
        """
        (self._path / "metrics.csv").stat()
        self._csv.write(row)
        self._tensorboard.write(row)
        self.say(" ".join(f"{name}={value:.6g}" for name, value in row.items()))

    def rows(self) -> int:
        """Sync metrics.csv and return its size in bytes."""
        return self._csv.position()

    def image(self, name: str, image: Any, step: int) -> None:
        """Write a picture (H, W, 3) uint8 to TensorBoard."""
        self._tensorboard.image(name, image, step)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the settings and results of a run to TensorBoard."""
        self._tensorboard.hparams(settings, results, step)

    def close(self) -> None:
        """Close the files, and ignore errors in writing what is left."""
        for file in reversed(self._open):
            with contextlib.suppress(OSError):
                file.close()
