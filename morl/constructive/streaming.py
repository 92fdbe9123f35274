"""Tables of any number of drawn objects, written block by block: CSV, and Parquet where pyarrow is installed.

No more than a few blocks are in memory, so columns that need all objects at once (novelty, repetitions) are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from morl.constructive.sampling import BLOCK, Source, texts
from morl.errors import MissingExtraError, UserError
from morl.runs.csv import csv_text
from morl.runs.files import GrowingFile

SUFFIXES = (".csv", ".parquet")
GROUP = 16 * BLOCK  # rows of a Parquet row group, or a few more

Columns = dict[str, Any]


class Best(NamedTuple):
    """Object of high reward under the preference it was drawn for.

    Attributes:
        reward: scalarised, without the exponent.
        text: name of the object.
        values: R objectives.
    """

    reward: float
    text: str
    values: tuple[float, ...]


class Streamed(NamedTuple):
    """Result of :func:`stream`.

    Attributes:
        rows: rows written.
        best: for each preference the best objects, no object twice, the best first.
        stopped: whether it was stopped before the last row.
    """

    rows: int
    best: list[list[Best]]
    stopped: bool


class Writer(Protocol):
    """File of rows."""

    def write(self, columns: Columns) -> None: ...
    def close(self) -> None: ...


def check_path(path: Path) -> None:
    """Refuse a file that cannot be streamed to, before anything is drawn.

    Raises:
        UserError: another suffix, a file that exists or cannot be made, or Parquet without pyarrow.
    """
    from morl.viz.video import check_new_file

    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"cannot stream to {path}; allowed: {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        _parquet()
    check_new_file(path)


def stream(
    source: Source,
    number: int,
    path: Path,
    top: int,
    on_rows: Callable[[int], None] = lambda rows: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Streamed:
    """Draw ``number`` objects for each preference and write them to a file as they are drawn.

    The objects are those of :func:`morl.constructive.sampling.sample` with the same arguments. Whatever ends this, the
    file has complete rows; a Parquet file is readable once it is closed, which a killed process cannot do.

    Args:
        source: draws.
        number: objects for each preference.
        path: new .csv or .parquet file.
        top: number of best objects to return for each preference.
        on_rows: called after each block with the rows drawn so far.
        should_stop: asked before each block.

    Raises:
        UserError: the file cannot be written.
    """
    rows, best, stopped = 0, [], False
    try:
        writer: Writer = CsvRows(path) if path.suffix.lower() == ".csv" else ParquetRows(path)
        try:
            for which in range(len(source.weights)):
                found: dict[str, Best] = {}
                for index in range(-(-number // BLOCK)):
                    stopped = stopped or should_stop()
                    if stopped:
                        break
                    columns, values = _columns(source, which, index, min(BLOCK, number - index * BLOCK), rows)
                    writer.write(columns)
                    rows += len(values)
                    found = _better(found, columns, values, top)
                    on_rows(rows)
                best.append(sorted(found.values(), key=lambda one: -one.reward))
        finally:
            writer.close()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return Streamed(rows, best, stopped)


def _columns(source: Source, which: int, index: int, number: int, begin: int) -> tuple[Columns, NDArray[Any]]:
    """Return the columns of a block's first ``number`` objects, whose ids begin with ``begin``, and their objectives
    (number, R)."""
    end, log_probability = source.block(which, index)
    weights, names = source.weights[which], source.setup.objectives
    values = np.asarray(end.values, np.float64)[:number]
    columns: Columns = {"id": np.arange(begin, begin + number, dtype=np.int64)}
    columns["object"] = texts(source.setup.env, end.obs[:number])
    for name, weight in zip(names, weights, strict=True):
        columns[f"preference_{name}"] = np.full(number, weight)
    columns["beta"] = np.full(number, source.beta)
    columns |= {name: values[:, i] for i, name in enumerate(names)}
    columns["reward"] = np.exp(source.sampler.log_reward(values, weights[None], 1.0))
    columns["log_probability"] = np.asarray(log_probability, np.float64)[:number]
    return columns, values


def _better(found: dict[str, Best], columns: Columns, values: NDArray[Any], top: int) -> dict[str, Best]:
    """Return the ``top`` objects of largest reward among those found before and those of a block."""
    for i in np.argsort(-columns["reward"], kind="stable"):
        text, reward = columns["object"][i], float(columns["reward"][i])
        if len(found) >= top and reward <= min(one.reward for one in found.values()):
            break
        found.setdefault(text, Best(reward, text, tuple(values[i].tolist())))
        kept = heapq.nlargest(top, found.values(), key=lambda one: one.reward)
        found = {one.text: one for one in kept}
    return found


class CsvRows:
    """CSV file, a block of which is written at once; floats read back exactly."""

    def __init__(self, path: Path) -> None:
        self._file, self._header = GrowingFile(path), True

    def write(self, columns: Columns) -> None:
        """Append rows."""
        lists = [column if isinstance(column, list) else column.tolist() for column in columns.values()]
        text = csv_text(columns, zip(*lists, strict=True))
        self._file.write((text if self._header else text.split("\n", 1)[1]).encode())
        self._header = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetRows:
    """Parquet file of row groups of about ``GROUP`` rows."""

    def __init__(self, path: Path) -> None:
        self._arrow, self._path = _parquet(), path
        self._writer: Any = None
        self._waiting: list[Any] = []

    def write(self, columns: Columns) -> None:
        """Append rows, once there are enough for a row group."""
        table = self._arrow.table(columns)
        if self._writer is None:
            self._writer = self._arrow.parquet.ParquetWriter(self._path, table.schema)
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last rows and what makes the file readable."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = self._arrow.concat_tables(self._waiting)
            self._writer.write_table(table, row_group_size=len(table))
            self._waiting = []


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("a table in Parquet", "parquet") from None
    return pyarrow
