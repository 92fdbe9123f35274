"""Writers of training metrics: one row of named scalars an evaluation, to CSV and TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morl.errors import UserError


class CsvWriter:
    """``metrics.csv``; the first row fixes the columns. Flushed at every row, so that a killed run keeps them.

    Args:
        path: of the file.
        keep: bytes to go on after, a whole number of rows.

    Raises:
        UserError: the file has fewer.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._columns: list[str] | None = None
        self._file = path.open("a+b", buffering=0)  # with a buffer, a full disk would leave half a row to write later
        self._end = keep
        if (size := path.stat().st_size) < keep:
            self._file.close()
            raise UserError(f"{path} has {size} bytes, and had {keep} at the checkpoint: rows were lost")
        self._file.truncate(keep)
        if keep:
            self._file.seek(0)
            self._columns = next(csv.reader([self._file.readline().decode()]))

    def write(self, row: dict[str, float | int]) -> None:
        """Append a row, whole or not at all."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns or list(row), lineterminator="\n")
        if self._columns is None:
            writer.writeheader()
        writer.writerow(row)
        data = buffer.getvalue().encode()
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._columns = list(writer.fieldnames)
        self._end += len(data)

    def position(self) -> int:
        """Bytes so far; they survive a loss of power."""
        os.fsync(self._file.fileno())
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardWriter:
    """TensorBoard events; scalars of seed s under ``seed_s/``, at the environment step.

    They are written here and now, not by the package's thread: that one ends at a full disk, and whoever gives it more
    to write then waits for ever.

    Args:
        directory: of the run; every writer adds a file.
        purge: TensorBoard forgets what earlier files have of this step and later; None in a new run.
    """

    def __init__(self, directory: Path, purge: int | None = None) -> None:
        # tensorboardX imports torch where that is installed: not before it is needed
        from tensorboardX import summary
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self._summary, self._events = summary, event_pb2
        number = len(list(directory.glob("events.out.tfevents.*")))
        self._writer: Any = EventsWriter(str(directory / "events"), f".{number:03}" if number else "")
        if purge is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.write_event(event_pb2.Event(step=purge, wall_time=time.time(), session_log=start))
        self._writer.flush()

    def write(self, row: dict[str, float | int]) -> None:
        """Write every scalar of a row but its step and seed, and but what is not finite: it has no place for that."""
        for name, value in row.items():
            if name not in ("step", "seed") and math.isfinite(value):
                self._add(self._summary.scalar(f"seed_{row['seed']}/{name}", value), int(row["step"]))
        self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars of no seed."""
        for name, value in values.items():
            self._add(self._summary.scalar(name, value), step)
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """Write a text, the configuration for example."""
        self._add(self._summary.text(name, text), 0)

    def image(self, name: str, image: Any, step: int) -> None:
        """Write an (H, W, 3) uint8 image."""
        self._add(self._summary.image(name, image, dataformats="HWC"), step)

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write what a run was set to and what came of it, for the table of runs under HPARAMS."""
        from tensorboardX.summary import hparams

        plain = {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in settings.items()}
        for summary in hparams(plain, dict(results)):
            self._add(summary, 0)
        for name, value in results.items():
            self._add(self._summary.scalar(name, value), step)

    def close(self) -> None:
        """Close the events file."""
        self._writer.close()

    def _add(self, summary: Any, step: int) -> None:
        self._writer.write_event(self._events.Event(step=step, wall_time=time.time(), summary=summary))
