"""The agent ``ppo``: several PPO learners side by side, each for one fixed preference, and no second stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.agents.ppo.aggregation import WITHOUT_PREFERENCE, AggregatingPPO
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PoliciesConfig, PPOAgentConfig
from morl.agents.ppo.schedules import ScheduledPPO
from morl.agents.ppo.setup import OnPolicyAgent, make_learner, updates_within
from morl.agents.ppo.utility import EpisodeUtility, ExpectedReturnUtility, load_utility
from morl.envs.accrued import AccruedSpace
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.ops.utilities.named import Utility
from morl.types import Task


@dataclass(frozen=True)
class PolicyPerPreference(OnPolicyAgent):
    """``num_policies`` PPO learners, one preference each, that share the steps of the task.

    Raises:
        UserError: spaces PPO cannot work with, fewer steps than one update of every policy takes, or a ``min_weight``
            that leaves no choice of preferences.
    """

    config: PoliciesConfig
    task: Task

    def __post_init__(self) -> None:
        _ = self.total_updates
        fixed_preferences(self.config, self.task.num_objectives)
        _ = self.learner  # checks the spaces

    @property
    def total_updates(self) -> int:
        """Return the updates of each policy that the steps of the task allow."""
        return updates_within(self.config, self.task, self.config.num_policies)

    @property
    def updates(self) -> int:
        """Return the updates of each policy."""
        return self.total_updates

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Return the (num_policies, R) preferences."""
        return fixed_preferences(self.config, self.task.num_objectives)

    @cached_property
    def learner(self) -> PPO:
        """Return the learner, whose code all policies share."""
        kind: type[PPO] = PPO if self.config.aggregator == "linear" else AggregatingPPO
        kind = ScheduledPPO if self.config.schedules else kind
        return make_learner(kind, self.config, self.task, self.total_updates)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a message if the preferences do not tell the policies apart."""
        c = self.config
        if c.aggregator not in WITHOUT_PREFERENCE:
            return ()
        return (f"{c.aggregator} knows no preference: the {c.num_policies} policies differ by their start alone",)


@dataclass(frozen=True)
class PPOAgent(PolicyPerPreference):
    """The agent ``ppo``: policies for weighted sums, or for a utility of the returns with the preferences as weights.

    Raises:
        UserError: as above, or a utility that does not fit the objectives.
    """

    config: PPOAgentConfig

    @cached_property
    def utility(self) -> Utility:
        """Return the utility."""
        c = self.config
        return load_utility(
            c.utility,
            self.task.num_objectives,
            point=c.utility_point,
            widths=c.utility_widths,
            power=c.utility_power,
            smoothness=c.utility_smoothness,
        )

    @cached_property
    def learner(self) -> Any:
        """Return the learner, whose code all policies share."""
        c = self.config
        if c.weighs_linearly:
            return super().learner
        if c.criterion == "ser":
            ppo = make_learner(PPO, c, self.task, self.total_updates)
            return ExpectedReturnUtility(ppo, self.task.gamma, self.utility)
        if not isinstance(self.task.observation_space, AccruedSpace):
            raise UserError("criterion esr needs an environment in JAX, which is made to show the accrued return")
        c = replace(c, train_gamma=1.0)  # the discount is inside the return that u takes
        return replace(make_learner(EpisodeUtility, c, self.task, self.total_updates), utility=self.utility)


def fixed_preferences(config: PoliciesConfig, num_objectives: int) -> NDArray[np.float64]:
    """Return (num_policies, R) preferences, equally spread over what ``min_weight`` leaves of the simplex.

    Raises:
        UserError: a ``min_weight`` that leaves nothing.
    """
    least = config.min_weight
    if least >= 1 / num_objectives:
        raise UserError(f"min_weight must be below 1/{num_objectives} with {num_objectives} objectives, not {least}")
    return least + (1 - num_objectives * least) * equally_spaced_weights(num_objectives, config.num_policies)
