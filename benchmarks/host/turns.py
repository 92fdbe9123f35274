"""Turns of contenders on a machine that others use too: wall and CPU time, and the cores that others took meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # a second, of the counters in /proc
LEAST = 0.15  # cores that others may take in a turn that counts


@dataclass
class Turn:
    """Times of one turn.

    Attributes:
        seconds: wall time.
        cpu: seconds of CPU of the contender's processes.
        others: cores that the rest of the machine took on average, the hypervisor's other guests included.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    others: float = 0.0


@contextmanager
def turn(pids: Iterable[int] = ()) -> Iterator[Turn]:
    """Time the block; CPU time is that of processes ``pids``, and of children that end in the block."""
    pids, found = list(pids), Turn()
    begun, busy, cpu = time.perf_counter(), _busy(), _cpu(pids)
    yield found
    found.seconds, found.cpu = time.perf_counter() - begun, _cpu(pids) - cpu
    found.others = max(0.0, (_busy() - busy - found.cpu) / found.seconds)


def _busy() -> float:
    """Return the seconds that all cores together have been busy, or taken by other guests."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def _cpu(pids: list[int]) -> float:
    """Return the CPU seconds of processes, and of ended children of this one."""
    ended = os.times()
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ended.children_user + ended.children_system + ticks / TICKS
