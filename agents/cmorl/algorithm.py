"""C-MORL (Liu et al., ICLR 2025): Pareto initialisation, then Pareto extension.

First one PPO learner per preference on the simplex, all trained in parallel. Then, in rounds, the least crowded
policies of the archive are extended along each objective under constraints on the others (:mod:`.extension`). Every
policy met at an evaluation is a candidate for the archive of non-dominated ones, which the core keeps and re-evaluates
at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.agents.cmorl.extension import Extension
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.ops.preferences import spread
from morl.search_space import Choice, Integer, Parameter, Real, Space, log_real
from morl.types import Task
from morl.validation import check_integer, check_range


@dataclass(frozen=True)
class CMORLConfig(PPOConfig):
    """Settings of C-MORL; those of PPO hold for each of its policies."""

    num_policies: int = 6
    """Policies trained in parallel: first each for one of as many preferences spread over the simplex."""
    min_weight: float = 0.0
    """Weight that each of these preferences gives every objective at least: above 0 none leaves an objective out."""
    extension: Literal["ipo", "cpo", "none"] = "ipo"
    """Second stage: the interior-point method, constrained policy optimisation, or none."""
    extension_share: float = 0.4
    """Share of the steps that the second stage gets."""
    extension_updates: int = 20
    """Updates of a policy in a round."""
    constraint_beta: float = 0.9
    """Share of each other objective's return that must be kept while one is raised, β."""
    barrier: float = 20.0
    """Sharpness of the interior-point method's barrier, t."""
    max_kl: float = 0.01
    """Largest Kullback-Leibler divergence of one step of constrained policy optimisation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)
        check_range(self, "min_weight", low=0, high=0.5, open_high=True)
        check_integer(self, "extension_updates", low=1)
        check_range(self, "extension_share", low=0, high=1, open_high=True)
        check_range(self, "constraint_beta", low=0, high=1)
        check_range(self, "barrier", low=0, open_low=True)
        check_range(self, "max_kl", low=0, open_low=True)


SPACE: Space = {
    "learning_rate": Parameter(log_real(1e-4, 1e-2), live=True),
    "entropy_coefficient": Parameter(log_real(1e-3, 0.2), live=True),
    "clip_eps": Parameter(Real(0.1, 0.4), live=True),
    "gae_lambda": Parameter(Real(0.8, 0.99), live=True),
    "value_coefficient": Parameter(log_real(0.1, 2.0), live=True),
    "max_grad_norm": Parameter(log_real(0.1, 5.0), live=True),
    "anneal": Parameter(Choice((False, True))),
    "epochs": Parameter(Choice((5, 10, 20))),
    "rollout_steps": Parameter(Choice((32, 64, 128))),  # each with any number of environments that minibatches divide
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
    "num_policies": Parameter(Integer(4, 10)),
    "extension": Parameter(Choice(("ipo", "cpo", "none"))),
    "extension_share": Parameter(Real(0.2, 0.6), when={"extension": ("ipo", "cpo")}),
    "constraint_beta": Parameter(Real(0.7, 0.99), when={"extension": ("ipo", "cpo")}),
    "barrier": Parameter(log_real(2.0, 100.0), live=True, when={"extension": ("ipo",)}),
    "max_kl": Parameter(log_real(1e-3, 0.1), live=True, when={"extension": ("cpo",)}),
}


@dataclass(frozen=True)
class CMORL:
    """Pareto initialisation by ``num_policies`` PPO learners, one preference each, and rounds of extension.

    Raises:
        UserError: spaces PPO cannot work with, fewer steps than one update of every policy takes, or a ``min_weight``
            that leaves nothing to choose.
    """

    config: CMORLConfig
    task: Task

    num_preferences = 0  # each policy has its own

    def __post_init__(self) -> None:
        if self.updates < 1:
            c = self.config
            raise UserError(
                f"steps must be at least {self._steps_per_update} (one update of {c.num_policies} policies x "
                f"{c.num_envs} environments x {c.rollout_steps} steps), not {self.task.steps}"
            )
        size = self.task.num_objectives
        if self.config.min_weight >= 1 / size:
            raise UserError(f"min_weight must be below 1/{size} with {size} objectives, not {self.config.min_weight}")
        _ = self.learner  # checks the spaces

    @property
    def _steps_per_update(self) -> int:
        return self.config.num_policies * self.config.num_envs * self.config.rollout_steps

    @property
    def _all_updates(self) -> int:
        return self.task.steps // self._steps_per_update

    @property
    def _rounds(self) -> int:
        if self.config.extension == "none":
            return 0
        return int(self._all_updates * self.config.extension_share) // self.config.extension_updates

    @property
    def updates(self) -> int:
        """Updates of each policy in the first stage: what the second one leaves."""
        return self._all_updates - self._rounds * self.config.extension_updates

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """(num_policies, R) preferences, equally spread over what ``min_weight`` leaves of the simplex."""
        size, least = self.task.num_objectives, self.config.min_weight
        return least + (1 - size * least) * spread(size, self.config.num_policies)

    @cached_property
    def learner(self) -> ConstrainedPPO:
        """The learner all policies share the code of, in both stages."""
        c, gamma = self.config, self.config.train_gamma
        ppo = PPO(
            config=c,
            observation_space=self.task.observation_space,
            action_space=self.task.action_space,
            gamma=min(self.task.gamma, 0.995) if gamma is None else gamma,
            total_updates=self._all_updates,
            action_mask=self.task.action_mask,
        )
        return ConstrainedPPO(
            ppo,
            self.task.gamma,
            "cpo" if c.extension == "cpo" else "ipo",
            c.barrier,
            c.max_kl,
            self.task.max_episode_steps,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the second stage was asked for and there is none."""
        c = self.config
        if c.extension == "none" or self._rounds:
            return ()
        share = int(self._all_updates * c.extension_share)
        return (
            f"no extension: {c.extension_share:g} of the {self._all_updates} updates of a policy are {share}, "
            f"fewer than the {c.extension_updates} of a round (extension_updates)",
        )

    @cached_property
    def extension(self) -> Extension | None:
        """The second stage; none where its share of the steps is too small for a round."""
        if self._rounds == 0:
            return None
        c = self.config
        return Extension(
            self.learner, self.task.num_objectives, c.num_policies, self._rounds, c.extension_updates, c.constraint_beta
        )
