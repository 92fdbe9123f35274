"""``metrics.csv``, and files that grow by whole pieces."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path

from morl.errors import UserError


class GrowingFile:
    """A file that grows by whole pieces, each written at once, so that a killed run keeps them.

    Args:
        path: of the file.
        keep: bytes to go on after.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._file = path.open("a+b", buffering=0)  # with a buffer, a full disk would leave half a piece to write later
        self._file.truncate(keep)
        self._end = keep

    def write(self, data: bytes) -> None:
        """Append a piece, whole or not at all."""
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(data)

    def position(self) -> int:
        """Bytes so far; they survive a loss of power."""
        os.fsync(self._file.fileno())
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CsvWriter:
    """``metrics.csv``: one row of named scalars an evaluation; the first one fixes the columns.

    Args:
        path: of the file.
        keep: bytes to go on after, a whole number of rows.

    Raises:
        UserError: the file has fewer.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._columns: list[str] | None = None
        if keep:
            if (size := path.stat().st_size if path.exists() else 0) < keep:
                raise UserError(f"{path} has {size} bytes, and had {keep} at the checkpoint: rows were lost")
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file))
        self._file = GrowingFile(path, keep)

    def write(self, row: dict[str, float | int]) -> None:
        """Append a row, whole or not at all."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, self._columns or list(row), lineterminator="\n")
        if self._columns is None:
            writer.writeheader()
        writer.writerow(row)
        self._file.write(buffer.getvalue().encode())
        self._columns = list(writer.fieldnames)

    def position(self) -> int:
        """Bytes so far; they survive a loss of power."""
        return self._file.position()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
