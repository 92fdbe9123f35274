"""Settings of separate soft actor-critics."""

from __future__ import annotations

from dataclasses import dataclass

from morl.agents.sac.config import SPACE as SAC_SPACE
from morl.agents.sac.config import SACConfig
from morl.search_space import Space
from morl.validation import check_integer


@dataclass(frozen=True)
class SeparateSACConfig(SACConfig):
    """Settings of separate soft actor-critics."""

    num_policies: int = 6
    """Policies trained side by side, each for one of as many preferences, equally spread over the simplex."""
    num_envs: int = 8
    """Environments that feed one policy."""
    replay_capacity: int = 20_000
    """Transitions stored for each policy; a multiple of num_envs * rollout_steps."""
    relabel_preferences: bool = False
    """Learn from half of each batch for random preferences; useful only with preference_input."""
    preference_input: bool = False
    """Show actor and critics the preference, which is the same in all steps of a policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)


SPACE: Space = SAC_SPACE
