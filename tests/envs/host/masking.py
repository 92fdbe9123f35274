"""Gymnasium environments that give masks of actions in each of the usual places, and refuse forbidden actions.

Its own file, as worker processes have to import it.
"""

import gymnasium
import numpy as np
from gymnasium import spaces


class Masking(gymnasium.Env):
    """Reward (1, -action) for 6 steps; action ``t % n`` and the one before it are allowed, forbidden ones raise."""

    observation_space = spaces.Box(0, 10, (1,), np.float32)
    action_space = spaces.Discrete(4, start=2)
    reward_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, fault=None):
        self.fault = fault

    def mask(self):
        mask = np.zeros(4, np.int8)
        if not (self.fault == "empty" and self.t == 3) and self.t < 6:
            mask[[self.t % 4, self.t % 4 - 1]] = 1
        return mask[:3] if self.fault == "length" and self.t == 3 else mask

    def told(self):
        number = 0 if self.fault in ("late", "wide") else -1
        given = self.t > number and not (self.fault == "missing" and self.t == 3) and self.t < 6
        return {"action_mask": self.mask()} if given else {}

    def observe(self):
        return np.array([self.t], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), self.told()

    def step(self, action):
        if isinstance(self.action_space, spaces.Discrete) and not self.mask()[action - 2]:
            raise ValueError(f"action {action} is not allowed now")
        self.t += 1
        return self.observe(), np.array([1, -np.sum(action)], np.float32), False, self.t == 6, self.told()


class Beside(Masking):
    """The mask is beside the observation, as in PettingZoo."""

    observation_space = spaces.Dict(
        {"observation": spaces.Box(0, 10, (1,), np.float32), "action_mask": spaces.Box(0, 1, (4,), np.int8)}
    )

    def observe(self):
        return {"observation": super().observe(), "action_mask": self.mask()}

    def told(self):
        return {}


class Several(Beside):
    """The mask is beside several observations, among them an image."""

    observation_space = spaces.Dict(
        {
            "place": spaces.Discrete(7),
            "action_mask": spaces.MultiBinary(4),
            "picture": spaces.Box(0, 255, (2, 2), np.uint8),
        }
    )

    def observe(self):
        return {"place": self.t, "action_mask": self.mask(), "picture": np.full((2, 2), self.t, np.uint8)}


class Whole(Masking):
    """Observations are a whole number without an order."""

    observation_space = spaces.Discrete(7)

    def observe(self):
        return self.t


class Picture(Masking):
    """Observations are images."""

    observation_space = spaces.Box(0, 255, (2, 3, 1), np.uint8)

    def observe(self):
        return np.full((2, 3, 1), self.t, np.uint8)


class Wide(Masking):
    """Masks for actions that are no choice."""

    action_space = spaces.Box(0, 1, (4,), np.float32)


class WideBeside(Beside):
    """Masks beside the observation for actions that are no choice."""

    action_space = spaces.Box(0, 1, (4,), np.float32)


def id_of(name):
    """Return the id of one of the classes, with this module."""
    return f"tests.envs.host.masking:morl-test/{name}-v0"


for made in (Masking, Beside, Several, Whole, Picture, Wide, WideBeside):
    gymnasium.register(f"morl-test/{made.__name__}-v0", entry_point=made)
