"""Graphs of dependent tasks, checked and put into topological order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError

Dependence = tuple[int, int, float]

# Preprocessing, three branches of different depth, and two stages that join them.
SIZES = (4.0, 6.0, 3.0, 8.0, 5.0, 5.0, 2.0, 10.0, 4.0, 6.0, 3.0, 2.0)
DEPENDENCES: tuple[Dependence, ...] = (
    *((0, 2, 4.0), (0, 3, 8.0), (1, 4, 6.0), (1, 5, 6.0), (2, 6, 2.0), (3, 7, 10.0)),
    *((4, 7, 4.0), (4, 8, 4.0), (5, 8, 5.0), (6, 9, 3.0), (7, 10, 8.0), (8, 10, 3.0), (9, 11, 2.0), (10, 11, 1.0)),
)


class Graph(NamedTuple):
    """V tasks in topological order.

    Attributes:
        task: (V,) int32 number of each task as it was given.
        size: (V,) float32 Mbit.
        data: (V, V) float32 Mbit that the row's task passes on to the column's, minus infinity where it is none.
        below: (V,) float32 Mbit of the heaviest path from a task to an end, itself included.
    """

    task: NDArray[np.int32]
    size: NDArray[np.float32]
    data: NDArray[np.float32]
    below: NDArray[np.float32]


def make_graph(sizes: Any, dependences: Any) -> Graph:
    """Return the graph of tasks, the lowest number first among those that may come next.

    Args:
        sizes: Mbit of each task.
        dependences: task, the task that needs its result, and the Mbit of the result.

    Raises:
        UserError: impossible sizes or dependences; the message names the field and the row, from 0.
    """
    if not isinstance(sizes, tuple) or not sizes:
        raise UserError(f"sizes must be one or more numbers, not {sizes!r}")
    for row, size in enumerate(sizes):
        if not _is_number(size) or size <= 0:
            raise UserError(f"sizes: row {row} must be a number greater than 0, not {size!r}")
    if not isinstance(dependences, tuple):
        raise UserError(f"dependences must be rows of task, successor and Mbit, not {dependences!r}")
    data = np.full((len(sizes), len(sizes)), -np.inf, np.float32)
    for row, dependence in enumerate(dependences):
        _check_dependence(dependence, row, len(sizes))
        task, successor, mbit = dependence
        if data[task, successor] >= 0:
            raise UserError(f"dependences: row {row} repeats that of task {successor} on task {task}")
        data[task, successor] = mbit
    order = _topological_order(data >= 0, dependences)
    data = data[np.ix_(order, order)]
    size = np.asarray(sizes, np.float32)[order]
    below = size.copy()
    for i in reversed(range(len(size))):
        below[i] += max(below[data[i] >= 0], default=np.float32(0.0))
    return Graph(np.asarray(order, np.int32), size, data, below)


def _check_dependence(dependence: Any, row: int, number: int) -> None:
    if not isinstance(dependence, tuple) or len(dependence) != 3:
        raise UserError(f"dependences: row {row} must be task, successor and Mbit, not {dependence!r}")
    for name, task in zip(("task", "successor"), dependence, strict=False):
        if isinstance(task, bool) or not isinstance(task, int) or not 0 <= task < number:
            raise UserError(f"dependences: row {row}: {name} must be one of 0 to {number - 1}, not {task!r}")
    if not _is_number(dependence[2]) or dependence[2] < 0:
        raise UserError(f"dependences: row {row}: Mbit must be a number of at least 0, not {dependence[2]!r}")


def _topological_order(follows: NDArray[np.bool_], dependences: Any) -> list[int]:
    """Return the tasks in order (Kahn, 1962), or raise a UserError that names the rows of a cycle."""
    needed = follows.sum(axis=0)
    order: list[int] = []
    while ready := [task for task in range(len(follows)) if needed[task] == 0 and task not in order]:
        order.append(ready[0])
        needed = needed - follows[ready[0]]
    if len(order) == len(follows):
        return order
    path = [next(task for task in range(len(follows)) if task not in order)]
    while path[-1] not in path[:-1]:  # each task that is left needs another that is left
        path.append(next(i for i in range(len(follows)) if follows[i, path[-1]] and i not in order))
    cycle = path[path.index(path[-1]) :][::-1]
    pairs = set(pairwise(cycle))
    rows = [row for row, (task, successor, _) in enumerate(dependences) if (task, successor) in pairs]
    tasks = " -> ".join(map(str, cycle))
    raise UserError(f"dependences: rows {', '.join(map(str, rows))} are a cycle: {tasks}")


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and bool(np.isfinite(value))
