"""Checks that the settings dataclasses share."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from morl.errors import UserError

MOST = 2**31 - 1  # largest count: an int32, which JAX counts in
MOST_STEPS = 2**53  # largest number of steps: a whole number that a float holds exactly
LARGEST = 3.4e38  # largest number: a float32, which JAX computes in


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
    if not (above and below and abs(value) <= LARGEST):
        lower = f"{'greater than' if open_low else 'at least'} {low}"
        upper = f" and {'below' if open_high else 'at most'} {high}"
        if math.isinf(high):
            upper = f" and at most {LARGEST:g}" if value > low else ""
        raise UserError(f"{name} must be {lower}{upper}, not {shown(value)}")


def schedule_length(steps: int) -> float:
    """Return the length of a schedule that an int32 count of steps is compared with: a float if it is larger."""
    return steps if steps <= MOST else float(steps)


def shown(value: Any) -> str:
    """Return a value as text; a whole number of very many digits by their number."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of about {value.bit_length() * 0.30103:.0f} digits"
    return str(value)


def check_widths(config: Any, name: str) -> None:
    """Check that a field is one or more widths of layers.

    Raises:
        UserError: none, or one that is no whole number of at least 1, or too large.
    """
    widths = getattr(config, name)
    whole = isinstance(widths, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in widths)
    if not whole or not widths or min(widths) < 1:
        raise UserError(f"{name} must be one or more widths of at least 1, not {widths}")
    if max(widths) > MOST:
        raise UserError(f"{name} must be widths of at most {MOST}, not {shown(max(widths))}")


def check_integer(config: Any, name: str, *, low: int, high: int = MOST) -> None:
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
    given: object = gamma
    if isinstance(given, bool) or not isinstance(given, Real) or not 0 <= gamma <= 1:
        raise UserError(f"gamma must be at least 0 and at most 1, not {gamma}")
    return float(gamma)
