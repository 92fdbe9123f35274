"""The agent ``gpi-ls``: one learner, whose environments act for the corner weights of the values reached so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.gpi_ls import schedule
from morl.agents.gpi_ls.algorithm import GPILS
from morl.agents.gpi_ls.config import GPILSConfig
from morl.agents.sac.setup import LONGEST_HORIZON, output_numbers
from morl.errors import UserError
from morl.networks import encoders
from morl.ops import replay
from morl.types import Agent, Task


@dataclass(frozen=True)
class GPILSAgent(Agent):
    """One GPI-LS learner.

    Raises:
        UserError: spaces it cannot work with, scales of another number of objectives, fewer steps than one gradient
            step takes, or a support that the corners of the simplex do not fit into.
    """

    config: GPILSConfig
    task: Task

    def __post_init__(self) -> None:
        c, size = self.config, self.task.num_objectives
        rows = c.num_envs * c.rollout_steps
        if self.updates < 1 or self.updates * rows <= c.learning_starts:
            least = max(rows, c.learning_starts + rows)
            raise UserError(
                f"steps must be at least {least} to learn anything after learning_starts, not {self.task.steps}"
            )
        if c.objective_scales is not None and len(c.objective_scales) != size:
            given = len(c.objective_scales)
            raise UserError(f"objective_scales must be {size} numbers, one an objective, not {given}")
        if c.max_support <= size:
            raise UserError(f"max_support must be at least {size + 1} with {size} objectives, not {c.max_support}")
        _ = self.learner  # checks the spaces

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        capacity = self.config.replay_capacity
        size = replay.size_in_bytes(capacity, self.learner.replay_row) + 4 * capacity
        return (f"replay of {capacity:,} transitions: {size:,} bytes a seed",)

    @property
    def action_notes(self) -> tuple[str, ...]:
        return self.learner.actions.notes

    @property
    def updates(self) -> int:
        """Return the number of rollouts, each with its gradient steps."""
        return self.task.steps // (self.config.num_envs * self.config.rollout_steps)

    @property
    def update_bytes(self) -> int:
        """Return the bytes of an update, about: a rollout's features, and a batch and its layers in all networks."""
        c, size = self.config, encoders.encoder(self.learner.observation_space).size
        rollout = c.num_envs * c.rollout_steps * size // 2
        outputs = output_numbers(self.learner.actions, self.task.num_objectives)
        return 4 * (rollout + 2 * c.batch_size * (4 * size + 12 * sum(c.hidden) + outputs))

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ("batch_size", "num_envs", "rollout_steps", "hidden")

    @property
    def preferences(self) -> NDArray[np.float64]:
        """Return (1, B, R), before any value is known."""
        return self.lanes(0, schedule.first_members(self.task.num_objectives))

    @property
    def preference_interval(self) -> int:
        """Return the updates after which the environments take the next members of the set."""
        c = self.config
        return max(1, c.rotation_steps // (c.num_envs * c.rollout_steps))

    def preference_at(self, update: int, archive: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the preferences (1, B, R) from an update on, before any value is known."""
        return self.lanes(update, schedule.first_members(self.task.num_objectives))

    def lanes(self, update: int, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the preferences (1, B, R) from an update on, of the members (m, R) of a set."""
        return schedule.lanes(members, update // self.preference_interval, self.config.num_envs)

    def plan(self, values: NDArray[np.float64], visited: NDArray[np.float64]) -> schedule.Plan:
        """Return the set to train for next, see :func:`morl.agents.gpi_ls.schedule.plan`."""
        return schedule.plan(values, visited, self.config.max_support, self.config.new_corners)

    @cached_property
    def learner(self) -> GPILS:
        """Return the one learner."""
        gamma, task = self.config.train_gamma, self.task
        return GPILS(
            config=self.config,
            observation_space=task.observation_space,
            action_space=task.action_space,
            num_objectives=task.num_objectives,
            gamma=min(task.gamma, LONGEST_HORIZON) if gamma is None else gamma,
            total_updates=self.updates,
            action_mask=task.action_mask,
        )
