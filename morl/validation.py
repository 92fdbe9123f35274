"""Checks that the settings dataclasses share."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from morl.errors import UserError


def check_range(
    config: Any, name: str, *, low: float, high: float = math.inf, open_low: bool = False, open_high: bool = False
) -> None:
    """Check that a field is a finite number in a range.

    Args:
        config: the settings.
        name: name of the field.
        low, high: ends of the range.
        open_low, open_high: whether the end itself is left out.

    Raises:
        UserError: another value; the message names the field and its range.
    """
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{name} must be a number, not {value!r}")
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below and math.isfinite(value)):
        lower = f"{'greater than' if open_low else 'at least'} {low}"
        upper = f" and {'below' if open_high else 'at most'} {high}"
        if math.isinf(high):
            upper = "" if math.isfinite(value) else " and finite"
        raise UserError(f"{name} must be {lower}{upper}, not {value}")


def check_integer(config: Any, name: str, *, low: int, high: float = math.inf) -> None:
    """Check that a field is a whole number from ``low`` to ``high``, both included.

    Raises:
        UserError: another value; the message names the field and its range.
    """
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{name} must be a whole number, not {value!r}")
    check_range(config, name, low=low, high=high)


def check_discount(gamma: float) -> float:
    """Return the discount ``gamma`` as a float.

    Raises:
        UserError: not a number from 0 to 1.
    """
    if isinstance(gamma, bool) or not isinstance(gamma, Real) or not 0 <= gamma <= 1:
        raise UserError(f"gamma must be at least 0 and at most 1, not {gamma}")
    return float(gamma)
