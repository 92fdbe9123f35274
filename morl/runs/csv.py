"""CSV tables: texts of complete files, and ``metrics.csv``, which grows by rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from morl.errors import UserError
from morl.runs.files import GrowingFile


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return CSV of a header and rows; floats read back exactly."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


class CsvWriter:
    """Writer of ``metrics.csv``: one row of named scalars per evaluation; the first row fixes the columns.

    What a later row lacks is NaN.

    A run may be resumed by a version that has more metrics, or fewer, than the one that began it: the file keeps its
    columns, without the new metrics and with NaN where there is no number any more.

    Args:
        path: path of the file.
        keep: size in bytes to truncate the file to, a whole number of rows.

    Raises:
        UserError: the file has fewer.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._columns: list[str] | None = None
        self._continued = bool(keep)
        if keep:
            if (size := path.stat().st_size if path.exists() else 0) < keep:
                raise UserError(f"{path} has {size} bytes, and had {keep} at the checkpoint: rows were lost")
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file))
        self._file = GrowingFile(path, keep)

    def write(self, row: dict[str, float | int]) -> None:
        """Append a row completely or not at all."""
        buffer = io.StringIO()
        if self._continued and self._columns is not None:
            row = {name: row.get(name, math.nan) for name in self._columns}
        writer = csv.DictWriter(buffer, self._columns or list(row), restval=math.nan, lineterminator="\n")
        if self._columns is None:
            writer.writeheader()
        writer.writerow(row)
        self._file.write(buffer.getvalue().encode())
        self._columns = list(writer.fieldnames)

    def position(self) -> int:
        """Sync the file and return its size in bytes."""
        return self._file.position()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
