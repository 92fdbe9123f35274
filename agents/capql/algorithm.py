"""CAPQL (Lu et al., 2023, ICLR): concave-augmented Pareto Q-learning, one soft actor-critic for every preference.

The reward of each objective has the entropy term -α log π(a|s, w) added. That makes the scalarised return strictly
concave in the policy, so its optimum is unique and continuous in the preference w, and one network can represent the
optima of all of them. Each episode acts for a preference of its own. The learner, with the losses and all that CAPQL
may be combined with, is :class:`morl.agents.sac.algorithm.SAC`; the publication's settings are the preset ``paper``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.capql.config import CAPQLConfig
from morl.agents.imitation.sac import imitating
from morl.agents.imitation.teacher import WarmStart, warm_start, warm_start_notes
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.setup import SACAgent, check_budget, make_learner, replay_note, update_note
from morl.ops.preferences import concentrations, dirichlet_and_corners
from morl.types import Task


@dataclass(frozen=True)
class CAPQL(SACAgent):
    """One learner, each of whose environments draws a preference for each episode.

    Raises:
        UserError: spaces the learner cannot work with, scales or concentrations of another number of objectives, or
            fewer steps than one gradient step takes.
    """

    config: CAPQLConfig
    task: Task

    def __post_init__(self) -> None:
        check_budget(self.config, self.task, self.updates, 1)
        _ = self.learner, self.draw_preference, self.warm_start  # checks spaces, concentrations and steps

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        return replay_note(self.learner, 1), update_note(self.learner), *warm_start_notes(self.config)

    @property
    def updates(self) -> int:
        """Return the number of rollouts, each with its gradient steps."""
        return self.task.steps // (self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (1, B, R), the even one for each environment until its first episode draws another."""
        size = self.task.num_objectives
        return np.full((1, self.config.num_envs, size), 1 / size)

    @cached_property
    def draw_preference(self) -> Callable[[jax.Array], jax.Array]:
        """Return a function of a key that draws the preference (R,) of an episode."""
        c = self.config
        concentration = concentrations(c.preference_concentration, self.task.num_objectives)
        return partial(dirichlet_and_corners, concentration=concentration, corner_share=c.corner_share)

    @cached_property
    def learner(self) -> SAC:
        """Return the one learner."""
        return make_learner(self.config, self.task, self.updates)

    @property
    def warm_start(self) -> WarmStart | None:
        """Return the first part of the training, in which archived policies are imitated, if it is asked for."""
        c = self.config
        return warm_start(c, self.task.steps, self.updates, partial(imitating, self.learner), c.learning_starts)
