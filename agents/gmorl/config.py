"""Settings of GMORL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from morl.agents.sac.config import SPACE as SAC_SPACE
from morl.agents.sac.config import SACConfig
from morl.search_space import Choice, Parameter, Space
from morl.validation import check_integer


@dataclass(frozen=True)
class GMORLConfig(SACConfig):
    """Settings of GMORL."""

    num_preferences: int = 101
    """Equally spread preferences that the one policy is evaluated for at the end: the rows of front.csv."""
    preference_draws: Literal["lanes", "episodes"] = "lanes"
    """lanes: each environment acts for a fixed preference, equally spread; episodes: each episode draws one, uniformly
    from the simplex."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)


SPACE: Space = {**SAC_SPACE, "relabel_preferences": Parameter(Choice((False, True)))}
