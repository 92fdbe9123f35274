"""One soft actor-critic for each preference: the reference that one policy for all is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.dsac.config import SeparateSACConfig
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.setup import SACAgent, check_budget, make_learner, replay_note
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task


@dataclass(frozen=True)
class SeparateSAC(SACAgent):
    """One learner for each of ``num_policies`` preferences.

    Raises:
        UserError: as of :class:`morl.agents.gmorl.algorithm.GMORL`.
    """

    config: SeparateSACConfig
    task: Task

    def __post_init__(self) -> None:
        check_budget(self.config, self.task, self.updates, self.config.num_policies)
        _ = self.learner  # checks the spaces

    @property
    def notes(self) -> tuple[str, ...]:
        return (replay_note(self.learner, self.config.num_policies),)

    @property
    def updates(self) -> int:
        """Return the number of rollouts of each policy, each with its gradient steps."""
        return self.task.steps // (self.config.num_policies * self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (num_policies, R)."""
        return equally_spaced_weights(self.task.num_objectives, self.config.num_policies)

    @cached_property
    def learner(self) -> SAC:
        """Return the learner, whose code all policies share."""
        return make_learner(self.config, self.task, self.updates)
