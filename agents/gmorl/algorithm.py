"""GMORL (Yang et al., 2025, arXiv 2509.10474): one soft actor-critic for every preference and every system.

Each environment of the one learner is acted for a preference of its own, fixed and equally spaced over the simplex or
drawn anew for each episode. Each episode draws its system from the environment's contexts (domain randomisation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.agents.sac.setup import SPACE as SAC_SPACE
from morl.agents.sac.setup import check_budget, make_learner, replay_note
from morl.errors import unknown_name
from morl.ops.preferences import dirichlet, spread
from morl.search_space import Choice, Parameter, Space
from morl.types import Agent, Task
from morl.validation import check_integer

PreferenceDraws = Literal["fixed", "per_episode"]


@dataclass(frozen=True)
class GMORLConfig(SACConfig):
    """Settings of GMORL."""

    num_preferences: int = 101
    """Preferences, equally spaced, that the one policy is evaluated for at the end: what front.csv reports."""
    preference_draws: PreferenceDraws = "fixed"
    """Preferences acted for. fixed: one for each environment, equally spaced; per_episode: a random one for each
    episode, uniform on the simplex."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)
        if self.preference_draws not in get_args(PreferenceDraws):
            raise unknown_name("preference_draws", self.preference_draws, get_args(PreferenceDraws))


SPACE: Space = {**SAC_SPACE, "relabel_preferences": Parameter(Choice((False, True)))}


@dataclass(frozen=True)
class GMORL(Agent):
    """Agent of one learner, whose policy takes any preference.

    Raises:
        UserError: spaces the learner cannot work with, scales of another number of objectives, or fewer steps than one
            rollout takes.
    """

    config: GMORLConfig
    task: Task

    def __post_init__(self) -> None:
        check_budget(self.config, self.task, self.updates, 1)
        _ = self.learner  # checks the spaces

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def draw_preference(self) -> Callable[[jax.Array], jax.Array] | None:
        """Return the function that draws a preference for each episode, if so set."""
        return self._drawn if self.config.preference_draws == "per_episode" else None

    def _drawn(self, key: jax.Array) -> jax.Array:
        return dirichlet(key, self.task.num_objectives, 1)[0]

    @property
    def notes(self) -> tuple[str, ...]:
        return (replay_note(self.learner, 1),)

    @property
    def updates(self) -> int:
        """Return the number of rollouts, each with its gradient steps."""
        return self.task.steps // (self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (1, B, R) preferences, one for each environment, equally spaced."""
        return spread(self.task.num_objectives, self.config.num_envs)[None]

    @cached_property
    def learner(self) -> SAC:
        """Return the one learner."""
        return make_learner(self.config, self.task, self.updates)
