"""GMORL (Yang et al., 2025, arXiv 2509.10474): one discrete soft actor-critic for every preference and every system.

Each environment of the one learner is acted for a preference of its own, equally spread over the simplex, and each
episode draws its system from the environment's contexts (domain randomisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.sac.algorithm import DiscreteSAC
from morl.agents.sac.config import SACConfig
from morl.agents.sac.setup import SPACE as SAC_SPACE
from morl.agents.sac.setup import check_budget, make_learner, replay_note
from morl.ops.preferences import spread
from morl.search_space import Choice, Parameter, Space
from morl.types import Task
from morl.validation import check_integer


@dataclass(frozen=True)
class GMORLConfig(SACConfig):
    """Settings of GMORL."""

    num_preferences: int = 101
    """Preferences, equally spread, that the one policy is evaluated for at the end: what front.csv reports."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)


SPACE: Space = {**SAC_SPACE, "hindsight": Parameter(Choice((False, True)))}


@dataclass(frozen=True)
class GMORL:
    """One learner, whose policy takes any preference.

    Raises:
        UserError: spaces the learner cannot work with, scales of another number of objectives, or fewer steps than one
            rollout takes.
    """

    config: GMORLConfig
    task: Task

    extension = None

    def __post_init__(self) -> None:
        check_budget(self.config, self.task, self.updates, 1)
        _ = self.learner  # checks the spaces

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        return (replay_note(self.learner, self.task, 1),)

    @property
    def updates(self) -> int:
        """Rollouts, each with its gradient steps."""
        return self.task.steps // (self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """(1, B, R), one for each environment."""
        return spread(self.task.num_objectives, self.config.num_envs)[None]

    @cached_property
    def learner(self) -> DiscreteSAC:
        """The one learner."""
        return make_learner(self.config, self.task, self.updates)
