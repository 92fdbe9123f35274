"""Files that are written whole or not at all, and files that grow by whole pieces."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class GrowingFile:
    """File that grows by whole pieces, each written at once, so that a killed run keeps them.

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
        """Return the bytes so far; they survive a loss of power."""
        os.fsync(self._file.fileno())
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
