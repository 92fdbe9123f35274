"""A small environment on the host, in any unit."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Signs(gymnasium.Env):
    """Eight steps; the action has to be the sign of a number, which is ``middle`` plus or minus 1, in some unit."""

    def __init__(self, unit=1.0, middle=0.0, reward_unit=1.0, reward_middle=0.0, dtype="float64"):
        low = -np.inf if dtype == "float64" else np.iinfo(dtype).min
        high = np.inf if dtype == "float64" else np.iinfo(dtype).max
        self.observation_space = spaces.Box(low, high, (2,), np.dtype(dtype).type)
        self.action_space = spaces.Discrete(2)
        self.reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.unit, self.middle, self.rewards = unit, middle, (reward_unit, reward_middle)

    def obs(self):
        self.sign = int(self.np_random.choice([-1, 1]))
        number = self.middle + self.sign  # of 62 bits, which a product with a float would cut
        return np.array([number if self.unit == 1 else self.unit * number, 0], self.observation_space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.obs(), {}

    def step(self, action):
        unit, middle = self.rewards
        reward = np.array([unit * (middle + float(2 * action - 1 == self.sign)), -unit * (middle + action)])
        self.t += 1
        return self.obs(), reward, False, self.t >= 8, {}


gymnasium.register("morl-test/Signs-v0", entry_point=Signs)
