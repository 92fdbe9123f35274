"""Files of logs: NumPy's .npz, and Parquet where pyarrow is installed."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from morl.analysis.offline.logs import COLUMNS, Array, EpisodeLog, check, from_columns
from morl.analysis.offline.settings import check_log_path
from morl.errors import MissingExtraError, UserError

METADATA = "metadata"
NARROWEST = {"episode": np.int32, "step": np.int32, "terminated": bool, "truncated": bool, "probability": np.float64}


def check_format(path: Path) -> None:
    """Check that a log of this name can be written or read here.

    Raises:
        UserError: an unknown suffix, or Parquet without pyarrow.
    """
    check_log_path(path)
    if _is_parquet(path):
        _pyarrow()


def write_log(path: str | Path, log: EpisodeLog) -> None:
    """Write a log completely or not at all, as .npz (no pickles) or .parquet.

    Raises:
        UserError: a suffix that is not known, a log that cannot be read back, or a file that cannot be written.
    """
    path = Path(path)
    check_format(path)
    check(log, str(path))
    columns = {name: getattr(log, name) for name in COLUMNS}
    columns |= {name: columns[name].astype(dtype) for name, dtype in NARROWEST.items()}
    write = _write_parquet if _is_parquet(path) else _write_npz
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary, columns, json.dumps(log.metadata()))
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_log(path: str | Path) -> EpisodeLog:
    """Read a log and check it.

    Raises:
        UserError: no such file, one of another kind, or what :func:`morl.analysis.offline.logs.from_columns` says.
    """
    path = Path(path)
    check_format(path)
    read: Callable[[Path], tuple[dict[str, Array], Any]] = _read_parquet if _is_parquet(path) else _read_npz
    try:
        columns, text = read(path)
        metadata = json.loads(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no log: {' '.join(str(error).split())[:200]}") from error
    return from_columns(columns, metadata, str(path))


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _write_npz(path: Path, columns: dict[str, Array], metadata: str) -> None:
    arrays: dict[str, Any] = {**columns, METADATA: np.array(metadata)}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _read_npz(path: Path) -> tuple[dict[str, Array], Any]:
    with np.load(path, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is no log: it holds one array")
        columns = {name: file[name] for name in file.files if name != METADATA}
        return columns, str(file[METADATA]) if METADATA in file.files else "null"


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("a log in Parquet", "parquet") from None
    return pyarrow


def _write_parquet(path: Path, columns: dict[str, Array], metadata: str) -> None:
    """Write columns of numbers, of arrays as lists of fixed sizes; shapes go into the metadata."""
    arrow = _pyarrow()
    shapes = {name: column.shape[1:] for name, column in columns.items()}

    def converted(column: Array) -> Any:
        flat = arrow.array(column.reshape(-1))
        return flat if column.ndim == 1 else arrow.FixedSizeListArray.from_arrays(flat, column[0].size)

    table = arrow.table({name: converted(column) for name, column in columns.items()})
    table = table.replace_schema_metadata({"morl": metadata, "shapes": json.dumps(shapes)})
    arrow.parquet.write_table(table, path)


def _read_parquet(path: Path) -> tuple[dict[str, Array], Any]:
    arrow = _pyarrow()
    try:
        table = arrow.parquet.read_table(path)
    except arrow.ArrowInvalid as error:
        raise UserError(f"{path} is no log: {' '.join(str(error).split())[:200]}") from error
    about = table.schema.metadata or {}
    shapes = json.loads(about.get(b"shapes", b"{}"))

    def converted(name: str) -> Array:
        column = table[name].combine_chunks()
        if not arrow.types.is_list(column.type) and not arrow.types.is_fixed_size_list(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False))
        flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
        if len(column) == 0 or flat.size % len(column):
            raise UserError(f"{path}: the rows of column {name} are not of one length")
        return flat.reshape(len(column), *shapes.get(name, (flat.size // len(column),)))

    return {name: converted(name) for name in table.column_names}, about.get(b"morl", b"null")
