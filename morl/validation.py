"""Checks shared by the settings dataclasses."""

from __future__ import annotations

import math
from typing import Any

from morl.errors import UserError


def check_range(
    config: Any, name: str, *, low: float, high: float = math.inf, open_low: bool = False, open_high: bool = False
) -> None:
    """Raise a :class:`UserError` naming the field and its range unless the value is finite and lies in it."""
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{name} must be a number, not {value!r}")
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below and math.isfinite(value)):
        lower = f"{'greater than' if open_low else 'at least'} {low}"
        upper = "" if math.isinf(high) else f" and {'below' if open_high else 'at most'} {high}"
        raise UserError(f"{name} must be {lower}{upper}, not {value}")


def check_integer(config: Any, name: str, *, low: int, high: float = math.inf) -> None:
    """As :func:`check_range`, for a field that is a whole number."""
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{name} must be a whole number, not {value!r}")
    check_range(config, name, low=low, high=high)
