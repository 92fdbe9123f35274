"""The agent ``ppo``: several PPO learners side by side, each for one fixed preference, and no second stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOAgentConfig, PPOConfig
from morl.errors import UserError
from morl.networks import encoders
from morl.ops.distributions import for_space
from morl.ops.preferences import equally_spaced_weights
from morl.types import Agent, Task


@dataclass(frozen=True)
class PPOAgent(Agent):
    """``num_policies`` PPO learners, one preference each, that share the steps of the task.

    Raises:
        UserError: spaces PPO cannot work with, fewer steps than one update of every policy takes, or a ``min_weight``
            that leaves no choice of preferences.
    """

    config: PPOAgentConfig
    task: Task

    def __post_init__(self) -> None:
        updates_per_policy(self.config, self.task)
        fixed_preferences(self.config, self.task.num_objectives)
        _ = self.learner  # checks the spaces

    @property
    def total_updates(self) -> int:
        """Return the updates of each policy that the steps of the task allow."""
        return updates_per_policy(self.config, self.task)

    @property
    def updates(self) -> int:
        """Return the updates of each policy."""
        return self.total_updates

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return the (num_policies, R) preferences."""
        return fixed_preferences(self.config, self.task.num_objectives)

    @property
    def action_notes(self) -> tuple[str, ...]:
        return for_space(self.task.action_space).notes

    @property
    def update_bytes(self) -> int:
        """Return the bytes of the features of a rollout, about four times over, and of hidden layers."""
        c = self.config
        features = 4 * encoders.encoder(self.task.observation_space).size
        return 4 * c.num_envs * c.rollout_steps * (features + 2 * sum(c.hidden))

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ("num_envs", "rollout_steps", "hidden")

    @cached_property
    def learner(self) -> PPO:
        """Return the learner, whose code all policies share."""
        return make_learner(self.config, self.task, self.total_updates)


def make_learner(config: PPOConfig, task: Task, total_updates: int) -> PPO:
    """Return the PPO learner of a task, with its discount or ``train_gamma``.

    Raises:
        UserError: spaces PPO cannot work with.
    """
    return PPO(
        config=config,
        observation_space=task.observation_space,
        action_space=task.action_space,
        num_objectives=task.num_objectives,
        gamma=min(task.gamma, 0.995) if config.train_gamma is None else config.train_gamma,
        total_updates=total_updates,
        action_mask=task.action_mask,
    )


def updates_per_policy(config: PPOAgentConfig, task: Task) -> int:
    """Return the updates of each policy within the steps of the task.

    Raises:
        UserError: fewer steps than one update of every policy takes.
    """
    steps = config.num_policies * config.num_envs * config.rollout_steps
    if task.steps < steps:
        raise UserError(
            f"steps must be at least {steps} (one update of {config.num_policies} policies x "
            f"{config.num_envs} environments x {config.rollout_steps} steps), not {task.steps}"
        )
    return task.steps // steps


def fixed_preferences(config: PPOAgentConfig, num_objectives: int) -> NDArray[np.float64]:
    """Return (num_policies, R) preferences, equally spread over what ``min_weight`` leaves of the simplex.

    Raises:
        UserError: a ``min_weight`` that leaves nothing.
    """
    least = config.min_weight
    if least >= 1 / num_objectives:
        raise UserError(f"min_weight must be below 1/{num_objectives} with {num_objectives} objectives, not {least}")
    return least + (1 - num_objectives * least) * equally_spaced_weights(num_objectives, config.num_policies)
