"""Environments of a user's module, of every kind that a training takes as an object or by ``module:Name``."""

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.probes import Probe


class Walk(gymnasium.Env):
    """Ten steps to the left or to the right; rewards are the place and the effort."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as Gymnasium's own

    def __init__(self, length=10, render_mode=None):
        self.length, self.render_mode = length, render_mode
        self.observation_space = spaces.Box(-100, 100, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.reward_space = spaces.Box(-100, 100, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.at, self.steps = self.at + 2 * int(action) - 1, self.steps + 1
        reward = np.array([self.at, -abs(self.at)], np.float32)
        return np.array([self.at], np.float32), reward, False, self.steps == self.length, {}

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)


class Unrecorded(gymnasium.Wrapper):
    """Wrapper whose arguments Gymnasium does not record, so that only a copy has it."""

    def __init__(self, env, shift):
        super().__init__(env)
        self.shift = shift

    def step(self, action):
        obs, reward, *rest = self.env.step(action)
        return obs, reward + np.float32(self.shift), *rest


class Uncopied(Walk):
    """Environment that cannot be copied."""

    def __deepcopy__(self, memo):
        raise RuntimeError("a handle of a simulator")


class JaxWalk(Probe):
    """Functional environment with a keyword, as a user's class."""

    id = "jax-walk-v0"

    def __init__(self, kind="choice"):
        super().__init__(kind)


def make_walk(length=5):
    return gymnasium.wrappers.TimeLimit(Walk(length=100), length)


def listed(lengths, names):
    return Walk(length=lengths[1] + names["a"]["b"])


def make_nothing():
    return 3


READY = JaxWalk("apart")
NUMBER = 3

gymnasium.register("RegisteredWalk-v0", entry_point="tests.walks:Walk", disable_env_checker=True)
