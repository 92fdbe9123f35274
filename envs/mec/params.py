"""Parameters that can change without compiling the simulator again, and checks of settings."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from morl.envs.mec.arrivals import ArrivalParams
from morl.envs.mec.links import LinkParams
from morl.errors import UserError

Interval = tuple[float, float]


class Context(NamedTuple):
    """Ranges that a system is drawn from: number of edge servers, GHz of the cloud and of each edge server."""

    num_edges: tuple[int, int]
    cloud_frequency: Interval
    edge_frequency: Interval


CONTEXTS = {
    "train": Context((1, 8), (3.5, 4.5), (1.75, 2.25)),
    "test": Context((1, 10), (3.0, 5.0), (1.5, 2.5)),
}


class Params(NamedTuple):
    """Parameters that can change without compiling again; S servers, the cloud first.

    Attributes:
        num_edges: (2,) int32 smallest and largest number of edge servers of an episode.
        frequency: (S, 2) float32 GHz, bounds of each server's uniform distribution.
        cycles_per_bit: () float32 η.
        capacitance: () float32 κ, in J per cycle and Hz².
        step_seconds: () float32 Δt.
        arrivals, links: constants of the tasks and of the radio links.
    """

    num_edges: jax.Array
    frequency: jax.Array
    cycles_per_bit: jax.Array
    capacitance: jax.Array
    step_seconds: jax.Array
    arrivals: ArrivalParams
    links: LinkParams


def check_numbers(name: str, value: Any, count: int | None) -> None:
    """Raise a UserError unless the value is a tuple of ``count`` finite numbers (None: of any number)."""
    good = isinstance(value, tuple) and (count is None or len(value) == count)
    if not good or any(isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x) for x in value):
        raise UserError(f"{name} must be {count or 'some'} finite numbers, not {value!r}")


def check_interval(name: str, value: Any, low: float, open_low: bool = False) -> Any:
    """Return ``(lowest, highest)`` of a number or a pair of numbers.

    Raises:
        UserError: not one or two finite numbers in ascending order, or a number below ``low``.
    """
    if isinstance(value, list):
        value = tuple(value)
    interval = value if isinstance(value, tuple) else (value, value)
    check_numbers(name, interval, 2)
    if interval[0] > interval[1] or interval[0] < low or (open_low and interval[0] == low):
        least = f"greater than {low}" if open_low else f"of at least {low}"
        raise UserError(f"{name} must be a number {least}, or two in ascending order, not {value}")
    return interval
