"""Gymnasium environments with a vector reward, stepped in one process.

Nothing here imports JAX: workers import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from morl.envs.guard import Guard
from morl.envs.robots import robots_of

Build = Callable[[], gymnasium.Env[Any, Any]]


class VectorRewardSync(SyncVectorEnv[Any, Any]):
    """Gymnasium's in-process vectoriser, SAME_STEP, with room for R rewards each; the observations are its buffer.

    Where the environments are MuJoCo's robots, they are stepped together (:mod:`morl.envs.robots`): the same episodes.
    """

    def __init__(self, build: Build, num_envs: int, num_objectives: int) -> None:
        super().__init__([build] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        self._rewards = np.zeros((num_envs, num_objectives))
        self._robots = robots_of(self.envs, build, transparent=(Guard,))
        spec = self.envs[0].spec
        self._limit = spec.max_episode_steps if spec else None
        self._elapsed = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in each."""
        self._elapsed[:] = 0
        given: Any = seed
        return super().reset(seed=given, options=options)

    def step(self, actions: NDArray[Any]) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step each; ``info["final_obs"]`` has the last observation of each episode that ended."""
        if self._robots is None:
            return super().step(actions)
        observations: Any = self._observations
        observations[...], reward, terminated = self._robots.step(actions)
        self._elapsed += 1
        truncated = np.zeros(self.num_envs, np.bool_)
        if self._limit is not None:
            truncated = self._elapsed >= self._limit
        final = {}
        for i in np.flatnonzero(terminated | truncated):
            final[i] = observations[i].copy()
            observations[i], _ = self.envs[i].reset()
            self._elapsed[i] = 0
        return observations, reward, terminated, truncated, {"final_obs": final}
