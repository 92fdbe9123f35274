"""Gymnasium environments with a vector reward, stepped in one process, by threads if they are safe in them.

Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate
from numpy.typing import NDArray

from morl.envs.host.guard import Guard
from morl.envs.host.threads import StepThreads, available_cores
from morl.envs.mujoco.robots import Robots, is_plain_mujoco, robots_of
from morl.errors import UserError

if TYPE_CHECKING:
    InProcess = SyncVectorEnv[Any, Any]
else:
    InProcess = SyncVectorEnv  # generic from Gymnasium 1.4 on

Build = Callable[[], gymnasium.Env[Any, Any]]
Stepped = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # rewards, terminated, truncated


class VectorRewardSync(InProcess):
    """Gymnasium's in-process vector environment (SAME_STEP) with R rewards for each environment.

    Returned observations are its buffer, which the next step overwrites. MuJoCo's robots are stepped together
    (:mod:`morl.envs.mujoco.robots`), with the same episodes.

    Args:
        build: makes one environment.
        num_envs: B.
        num_objectives: R.
        threads: that share out the environments of a step, but not their resets; by default one for each core where
            they are MO-Gymnasium's on MuJoCo and one in all where others.
    """

    def __init__(self, build: Build, num_envs: int, num_objectives: int, threads: int | None = None) -> None:
        super().__init__([build] * num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        self._rewards = np.zeros((num_envs, num_objectives))
        if threads is None:
            threads = available_cores() if is_plain_mujoco(self.envs[0], transparent=(Guard,)) else 1
        self._threads = StepThreads(min(threads, num_envs))
        self._robots = robots_of(self.envs, build, (Guard,), self._threads)
        spec = self.envs[0].spec
        self._limit = spec.max_episode_steps if spec else None
        self._elapsed = np.zeros(num_envs, np.int64)
        self._resting = np.zeros(num_envs, np.bool_)
        self._once = False
        self._latest: list[Any] = []  # observation of each environment

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        once: bool | NDArray[np.bool_] = False,
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in each environment.

        After ``once``, an environment whose episode ends is neither reset nor stepped, and its rewards are 0; where it
        is an array (B,), so are those that it does not mark, from the start.
        """
        self._once = once is not False
        self._elapsed[:], self._resting[:] = 0, self._once & ~np.asarray(once)
        given: Any = seed
        observations, info = super().reset(seed=given, options=options)
        self._latest = list(np.array(observations))
        return observations, info

    def step(self, actions: NDArray[Any]) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step each environment; ``info["final_obs"]`` maps the index of an ended one to its last observation."""
        robots = self._robots
        stepped = self._step_each(actions) if robots is None else self._step_together(robots, actions)
        reward, terminated, truncated = stepped
        final = {}
        for i in np.flatnonzero(terminated | truncated):
            final[i] = np.array(self._latest[i])
            if self._once:
                self._resting[i] = True
            else:
                self._latest[i], _ = self.envs[i].reset()
                self._elapsed[i] = 0
        observations = concatenate(self.single_observation_space, self._latest, self._observations)
        return observations, reward, terminated, truncated, {"final_obs": final}

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment, also those after one that raises.

        Raises:
            UserCodeError: the first error.
        """
        self.closed = True  # also where one raises: it is not closed again when it is deleted
        self._threads.close()
        errors = []
        for env in self.envs:
            try:
                env.close()
            except UserError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _step_each(self, actions: NDArray[Any]) -> Stepped:
        reward = np.zeros_like(self._rewards)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)

        def step(i: int) -> None:
            self._latest[i], reward[i], terminated[i], truncated[i], _ = self.envs[i].step(actions[i])

        self._threads.each(step, np.flatnonzero(~self._resting))
        return reward, terminated, truncated

    def _step_together(self, robots: Robots, actions: NDArray[Any]) -> Stepped:
        awake = ~self._resting
        observations, reward, terminated = robots.step(actions, awake)
        self._latest = list(observations)
        self._elapsed += 1
        truncated = self._elapsed >= self._limit if self._limit is not None else np.zeros_like(awake)
        return np.where(awake[:, None], reward, 0), terminated & awake, truncated & awake
