"""The agent ``d3po``: one learner, whose policy takes any preference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.d3po.algorithm import D3PO
from morl.agents.d3po.config import D3POConfig
from morl.agents.imitation.d3po import imitating
from morl.agents.imitation.teacher import WarmStart, warm_start, warm_start_notes
from morl.agents.ppo.setup import OnPolicyAgent, make_learner, updates_within
from morl.types import Task


@dataclass(frozen=True)
class D3POAgent(OnPolicyAgent):
    """One D3PO learner, each of whose environments draws a preference for each episode.

    Raises:
        UserError: spaces PPO cannot work with, concentrations of another number of objectives, or fewer steps than one
            update takes.
    """

    config: D3POConfig
    task: Task

    def __post_init__(self) -> None:
        _ = self.updates
        _ = self.learner, self.warm_start  # checks spaces and steps

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        return warm_start_notes(self.config)

    @property
    def updates(self) -> int:
        """Return the updates of the learner."""
        return updates_within(self.config, self.task, 1)

    @property
    def update_bytes(self) -> int:
        """Return those of PPO, and of what the conditioning of hidden layers takes for each step."""
        c = self.config
        parts = {"concat": 0, "film": 4, "hypernetwork": c.embedding_size + 1}[c.conditioning]
        return super().update_bytes + 4 * c.num_envs * c.rollout_steps * parts * sum(c.hidden)

    @property
    def update_settings(self) -> tuple[str, ...]:
        more = ("embedding_size",) if self.config.conditioning == "hypernetwork" else ()
        return (*super().update_settings, *more)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return (1, B, R), the even one for each environment until its first episode draws another."""
        size = self.task.num_objectives
        return np.full((1, self.config.num_envs, size), 1 / size)

    @property
    def draw_preference(self) -> Callable[[jax.Array], jax.Array]:
        """Return a function of a key that draws the preference (R,) of an episode."""
        return self.learner.draw_preference

    @cached_property
    def learner(self) -> D3PO:
        """Return the one learner."""
        features = {"action_features": self.task.action_features, "action_rewards": self.task.action_rewards}
        return make_learner(D3PO, self.config, self.task, self.updates, **features)

    @property
    def warm_start(self) -> WarmStart | None:
        """Return the first part of the training, in which archived policies are imitated, if it is asked for."""
        return warm_start(self.config, self.task.steps, self.updates, partial(imitating, self.learner))
