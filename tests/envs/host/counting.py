"""A Gymnasium environment that tells in every number where it is, so that a leak across episodes shows.

Its own file, as worker processes have to import it.
"""

import os
import sys

import gymnasium
import numpy as np
from gymnasium import spaces

ID = "morl-test/Counting-v0"


class Counting(gymnasium.Env):
    """Observation (episode, t), reward (episode, t after the step, action); ends are drawn from the reset seed.

    Episodes of an even length terminate, those of an odd one are truncated.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(5)
    reward_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def __init__(self, fault=None):
        self.fault = fault
        if fault == "start":
            raise RuntimeError("no licence")
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.episode = -1
        self.episode += 1
        self.t = 0
        self.length = int(self.np_random.integers(1, 7))
        return np.array([self.episode, 0.0]), {}

    def step(self, action):
        self.t += 1
        ended = self.t >= self.length
        reward = np.array([self.episode, self.t, action], float)
        obs = np.array([self.episode, self.t], float)
        if self.fault == "raise" and self.t == 2:
            1 / 0  # noqa: B018
        if self.fault == "leave" and self.t == 2:
            sys.exit(0)
        if self.fault == "die" and self.t == 2:
            os._exit(3)
        if self.fault == "nan" and self.t == 2:
            reward[1] = np.nan
        if self.fault == "length" and self.t == 2:
            reward = reward[:2]
        if self.fault == "shape" and self.t == 2:
            obs = obs[:1]
        even = self.length % 2 == 0
        return obs, reward, ended and even, ended and not even, {}

    def close(self):
        if self.fault == "close" and self.episode >= 0:
            raise RuntimeError("cannot be closed")


class Scalar(Counting):
    """Counting environment with a scalar reward."""

    reward_space = None

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, float(reward[0]), *rest


class Passing(Counting):
    """Counting environment that passes keywords on."""

    def __init__(self, note="", **kwargs):
        super().__init__(**kwargs)


class Talking(Counting):
    """Counting environment with text observations."""

    observation_space = spaces.Text(5)


gymnasium.register(ID, entry_point=Counting)
gymnasium.register("morl-test/Scalar-v0", entry_point=Scalar)
gymnasium.register("morl-test/Endless-v0", entry_point=Counting, max_episode_steps=3)
gymnasium.register("morl-test/Passing-v0", entry_point=Passing)
gymnasium.register("morl-test/Talking-v0", entry_point=Talking)
