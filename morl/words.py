"""Numbers, times and rates in words, for lines that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

BRIEF = 40  # characters of a value in a short text


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 policy, 2 policies.

    Args:
        number: how many.
        one: the noun for one.
        many: the noun for several; by default with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def duration_text(seconds: float) -> str:
    """Return a duration to two figures or so: 40 seconds, 12 minutes, 3.5 hours, 2.1 days."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            value = float(f"{seconds / size:.2g}")
            return f"{value:g} {unit}s"
    return counted(max(1, round(seconds)), "second")


def clock_text(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds: 0:01:30."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def rate_text(steps_per_second: float) -> str:
    """Return a rate in the unit that makes it readable: 1.2M steps/s, 41.3k steps/s, 12 steps/s, 3 steps/min."""
    units = (
        (1e6, 1e6, "M steps/s"),
        (1e3, 1e3, "k steps/s"),
        (0.1, 1.0, " steps/s"),
        (0.1 / 60, 1 / 60, " steps/min"),
        (0.0, 1 / 3600, " steps/h"),
    )
    size, unit = next((size, unit) for least, size, unit in units if steps_per_second >= least)
    return f"{steps_per_second / size:.3g}{unit}"


def brief_repr(self: Any) -> str:
    """Return a dataclass as one short line: arrays by their shapes, tables by their sizes.

    To be the ``__repr__`` of a class whose fields are long.
    """
    values = ", ".join(f"{field.name}={_brief(getattr(self, field.name))}" for field in fields(self))
    return f"{type(self).__name__}({values})"


def _brief(value: Any) -> str:
    """Return a value in at most about 40 characters."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping | list | tuple) and len(repr(value)) > BRIEF:
        return f"{type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, str | int | float | Mapping | list | tuple):
        text = repr(value)
        return text if len(text) <= BRIEF else f"{text[:BRIEF]}..."
    return f"<{type(value).__name__}>"
