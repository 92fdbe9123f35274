"""Separate soft actor-critics, one for each preference: the reference that one policy for all is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.agents.sac.setup import SPACE as SAC_SPACE
from morl.agents.sac.setup import check_budget, make_learner, replay_note
from morl.ops.preferences import spread
from morl.search_space import Space
from morl.types import Agent, Task
from morl.validation import check_integer

SPACE: Space = SAC_SPACE


@dataclass(frozen=True)
class SeparateSACConfig(SACConfig):
    """Settings of separate soft actor-critics."""

    num_policies: int = 6
    """Policies trained side by side, each for one of as many preferences spread over the simplex."""
    num_envs: int = 8
    """Environments that feed one policy."""
    replay_capacity: int = 20_000
    """Transitions each policy keeps; a multiple of num_envs * rollout_steps."""
    relabel_preferences: bool = False
    """Relabel half of the transitions with random preferences; of use only with preference_input."""
    preference_input: bool = False
    """Show actor and critics the preference, which here is always the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)


@dataclass(frozen=True)
class SeparateSAC(Agent):
    """Agent of one learner for each of ``num_policies`` preferences; errors as of :class:`GMORL`."""

    config: SeparateSACConfig
    task: Task

    def __post_init__(self) -> None:
        check_budget(self.config, self.task, self.updates, self.config.num_policies)
        _ = self.learner

    @property
    def notes(self) -> tuple[str, ...]:
        return (replay_note(self.learner, self.config.num_policies),)

    @property
    def updates(self) -> int:
        """Return the number of rollouts of each policy, each with its gradient steps."""
        return self.task.steps // (self.config.num_policies * self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (num_policies, R) preferences, equally spaced."""
        return spread(self.task.num_objectives, self.config.num_policies)

    @cached_property
    def learner(self) -> SAC:
        """Return the learner that all policies share."""
        return make_learner(self.config, self.task, self.updates)
