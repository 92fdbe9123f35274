"""The cores and the GPU memory of one trial, settled before JAX is imported there. Imports neither Ray nor JAX."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []  # locks of the cores of this process, for as long as it lives


def take_cores(wanted: float) -> list[int]:
    """Bind this thread, and those it will start, to cores that no other trial on this machine is bound to.

    XLA starts as many threads as its process has cores, so that trials side by side would fight for all of them. Which
    cores are taken is known by locks on files, which a process that dies lets go of. Where there are too few left, or
    none can be told apart here, it is cores that others have too, but no more than wanted.

    Returns:
        the cores; none where the platform binds no processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    number = min(len(allowed), max(1, math.ceil(wanted)))
    if wanted < 1:  # shared by several trials anyway; the system spreads them
        number = len(allowed)
    taken: list[int] = []
    if number < len(allowed):
        folder = Path(tempfile.gettempdir()) / f"morl-cores-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in allowed:
            lock = (folder / str(core)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _held.append(lock)
            taken.append(core)
            if len(taken) == number:
                break
    taken += [core for core in allowed if core not in taken][: number - len(taken)]
    os.sched_setaffinity(0, taken)
    return taken


def environment(cpus: float, gpus: float) -> dict[str, str]:
    """Environment variables of a trial, which XLA and its like read when they are imported."""
    threads = str(max(1, math.floor(cpus)))
    values = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if gpus == 0:
        return {**values, "JAX_PLATFORMS": "cpu"}
    if gpus < 1:  # 75 % of a whole GPU is what XLA takes by default; leave room for what it needs beside that
        values["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpus:.3f}"
    return values
