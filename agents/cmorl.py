"""C-MORL (Liu et al., ICLR 2025): stage 1, Pareto initialisation.

One PPO learner per preference on the simplex, all trained in parallel; every policy met at an evaluation is a
candidate for the archive of non-dominated ones, which the core keeps and re-evaluates at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.ppo import PPO, PPOConfig
from morl.config import check_integer
from morl.errors import UserError
from morl.preferences import spread
from morl.types import Task


@dataclass(frozen=True)
class CMORLConfig(PPOConfig):
    """Settings of C-MORL; those of PPO hold for each of its policies."""

    num_policies: int = 16
    """Policies trained in parallel, each for one of as many preferences spread over the simplex."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)


@dataclass(frozen=True)
class CMORL:
    """Pareto initialisation: ``num_policies`` PPO learners, one preference each.

    Raises:
        UserError: spaces PPO cannot work with, or fewer steps than one update of every policy takes.
    """

    config: CMORLConfig
    task: Task

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise UserError(
                f"steps must be at least {self._steps_per_update} (one update of {self.config.num_policies} policies x "
                f"{self.config.num_envs} environments x {self.config.rollout_steps} steps), not {self.task.steps}"
            )
        _ = self.learner  # checks the spaces

    @property
    def _steps_per_update(self) -> int:
        return self.config.num_policies * self.config.num_envs * self.config.rollout_steps

    @property
    def updates(self) -> int:
        """Updates of each policy."""
        return self.task.steps // self._steps_per_update

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """(num_policies, R) preferences, equally spread over the simplex."""
        return spread(self.task.num_objectives, self.config.num_policies)

    @cached_property
    def learner(self) -> PPO:
        """The learner all policies share the code of."""
        gamma = self.config.train_gamma
        return PPO(
            config=self.config,
            observation_space=self.task.observation_space,
            action_space=self.task.action_space,
            gamma=min(self.task.gamma, 0.995) if gamma is None else gamma,
            total_updates=self.updates,
            action_mask=self.task.action_mask,
        )
