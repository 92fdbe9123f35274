"""Shared parts of the agents of PPO learners: base class, learner, and updates within a budget of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.ppo.guide import HypervolumeGuide
from morl.agents.ppo.schedules import crowded_note, metric_names
from morl.errors import UserError
from morl.ops.distributions import for_space
from morl.types import Agent, Task

L = TypeVar("L", bound=PPO)


class OnPolicyAgent(Agent):
    """Agent of PPO learners; what the agents say of their learner alike."""

    @property
    def learner(self) -> PPO:
        raise NotImplementedError  # each agent makes its own

    @property
    def action_notes(self) -> tuple[str, ...]:
        return for_space(self.learner.action_space).notes

    def guide(self, reference_point: NDArray[np.float64], num_seeds: int, capacity: int) -> HypervolumeGuide | None:
        """Return the hypervolume schedule of a training, or None; see :class:`morl.types.Agent`."""
        c = self.learner.config
        if c.weight_schedule != "hypervolume":
            return None
        return HypervolumeGuide(reference_point, num_seeds, len(self.preferences), capacity, c.hypervolume_gain)

    @property
    def policy_metrics(self) -> tuple[str, ...]:
        """Return the metrics of a schedule."""
        return metric_names(self.learner.config, self.learner.num_objectives)

    def remark(self, row: Mapping[str, float]) -> str | None:
        """Return a message where Pareto selection has nothing to select from."""
        share = row.get("non_dominated_share", float("nan"))
        return crowded_note(self.learner.config, self.learner.num_objectives, share)

    @property
    def update_bytes(self) -> int:
        """Return the bytes of the features of a rollout, about four times over, and of hidden layers."""
        c, seen = self.learner.config, self.learner.encoder
        rows = c.num_envs * c.rollout_steps
        outputs = for_space(self.learner.action_space).num_outputs
        # convolutions of the whole rollout for values and likelihoods, and of a minibatch with their gradients
        convolved = (1 + 4 / c.minibatches) * seen.image.layer_numbers if seen.image else 0
        return int(4 * rows * (4 * seen.size + 2 * sum(c.hidden) + outputs + convolved))

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ("num_envs", "rollout_steps", "hidden")


def make_learner(kind: type[L], config: PPOConfig, task: Task, total_updates: int, **more: Any) -> L:
    """Return the learner of a task, of PPO or of a kind of it with ``more``, with its discount or ``train_gamma``.

    Raises:
        UserError: spaces PPO cannot work with.
    """
    return kind(
        config=config,
        observation_space=task.observation_space,
        action_space=task.action_space,
        num_objectives=task.num_objectives,
        gamma=min(task.gamma, 0.995) if config.train_gamma is None else config.train_gamma,
        total_updates=total_updates,
        action_mask=task.action_mask,
        **more,
    )


def updates_within(config: PPOConfig, task: Task, policies: int) -> int:
    """Return the updates of each of so many policies within the steps of the task.

    Raises:
        UserError: fewer steps than one update of every policy takes.
    """
    steps = policies * config.num_envs * config.rollout_steps
    if task.steps < steps:
        whose = "" if policies == 1 else f"{policies} policies x "
        raise UserError(
            f"steps must be at least {steps} (one update of {whose}{config.num_envs} environments x "
            f"{config.rollout_steps} steps), not {task.steps}"
        )
    return task.steps // steps
