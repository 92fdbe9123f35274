"""Cores and GPU memory of one trial, set before JAX is imported there. Imports neither Ray nor JAX."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []  # locks on the cores of this process, held as long as it lives


def take_cores(wanted: float) -> list[int]:
    """Bind this thread, and those it will start, to cores that no other trial on this machine is bound to.

    XLA starts as many threads as its process has cores, so that trials side by side would compete for all of them.
    Locks on files mark the cores that are taken; a process that dies releases its locks. Where too few cores are free,
    the rest are shared with other trials.

    Args:
        wanted: number of cores; below 1, all cores are shared by several trials.

    Returns:
        numbers of the cores; none where the platform cannot bind processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    number = min(len(allowed), max(1, math.ceil(wanted)))
    if wanted < 1:  # several trials share a core anyway; the system schedules them
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
    """Return the environment variables of a trial, which numerical libraries read when they are imported.

    Args:
        cpus: cores of the trial.
        gpus: GPUs of the trial; a fraction limits the share of GPU memory.
    """
    threads = str(max(1, math.floor(cpus)))
    values = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if gpus == 0:
        return {**values, "JAX_PLATFORMS": "cpu"}
    if gpus < 1:  # XLA needs some memory beside this share (by default it takes 75 % of a GPU)
        values["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpus:.3f}"
    return values
