"""Wrappers of single Gymnasium environments with a vector reward."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import ArrayLike

from morl.errors import UserError


class LinearReward(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A scalar reward, the dot product of the vector reward with fixed weights.

    The vector itself is kept, as a fresh float array (R,), in ``info["vector_reward"]`` at each step.

    Args:
        env: an environment with a ``reward_space`` of shape (R,).
        weight: (R,) finite weights, of any sign and sum.

    Raises:
        UserError: the environment has no vector reward, or the weights are not R finite numbers.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], weight: ArrayLike) -> None:
        self.weight = np.array(weight, np.float64)
        RecordConstructorArgs.__init__(self, weight=self.weight.tolist())
        gymnasium.Wrapper.__init__(self, env)
        if not self.has_wrapper_attr("reward_space"):
            raise UserError(f"{env} has a scalar reward; LinearReward needs a reward_space of shape (R,)")
        shape = self.get_wrapper_attr("reward_space").shape
        if self.weight.shape != shape or not np.isfinite(self.weight).all():
            raise UserError(f"weight must be {shape[0]} finite numbers, one per objective, not {np.asarray(weight)}")

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Gymnasium's step, the reward a ``float``."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector = np.array(reward)
        return obs, float(vector @ self.weight), terminated, truncated, {**info, "vector_reward": vector}


class CutOff(gymnasium.Wrapper[Any, Any, Any, Any]):
    """For an environment that says it terminated when it was only cut off at its time limit (fishwood)."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Gymnasium's step, truncation alone where both flags are set."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated and not truncated, truncated, info


class SeededOre(gymnasium.Wrapper[Any, Any, Any, Any]):
    """MO-Gymnasium's minecart with ore draws that follow ``reset(seed=)`` instead of NumPy's global state."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Gymnasium's reset; afterwards the mines draw from the environment's own generator."""
        obs, info = self.env.reset(seed=seed, options=options)
        for mine in self.get_wrapper_attr("mines"):
            for ore in mine.distributions:
                ore.random_state = self.unwrapped.np_random
        return obs, info
