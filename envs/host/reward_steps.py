"""Detection of rewards whose differences float32, which agents learn in, does not resolve."""

from __future__ import annotations

from typing import Any

import numpy as np

FEWEST = 16  # steps of float32 from the least to the largest reward below which differences count as lost
WATCHED = 200  # steps of a vector environment that are looked at


def lost_in_float32(low: Any, high: Any) -> Any:
    """Return whether values from ``low`` to ``high`` (n,) are different, and fewer than 16 steps of float32 apart."""
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.spacing(size.astype(np.float32)).astype(np.float64)
        return np.isfinite(step) & (high > low) & (high - low < FEWEST * step)


class RewardSteps:
    """Least and largest raw reward (R,) of the first steps of a vector environment."""

    def __init__(self, num_objectives: int) -> None:
        self._low, self._high = np.full(num_objectives, np.inf), np.full(num_objectives, -np.inf)
        self._left = WATCHED

    def add(self, raw: Any) -> None:
        """Look at raw rewards (B, R)."""
        if self._left <= 0:
            return
        self._left -= 1
        rewards = np.asarray(raw)
        if rewards.dtype == np.float32 or rewards.ndim != 2 or rewards.shape[1:] != self._low.shape:
            return
        self._low = np.minimum(self._low, rewards.min(axis=0))
        self._high = np.maximum(self._high, rewards.max(axis=0))

    def lost(self, id: str) -> list[str]:
        """Return a note, once, if differences of an objective are lost."""
        if self._left < 0 or not np.isfinite(self._low).all():
            return []
        found = np.flatnonzero(lost_in_float32(self._low, self._high))
        if not len(found):
            return []
        self._left = -1
        i = int(found[0])
        return [
            f"{id}: reward {i} is from {self._low[i]:.9g} to {self._high[i]:.9g}, which float32 hardly tells apart: "
            "subtract a constant from it in the environment"
        ]
