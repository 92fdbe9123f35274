"""Rewards R(x | w) that objects are drawn in proportion to, by the functions of :mod:`morl.ops.scalarisation`."""

from __future__ import annotations

from typing import Any, Literal

from morl.ops import scalarisation as scalarisations
from morl.ops.scalarisation import FocusRegion

Scalarisation = Literal["weighted_sum", "log_sum", "tchebycheff", "focus"]


def log_reward(values: Any, preference: Any, scalarisation: Scalarisation, floor: float, region: FocusRegion) -> Any:
    """Compute log R(x | w), (...), of objectives (..., R) in JAX or NumPy.

    Args:
        values: (..., R) objectives in [0, 1].
        preference: (..., R) weights, or the goal direction of ``focus``.
        scalarisation: its name.
        floor: smallest objective or reward before a logarithm.
        region: cone of ``focus``.
    """
    if scalarisation == "focus":
        return scalarisations.log_focus(values, preference, floor, region)
    return scalarisations.LOG_REWARDS[scalarisation](values, preference, floor)
