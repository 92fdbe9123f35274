"""Gymnasium environments of several action spaces, which refuse an action that is not exactly of its space.

Their own file, as processes that load a run have to import it.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

ACTIONS = {
    "Parts": spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[1, 0], [0, -1]]),
    "Switches": spaces.MultiBinary((2, 2)),
    "Steps": spaces.Box(-2, 2, (2,), np.int16),
    "Many": spaces.MultiBinary(10),
    "Levels": spaces.Box(-3, 2000, (1,), np.int16),
    "Double": spaces.Box(
        np.array([[-0.9, 0.3], [-np.inf, 0.1]]), np.array([[0.1, 0.7], [np.inf, np.inf]]), dtype=float
    ),
}


class Acting(gymnasium.Env):
    """Five steps; the rewards are a mean of the numbers of an action within -1..1, and its negative."""

    reward_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, actions):
        self.observation_space = spaces.Dict(
            t=spaces.Box(0, 5, (1,), np.float32), grid=spaces.MultiDiscrete([[2, 2]] * 2)
        )
        self.action_space = ACTIONS[actions]

    def observe(self):
        return {"t": np.array([self.t], np.float32), "grid": np.zeros((2, 2), int) + self.t % 2}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        if action.dtype != self.action_space.dtype or not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not of {self.action_space}")
        self.t += 1
        mean = np.tanh(np.mean(action))
        return self.observe(), np.array([mean, -mean], np.float32), False, self.t >= 5, {}


for name in ACTIONS:
    gymnasium.register(f"morl-test/{name}-v0", entry_point=Acting, kwargs={"actions": name}, max_episode_steps=5)
