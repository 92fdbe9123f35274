"""GMORL (Yang et al., 2025, arXiv 2509.10474): one soft actor-critic for every preference and every system.

Each environment of the one learner acts for a preference of its own, and each episode draws its system from the
environment's contexts (domain randomisation). The publication is for discrete actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.gmorl.config import GMORLConfig
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.setup import SACAgent, check_budget, make_learner, replay_note
from morl.ops.preferences import dirichlet, equally_spaced_weights
from morl.types import Task


@dataclass(frozen=True)
class GMORL(SACAgent):
    """One learner, whose policy takes any preference.

    Raises:
        UserError: spaces the learner cannot work with, scales of another number of objectives, or fewer steps than one
            gradient step takes.
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
    def notes(self) -> tuple[str, ...]:
        return (replay_note(self.learner, 1),)

    @property
    def updates(self) -> int:
        """Return the number of rollouts, each with its gradient steps."""
        return self.task.steps // (self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (1, B, R), one for each environment."""
        return equally_spaced_weights(self.task.num_objectives, self.config.num_envs)[None]

    @cached_property
    def draw_preference(self) -> Callable[[jax.Array], jax.Array] | None:
        """Return a function of a key that draws the preference (R,) of an episode; None for fixed preferences."""
        if self.config.preference_draws == "lanes":
            return None
        num_objectives = self.task.num_objectives
        return lambda key: dirichlet(key, num_objectives, 1)[0]

    @cached_property
    def learner(self) -> SAC:
        """Return the one learner."""
        return make_learner(self.config, self.task, self.updates)
