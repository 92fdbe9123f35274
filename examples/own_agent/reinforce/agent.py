"""REINFORCE with a linear policy for each of a few preferences.

The core does the rest: it steps the environments, maps the learner over policies and seeds, evaluates, keeps the
archive, writes the run directory and checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.types import Agent, LearnerState, Task, Transition
from reinforce.config import ReinforceConfig


@dataclass(frozen=True)
class Learner:
    """Learner of one policy for one preference, in five methods."""

    observations: int
    actions: int
    learning_rate: float
    num_envs: int
    rollout_steps: int

    def init(self, key: jax.Array) -> LearnerState:
        return LearnerState(params={"weights": jnp.zeros((self.observations + 1, self.actions))}, learning=())

    def policy(self, state: LearnerState) -> Any:
        return state.params

    def act(self, policy: Any, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        logits = _features(obs) @ policy["weights"]
        return jnp.argmax(logits, -1) if greedy else jax.random.categorical(key, logits)

    def to_env(self, action: jax.Array) -> jax.Array:
        return action

    def update(
        self, state: LearnerState, batch: Transition, key: jax.Array
    ) -> tuple[LearnerState, dict[str, jax.Array]]:
        """Raise the probability of actions by what came after them, more or less than the mean of the batch."""

        def back(later: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            reward, last = now
            total = reward + jnp.where(last, 0.0, later)
            return total, total

        reward = jnp.sum(batch.reward * batch.preference, axis=-1)
        last = batch.terminated | batch.truncated
        _, to_go = jax.lax.scan(back, jnp.zeros_like(reward[0]), (reward, last), reverse=True)
        advantage = jnp.where(batch.valid, to_go - to_go.mean(), 0.0) / (to_go.std() + 1e-6)

        def loss(weights: jax.Array) -> jax.Array:
            log_probability = jax.nn.log_softmax(_features(batch.obs) @ weights)
            taken = jnp.take_along_axis(log_probability, batch.action[..., None], axis=-1)[..., 0]
            return -jnp.mean(advantage * taken)

        weights = state.params["weights"]
        weights = weights - self.learning_rate * jax.grad(loss)(weights)
        return state._replace(params={"weights": weights}), {"weighted_reward": reward.mean()}


def _features(obs: jax.Array) -> jax.Array:
    """Append a constant to observations (..., n), as float32."""
    return jnp.concatenate([obs, jnp.ones_like(obs[..., :1])], axis=-1).astype(jnp.float32)


@dataclass(frozen=True)
class Reinforce(Agent):
    """Agent for one task: its learner, the preferences of its policies, and how many updates each gets."""

    config: ReinforceConfig
    task: Task
    notes = ("reinforce: an example, not a good agent",)

    @property
    def learner(self) -> Learner:
        config, task = self.config, self.task
        shape = task.observation_space.shape or ()
        if len(shape) != 1 or not isinstance(task.action_space, spaces.Discrete):
            raise UserError("reinforce needs observations of one axis and Discrete actions")
        return Learner(shape[0], int(task.action_space.n), config.learning_rate, config.num_envs, config.rollout_steps)

    @property
    def preferences(self) -> NDArray[np.float64]:
        return equally_spaced_weights(self.task.num_objectives, self.config.num_policies)

    @property
    def updates(self) -> int:
        return self.task.steps // (self.config.num_policies * self.config.num_envs * self.config.rollout_steps)
