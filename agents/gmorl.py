"""GMORL (Yang et al., 2025, arXiv 2509.10474): one discrete soft actor-critic for every preference and every system.

Each environment of the one learner is acted for a preference of its own, equally spread over the simplex, and each
episode draws its system from the environment's contexts (domain randomisation). Beside it :class:`SeparateSAC`, one
learner for each preference: the reference that one policy for all is measured by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents import replay
from morl.agents.discrete_sac import DiscreteSAC
from morl.agents.sac_config import SACConfig
from morl.config import check_integer
from morl.domains import Choice, Parameter, Real, Space, log_real
from morl.errors import UserError
from morl.preferences import spread
from morl.types import Task

LONGEST_HORIZON = 0.99  # discount that a learner is given at most by default: bootstrapping on more learns slowly


@dataclass(frozen=True)
class GMORLConfig(SACConfig):
    """Settings of GMORL."""

    num_preferences: int = 101
    """Preferences, equally spread, that the one policy is evaluated for at the end: what front.csv reports."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)


@dataclass(frozen=True)
class SeparateSACConfig(SACConfig):
    """Settings of separate soft actor-critics."""

    num_policies: int = 6
    """Policies trained side by side, each for one of as many preferences spread over the simplex."""
    num_envs: int = 8
    """Environments that feed one policy."""
    replay_capacity: int = 20_000
    """Transitions each policy keeps; a multiple of num_envs * rollout_steps."""
    hindsight: bool = False
    """Learn from each transition also for random preferences; of use only with preference_input."""
    preference_input: bool = False
    """Show actor and critics the preference, which here is always the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)


SEPARATE_SPACE: Space = {
    "learning_rate": Parameter(log_real(1e-4, 5e-3), live=True),
    "polyak": Parameter(log_real(1e-3, 5e-2), live=True),
    "max_grad_norm": Parameter(log_real(1.0, 50.0), live=True),
    "temperature": Parameter(log_real(3e-3, 0.5)),  # of use only at the start, where it is learnt
    "learn_temperature": Parameter(Choice((False, True))),
    "target_entropy": Parameter(Real(0.05, 0.6), live=True, when={"learn_temperature": (True,)}),
    "anneal": Parameter(Choice((False, True))),
    "gradient_steps": Parameter(Choice((8, 16, 32))),
    "batch_size": Parameter(Choice((128, 256, 512))),
    "n_step": Parameter(Choice((1, 3, 5, 10))),
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
}
SPACE: Space = {**SEPARATE_SPACE, "hindsight": Parameter(Choice((False, True)))}


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
        _check(self.config, self.task, self.updates, 1)
        _ = self.learner  # checks the spaces

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        return (_memory(self.learner, self.task, 1),)

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
        return _learner(self.config, self.task, self.updates)


@dataclass(frozen=True)
class SeparateSAC:
    """One learner for each of ``num_policies`` preferences; errors as of :class:`GMORL`."""

    config: SeparateSACConfig
    task: Task

    extension = None
    num_preferences = 0  # each policy has its own

    def __post_init__(self) -> None:
        _check(self.config, self.task, self.updates, self.config.num_policies)
        _ = self.learner

    @property
    def notes(self) -> tuple[str, ...]:
        return (_memory(self.learner, self.task, self.config.num_policies),)

    @property
    def updates(self) -> int:
        """Rollouts of each policy, each with its gradient steps."""
        return self.task.steps // (self.config.num_policies * self.config.num_envs * self.config.rollout_steps)

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """(num_policies, R)."""
        return spread(self.task.num_objectives, self.config.num_policies)

    @cached_property
    def learner(self) -> DiscreteSAC:
        """The learner all policies share the code of."""
        return _learner(self.config, self.task, self.updates)


def _check(config: SACConfig, task: Task, updates: int, policies: int) -> None:
    if updates < 1:
        each = policies * config.num_envs * config.rollout_steps
        raise UserError(
            f"steps must be at least {each} (one rollout of {policies} x {config.num_envs} environments x "
            f"{config.rollout_steps} steps), not {task.steps}"
        )
    if updates * config.num_envs * config.rollout_steps <= config.warm_up:
        least = policies * (config.warm_up + config.num_envs * config.rollout_steps)
        raise UserError(f"steps must be at least {least} to learn anything after warm_up, not {task.steps}")
    scales = config.objective_scales
    if scales is not None and len(scales) != task.num_objectives:
        raise UserError(f"objective_scales must be {task.num_objectives} numbers, one an objective, not {len(scales)}")


def _learner(config: SACConfig, task: Task, updates: int) -> DiscreteSAC:
    gamma = config.train_gamma
    return DiscreteSAC(
        config=config,
        observation_space=task.observation_space,
        action_space=task.action_space,
        gamma=min(task.gamma, LONGEST_HORIZON) if gamma is None else gamma,
        total_updates=updates,
        action_mask=task.action_mask,
        action_features=task.action_features,
    )


def _memory(learner: DiscreteSAC, task: Task, policies: int) -> str:
    capacity = learner.config.replay_capacity
    size = policies * replay.size_in_bytes(capacity, learner.row(task.num_objectives))
    whose = "" if policies == 1 else f" for each of {policies} policies"
    return f"replay of {capacity:,} transitions{whose}: {size:,} bytes a seed"
