"""Record of a training: log.txt and metrics.csv, and the loggers that were asked for."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from morl.errors import UserError, whole_traceback
from morl.registry import DEFAULT_LOGGERS
from morl.runs.csv import CsvWriter
from morl.runs.loggers.base import Opening, Row
from morl.runs.loggers.others import Others
from morl.runs.loggers.tensorboard import TensorBoardWriter


class Recorder:
    """The open log, metrics and loggers of a run directory; one process at a time has them.

    Args:
        path: run directory.
        loggers: names of those asked for, see :mod:`morl.registry`.
        functions: called with each row of metrics.csv.

    Raises:
        UserError: another process has them.
    """

    def __init__(
        self,
        path: Path,
        loggers: Sequence[str] = DEFAULT_LOGGERS,
        functions: Sequence[Callable[[Row], object]] = (),
    ) -> None:
        self._path, self._loggers, self._functions = path, loggers, functions
        self._csv: CsvWriter
        self._tensorboard: TensorBoardWriter | None = None
        self._others: Others
        self._log = (path / "log.txt").open("a", encoding="utf-8", errors="backslashreplace")
        self._open: list[Any] = [self._log]
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._log.close()
            raise UserError(f"{path} is being written by another process; wait for it, or stop it first") from None

    def begin(
        self, rows: int, step: int | None, settings: Mapping[str, Any], tell: Callable[[str], None] = lambda text: None
    ) -> None:
        """Open metrics.csv and the loggers.

        Args:
            rows: size in bytes to truncate metrics.csv to.
            step: environment step from which earlier events are dropped; None in a new run.
            settings: of the run, by name.
            tell: is given a line where a logger fails; its traceback goes to log.txt.

        Raises:
            UserError: metrics.csv has lost rows.
        """
        self._csv = CsvWriter(self._path / "metrics.csv", rows)
        self._open.append(self._csv)
        if "tensorboard" in self._loggers:
            self._tensorboard = TensorBoardWriter(self._path, step)
            self._open.append(self._tensorboard)

        def failed(text: str, error: BaseException) -> None:
            tell(text)
            self.say(text)
            self.say(whole_traceback(error))

        names = [name for name in self._loggers if name not in DEFAULT_LOGGERS]
        self._others = Others(names, self._functions, Opening(self._path, settings, step), failed)
        self._open.append(self._others)

    def say(self, text: str) -> None:
        """Write a line to log.txt; a line that cannot be written does not stop the training."""
        with contextlib.suppress(OSError):
            self._log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            self._log.flush()

    def config(self, text: str) -> None:
        """Write the configuration to TensorBoard."""
        if self._tensorboard:
            self._tensorboard.text("config", f"```yaml\n{text}```")

    def write(self, row: Row) -> None:
        """Write a row of metrics to the log, metrics.csv and the loggers.

        Raises:
            FileNotFoundError: the run directory is gone, which open files would not notice.
        """
        (self._path / "metrics.csv").stat()
        self._csv.write(row)
        if self._tensorboard:
            self._tensorboard.write(row)
        self._others.write(row)
        self.say(" ".join(f"{name}={value:.6g}" for name, value in row.items()))

    def rows(self) -> int:
        """Sync metrics.csv and return its size in bytes."""
        return self._csv.position()

    def image(self, name: str, image: Any, step: int) -> None:
        """Write a picture (H, W, 3) uint8 to the loggers."""
        if self._tensorboard:
            self._tensorboard.image(name, image, step)
        self._others.image(name, image, step)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the settings and results of a run to the loggers."""
        if self._tensorboard:
            self._tensorboard.hparams(settings, results, step)
        self._others.results(settings, results, step)

    def close(self) -> None:
        """Close the files, and ignore errors in writing what is left."""
        for file in reversed(self._open):
            with contextlib.suppress(OSError):
                file.close()
