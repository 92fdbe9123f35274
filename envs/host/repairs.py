"""Repairs of faults of MO-Gymnasium's environments that would reach a learner."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np


class CutOff(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repair of an environment that sets ``terminated`` at its time limit (fishwood)."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step as Gymnasium does, with ``truncated`` only where both flags are set."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated and not truncated, truncated, info


class SeededOre(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repair of MO-Gymnasium's minecart, whose ore draws follow NumPy's global state: here ``reset(seed=)``."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does; afterwards the mines draw from the environment's own generator."""
        obs, info = self.env.reset(seed=seed, options=options)
        for mine in self.get_wrapper_attr("mines"):
            for ore in mine.distributions:
                ore.random_state = self.unwrapped.np_random
        return obs, info


class StillMines(SeededOre):
    """Repair of MO-Gymnasium's minecart in pixels, with equal rotations of the mines in every environment.

    Without it, NumPy's global state decides the rotations.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does; the first reset draws the rotations of the mines."""
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        try:
            return super().reset(seed=seed, options=options)
        finally:
            np.random.set_state(before)  # noqa: NPY002


class SeededStart(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repair of MO-Gymnasium's four rooms, with a start that follows ``reset(seed=)`` where the maze has several."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does; the start is drawn again by the environment's own generator."""
        _, info = self.env.reset(seed=seed, options=options)
        env: Any = self.unwrapped
        start = env.initial[env.np_random.integers(len(env.initial))]
        env.state = (start, *env.state[1:])
        return env.state_to_array(env.state), info
