"""C-MORL (Liu et al., ICLR 2025, arXiv 2410.02236): Pareto initialisation, then Pareto extension.

1. One PPO learner for each preference on the simplex, all trained in parallel (:mod:`morl.agents.ppo`).
2. In rounds, policies of the archive are extended along each objective under constraints on the others:
   :mod:`.extension` selects them, :mod:`.constrained` trains them.

3. Where it is asked for, changed episodes of archived policies are imitated (:mod:`.variation`, not in the paper).

Every policy met at an evaluation is a candidate for the archive of non-dominated ones, which the core keeps and
re-evaluates at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from morl.agents.cmorl.config import CMORLConfig
from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.agents.cmorl.extension import Extension
from morl.agents.cmorl.variation import Variation
from morl.agents.ppo.agent import PolicyPerPreference
from morl.agents.ppo.setup import updates_within


@dataclass(frozen=True)
class CMORL(PolicyPerPreference):
    """Pareto initialisation by ``num_policies`` PPO learners, one preference each, and rounds of extension.

    Raises:
        UserError: spaces PPO cannot work with, fewer steps than one update of every policy takes, or a ``min_weight``
            that leaves no choice of preferences.
    """

    config: CMORLConfig

    @property
    def total_updates(self) -> int:
        """Return the updates of each policy in both stages of learning."""
        learning = replace(self.task, steps=self.task.steps - self._variation_steps)
        return updates_within(self.config, learning, self.config.num_policies)

    @property
    def _variation_steps(self) -> int:
        return int(self.task.steps * self.config.variation_share)

    @property
    def variation(self) -> Variation | None:
        """Return the last stage, or None if it is not asked for."""
        c = self.config
        if not self._variation_steps:
            return None
        return Variation(
            learner=self.learner,
            steps=self._variation_steps,
            children=c.variation_children,
            first_episodes=c.variation_first_episodes,
            episodes=c.variation_episodes,
        )

    @property
    def _rounds(self) -> int:
        if self.config.extension == "none":
            return 0
        return int(self.total_updates * self.config.extension_share) // self.config.extension_updates

    @property
    def updates(self) -> int:
        """Return the updates of each policy in the first stage: all but those of the second one."""
        return self.total_updates - self._rounds * self.config.extension_updates

    @property
    def update_bytes(self) -> int:
        """Return those of PPO; the second stage takes them twice, for the policies before and after."""
        return super().update_bytes * (1 if self.extension is None else 2)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return those of PPO, and a message if the second stage was asked for and has too few updates."""
        c = self.config
        if c.extension == "none" or self._rounds:
            return super().notes
        share = int(self.total_updates * c.extension_share)
        return (
            *super().notes,
            f"no extension: {c.extension_share:g} of the {self.total_updates} updates of a policy are {share}, "
            f"fewer than the {c.extension_updates} of a round (extension_updates)",
        )

    @cached_property
    def extension(self) -> Extension | None:
        """Return the second stage, or None if its share of the steps is too small for a round."""
        c = self.config
        if c.extension == "none" or self._rounds == 0:
            return None
        return Extension(
            learner=ConstrainedPPO(
                ppo=self.learner,
                gamma=self.task.gamma,
                method=c.extension,
                barrier=c.barrier,
                max_kl=c.max_kl,
                limit=self.task.max_episode_steps,
            ),
            num_learners=c.num_policies,
            rounds=self._rounds,
            updates=c.extension_updates,
            constraint_beta=c.constraint_beta,
        )
