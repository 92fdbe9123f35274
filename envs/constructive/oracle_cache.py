"""Objectives of objects on disk, so that runs need not compute again what an earlier one did.

The file is an SQLite database, which several processes may use at once. It holds text only: for each oracle and object,
their numbers in JSON, which read back exactly.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from morl.errors import UserError

Object = TypeVar("Object", bound=Hashable)
Numbers = tuple[float, ...]

MAGIC = b"SQLite format 3\x00"  # first bytes of every such file
WAIT = 60.0  # seconds that a process waits while another one writes
AT_ONCE = 500  # objects of one query; SQLite allows 999 at least
TABLE = "CREATE TABLE IF NOT EXISTS objectives (oracle TEXT, object TEXT, numbers TEXT, PRIMARY KEY (oracle, object))"


class OracleCache:
    """File of objectives by oracle and object, made when first written to; calls must not overlap.

    Args:
        path: the file.
        oracle: name of what computes the objectives, with the versions that they depend on.
    """

    def __init__(self, path: str, oracle: str) -> None:
        self.path, self._oracle = path, oracle
        self._connection: sqlite3.Connection | None = None

    def read(self, objects: Sequence[Object]) -> dict[Object, Numbers]:
        """Return the objectives of those objects that the file has; objects are told apart by their ``repr``.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        named = {repr(x): x for x in objects}
        found: dict[Object, Numbers] = {}
        names = list(named)
        for begin in range(0, len(names), AT_ONCE):
            some = names[begin : begin + AT_ONCE]
            query = "SELECT object, numbers FROM objectives WHERE oracle = ? AND object IN "
            rows = self._open().execute(f"{query}({','.join('?' * len(some))})", (self._oracle, *some))
            found.update((named[name], tuple(json.loads(numbers))) for name, numbers in rows)
        return found

    def write(self, found: Mapping[Object, Numbers]) -> None:
        """Add objectives, all of them or none; those that another process has added stay.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        rows = [(self._oracle, repr(x), json.dumps(numbers)) for x, numbers in found.items()]
        connection = self._open()
        with connection:
            connection.executemany("INSERT OR IGNORE INTO objectives VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # compiled code calls from threads of its own, one at a time
            connection = sqlite3.connect(Path(self.path).expanduser(), timeout=WAIT, check_same_thread=False)
            try:
                with connection:
                    connection.execute(TABLE)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def check_cache_path(path: str | None) -> None:
    """Refuse a file that cannot be a cache, before anything runs.

    Raises:
        UserError: no path, a folder that does not exist, or a file of something else.
    """
    if path is None:
        return
    if not isinstance(path, str) or not path:
        raise UserError(f"oracle_cache must be the path of a file, not {path!r}")
    file = Path(path).expanduser()
    if file.is_dir() or not file.parent.is_dir():
        what = "it is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise UserError(f"cannot keep oracle_cache in {path}: {what}")
    with contextlib.suppress(FileNotFoundError):
        try:
            with file.open("rb") as opened:
                start = opened.read(len(MAGIC))
        except PermissionError:
            raise UserError(f"cannot keep oracle_cache in {path}: it cannot be read") from None
        if start not in (b"", MAGIC):
            raise UserError(f"cannot keep oracle_cache in {path}: it is no cache of an oracle, but another file")
