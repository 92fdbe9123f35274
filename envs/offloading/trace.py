"""Tasks that arrive as in a trace: a CSV file of times and sizes."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.envs.mec.params import Interval
from morl.envs.offloading import MEC_TRACE
from morl.envs.offloading.scenario import Scenario
from morl.envs.offloading.system import Load, Params, check_bounds
from morl.errors import UserError, unknown_name
from morl.validation import check_range

FIELDS = ("time", "size")


class Trace(NamedTuple):
    """N tasks of a trace.

    Attributes:
        time: (N,) float64 seconds, not descending.
        size: (N,) float64 Mbit.
    """

    time: NDArray[np.float64]
    size: NDArray[np.float64]


@dataclass(frozen=True)
class MecTrace(Scenario):
    """Cloud and edge servers, with the times and sizes of tasks from a CSV file.

    - Objectives: delay, minus the seconds that tasks spend in the system; energy, minus the J of uploads and of
      execution.
    - Observation: (S, 10) float32, a row for each server, all 0 for one that does not exist. Columns: 1 if it may be
      chosen; size of the task, Mbit; seconds of its upload; Mbit/s of the server; tasks that it executes; uploads to
      it; Mbit left on it; Mbit of its tasks counted up to the size of the task; J of the task there; share of the
      episode's tasks to come.
    - Action: the number of a server, 0 for the cloud. An action that is not allowed means the first that is.
    - Arrivals: ``tasks`` consecutive rows of the trace, from a uniformly random one on.
    - Termination: when the episode's tasks are all done, after its last step.

    >>> env = MecTrace()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape
    (5, 10)
    """

    trace: str | None = None
    """CSV file with the columns time (s, ascending) and size (Mbit); by default the synthetic one of the package."""
    arrival_rate: float | None = None  # type: ignore[assignment]
    """Tasks a second that the times are scaled to, over the whole trace; as in the file by default."""
    mean_size: float | None = None  # type: ignore[assignment]
    """Mbit that the mean of the sizes is scaled to; as in the file by default."""
    size_range: Interval = (0.001, 1000.0)
    """Mbit that sizes are clipped to, after scaling."""

    id = MEC_TRACE.id
    objectives = MEC_TRACE.objectives
    reference_point = np.array(MEC_TRACE.reference_point)

    def check_workload(self) -> None:
        """Raise a UserError that names what is wrong with the settings, or with a row of the trace."""
        for name in ("arrival_rate", "mean_size"):
            if getattr(self, name) is not None:
                check_range(self, name, low=0, open_low=True)
        check_bounds("size_range", self.size_range)
        number = len(self.rows_of_trace.time)
        if isinstance(self.tasks, int) and self.tasks > number:
            raise UserError(f"tasks must be at most {number}, the rows of the trace, not {self.tasks}")

    @cached_property
    def rows_of_trace(self) -> Trace:
        """Return the trace as it is in the file."""
        if self.trace is None:
            return read_trace(resources.files("morl.envs.offloading").joinpath("trace.csv"), "the synthetic trace")
        return read_trace(Path(self.trace), str(self.trace))

    def load(self) -> Load:
        """Return the rate and the mean size of the trace after scaling, and the range of sizes."""
        time, size = self.rows_of_trace
        seconds = float(time[-1] - time[0])
        rate = self.arrival_rate or ((len(time) - 1) / seconds if seconds > 0 else 1.0)
        size_range = jnp.asarray(self.size_range, jnp.float32)
        return Load(jnp.float32(rate), jnp.float32(self.mean_size or size.mean()), size_range)

    @property
    def default_params(self) -> Params:
        params = super().default_params
        time, size = self.rows_of_trace
        seconds = float(time[-1] - time[0])
        if self.arrival_rate is not None and seconds > 0:
            time = time * ((len(time) - 1) / seconds / self.arrival_rate)
        if self.mean_size is not None:
            size = size * (self.mean_size / size.mean())
        gap = np.concatenate([np.diff(time), [0.0]])
        return params._replace(own=jnp.asarray(np.stack([gap, size], axis=1), jnp.float32))

    def _arrivals(self, key: jax.Array, params: Params) -> tuple[jax.Array, jax.Array]:
        start = jax.random.randint(key, (), 0, len(params.own) - self.tasks + 1, dtype=jnp.int32)
        rows = jax.lax.dynamic_slice_in_dim(params.own, start, self.tasks)
        return rows[:-1, 0], jnp.clip(rows[:, 1], params.load.size_range[0], params.load.size_range[1])


def read_trace(file: Any, name: str) -> Trace:
    """Return the trace in a CSV file.

    Args:
        file: path, or a file of the package.
        name: what messages call it.

    Raises:
        UserError: it cannot be read, or a column or a row is wrong; the message names both.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"trace {name} cannot be read: {reason}") from None
    header = [field.strip() for field in rows[0]] if rows else []
    for field in header:
        if field not in FIELDS:
            raise unknown_name(f"column of trace {name}", field, FIELDS)
    if sorted(header) != sorted(FIELDS):
        raise UserError(f"trace {name} must begin with a line that names the columns time and size once each")
    found: list[list[float]] = []
    for number, row in enumerate(rows[1:], start=1):
        if row:
            found.append(_numbers(row, header, f"trace {name}, row {number}", found[-1] if found else None))
    if not found:
        raise UserError(f"trace {name} has no rows")
    table = np.asarray(found)
    return Trace(table[:, 0], table[:, 1])


def _numbers(row: list[str], header: list[str], where: str, before: list[float] | None) -> list[float]:
    """Return time and size of a row, checked; ``before`` is the row above."""
    if len(row) != len(header):
        raise UserError(f"{where} has {len(row)} fields, not {len(header)}")
    values = {}
    for field, text in zip(header, row, strict=True):
        try:
            values[field] = float(text)
        except ValueError:
            values[field] = math.nan
        if not math.isfinite(values[field]):
            raise UserError(f"{where}: {field} must be a finite number, not {text!r}")
    if values["time"] < 0:
        raise UserError(f"{where}: time must be at least 0, not {values['time']:g}")
    if before is not None and values["time"] < before[0]:
        raise UserError(f"{where}: time {values['time']:g} is before {before[0]:g}, that of the row above")
    if values["size"] <= 0:
        raise UserError(f"{where}: size must be greater than 0, not {values['size']:g}")
    return [values["time"], values["size"]]
