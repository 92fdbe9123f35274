"""An agent whose policies are one constant action each, the best one for their preference on the probe ``steer``.

Merged policies are exactly what they should be there: the weighted sums of actions, whose returns are known.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from morl.ops.preferences import equally_spaced_weights
from morl.registry import AgentSpec
from morl.types import Agent, LearnerState

SPEC = AgentSpec("constants", "of tests", "tests.analysis.filling.constants:Constants", "tests.tiny:TinyConfig")
ENDS = np.array([0.6, -0.2], np.float32)  # the best action of each objective


def returns_of(actions):
    """Return the (n, 2) returns of constant actions (n,)."""
    return -((np.asarray(actions, np.float64)[:, None] - ENDS.astype(np.float64)) ** 2)


@dataclass(frozen=True)
class Constant:
    num_envs: int = 2
    rollout_steps: int = 2

    def init(self, key):
        return self.begin(np.zeros(1, np.float32))

    def begin(self, action):
        return LearnerState(params={"action": action}, learning={"updates": np.int32(0)})

    def policy(self, state):
        return state.params

    def act(self, policy, obs, preference, key, *, greedy):
        return jnp.broadcast_to(policy["action"][None], (len(obs), 1))

    def to_env(self, action):
        return action

    def update(self, state, batch, key):
        action = jnp.sum(batch.preference[0, 0] * ENDS, keepdims=True)
        return state._replace(params={"action": action}), {"action": action[0]}


@dataclass(frozen=True)
class Constants(Agent):
    config: object
    task: object
    notes: tuple = ()
    learner = Constant()
    updates = 2

    @property
    def preferences(self):
        return equally_spaced_weights(2, 3)
