"""Folder of compiled programs, kept from one command to the next. Imports no JAX: it is chosen before JAX starts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import MutableMapping
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
MOST_BYTES = 512 * 2**20
TIDIED = "tidied"  # file whose time says when old programs were last deleted
SECONDS_BETWEEN = 24 * 3600.0


def default_folder() -> Path:
    """Return the folder of the user's compiled programs for this kind of processor.

    Programs are machine code: a home directory that several machines share has a folder for each kind of them.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "morl" / "compiled" / _processor()


def turn_on(environ: MutableMapping[str, str]) -> None:
    """Have JAX keep compiled programs, in the variables of a process, before it imports JAX.

    A folder that the user has set stays. A folder that cannot be made is done without. JAX has a limit to the folder's
    size too, but with it reads the whole folder at each write; here it is looked at once a day.
    """
    if FOLDER in environ:
        return
    with contextlib.suppress(OSError, RuntimeError):  # a read-only home, or none
        folder = default_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _tidy(folder)
        environ[FOLDER] = str(folder)
        environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def _tidy(folder: Path) -> None:
    """Once a day, delete the programs that were longest unused where all are larger than the limit, to half of it.

    Raises:
        OSError: the folder cannot be written to.
    """
    stamp = folder / TIDIED
    if stamp.exists() and time.time() - stamp.stat().st_mtime < SECONDS_BETWEEN:
        return
    stamp.touch()
    programs = [(entry.path, entry.stat()) for entry in os.scandir(folder) if entry.name != TIDIED]
    size = sum(about.st_size for _, about in programs)
    if size <= MOST_BYTES:
        return
    for path, about in sorted(programs, key=lambda program: max(program[1].st_atime, program[1].st_mtime)):
        if size <= MOST_BYTES // 2:
            return
        with contextlib.suppress(FileNotFoundError):  # another command tidies too
            os.unlink(path)
        size -= about.st_size


def _processor() -> str:
    """Return a name for what programs compiled here need of a processor."""
    features = platform.processor()
    with contextlib.suppress(OSError):  # Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("flags", "Features", "model name", "CPU part")
        features = "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
    digest = hashlib.sha256(features.encode()).hexdigest()[:12]
    return f"{platform.machine() or 'machine'}-{digest}"
