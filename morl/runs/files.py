"""Files that are written completely or not at all, and files that grow by complete records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


class GrowingFile:
    """File that grows by complete records, each written at once, so that a killed run keeps them.

    Args:
        path: path of the file.
        keep: size in bytes to truncate the file to.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self._file = path.open(
            "a+b", buffering=0
        )  # with a buffer, a full disk would leave half a record to write later
        self._file.truncate(keep)
        self._end = keep

    def write(self, data: bytes) -> None:
        """Append a record completely or not at all."""
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
        """Sync the file and return its size in bytes."""
        os.fsync(self._file.fileno())
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_text(path: Path, text: str, check: Callable[[Path], None] | None = None) -> None:
    """Write a file in UTF-8 completely or not at all; it has its name once it has been read back.

    Args:
        path: path of the file.
        text: its content.
        check: reads the written file as its readers do, by the path that it is given, and raises OSError where that
            gives something else than was to be written.

    Raises:
        OSError: it cannot be written, or what is read back is not what was written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    data = text.encode()
    try:
        temporary.write_bytes(data)
        if temporary.read_bytes() != data:
            raise OSError(f"{path.name} read back is not what was written")
        if check:
            check(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
