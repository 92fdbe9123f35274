"""A Gymnasium environment with a vector reward, as it is: a thermostat that trades comfort for energy.

Nothing here knows of morl. What makes the environment multi-objective is a ``reward_space`` of shape (R,) and a
``step`` that returns R rewards, all to be maximised; what makes it known is ``gymnasium.register``. Then
``module:id`` names it, in the folder of this file or wherever the module is installed::

    morl check-env thermostat:Thermostat-v0
    morl train cmorl --env thermostat:Thermostat-v0 --reference-point -1000 -150 --steps 200000

The reference point is what every sensible policy does better than in a day; it is needed for the hypervolume.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

HOURS_PER_STEP = 0.25
HEATING = (0.0, 2.0, 4.0, 6.0)  # kW of each action
LOSS = 0.2  # kW lost per degree between inside and outside
CAPACITY = 3.0  # kWh that warm the house by a degree
WANTED = 21.0  # degrees


class Thermostat(gymnasium.Env[NDArray[np.float32], np.int64]):
    """A house on a winter's day, one step every quarter of an hour.

    Observation (4,) float32: degrees inside and outside, sine and cosine of the time of day. Action: one of four
    levels of heating. Reward (2,) float32: comfort, minus the degrees off 21, and energy, minus the kWh used. The
    first temperature and the weather are random. It never terminates; the registration cuts a day off after 96 steps.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium's own

    def __init__(self) -> None:
        low, high = np.array([-50, -50, -1, -1], np.float32), np.array([60, 60, 1, 1], np.float32)
        self.observation_space = spaces.Box(low, high)
        self.action_space = spaces.Discrete(len(HEATING))
        most = HEATING[-1] * HOURS_PER_STEP
        self.reward_space = spaces.Box(np.array([-71, -most], np.float32), np.zeros(2, np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)  # seeds self.np_random, where every random number here comes from
        self._hour = 0.0
        self._inside = self.np_random.uniform(14.0, 22.0)
        self._mean_outside = self.np_random.uniform(-8.0, 8.0)
        self._outside = self._weather()
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        energy = HEATING[int(action)] * HOURS_PER_STEP
        lost = LOSS * (self._inside - self._outside) * HOURS_PER_STEP
        self._inside += (energy - lost) / CAPACITY
        self._hour += HOURS_PER_STEP
        self._outside = self._weather()
        reward = np.array([-abs(self._inside - WANTED), -energy], np.float32)
        return self._observe(), reward, False, False, {}

    def _weather(self) -> float:
        """Degrees outside: coldest at four in the morning, with some noise."""
        daily = -5.0 * np.cos(2 * np.pi * (self._hour - 4.0) / 24.0)
        return float(self._mean_outside + daily + self.np_random.normal(0.0, 0.5))

    def _observe(self) -> NDArray[np.float32]:
        angle = 2 * np.pi * self._hour / 24.0
        return np.array([self._inside, self._outside, np.sin(angle), np.cos(angle)], np.float32)


gymnasium.register("Thermostat-v0", entry_point="thermostat:Thermostat", max_episode_steps=96, disable_env_checker=True)
