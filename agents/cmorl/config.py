"""Settings of C-MORL, and what a search may choose of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from morl.agents.ppo.config import SPACE as PPO_SPACE
from morl.agents.ppo.config import PoliciesConfig
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import check_integer, check_range


@dataclass(frozen=True)
class CMORLConfig(PoliciesConfig):
    """Settings of C-MORL; those of PPO hold for each of its policies."""

    RENAMED: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**PoliciesConfig.RENAMED, "keep": "constraint_beta", "radius": "max_kl"}
    )

    extension: Literal["ipo", "cpo", "none"] = "ipo"
    """Second stage: the interior-point method, constrained policy optimisation, or none."""
    extension_share: float = 0.4
    """Share of the steps that the second stage gets."""
    extension_updates: int = 20
    """Updates of a policy in a round."""
    constraint_beta: float = 0.9
    """Share β of each other objective's return that must be kept while one is raised."""
    variation_share: float = 0.0
    """Share of the steps that the last stage gets, in which changed episodes of archived policies are imitated (for
    environments in JAX)."""
    variation_children: int = 64
    """Changed episodes of a generation of that stage."""
    variation_first_episodes: int = 1
    """Episodes of a child; those that no archived policy dominates are imitated."""
    variation_episodes: int = 4
    """Episodes of a copy that has learnt them; it is archived by their mean. At least variation_first_episodes."""
    barrier: float = 20.0
    """Sharpness t of the interior-point method's barrier."""
    max_kl: float = 0.01
    """Largest Kullback-Leibler divergence of one step of constrained policy optimisation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "extension_updates", low=1)
        check_range(self, "extension_share", low=0, high=1, open_high=True)
        check_range(self, "constraint_beta", low=0, high=1)
        check_range(self, "variation_share", low=0, high=1, open_high=True)
        check_integer(self, "variation_children", low=1)
        check_integer(self, "variation_first_episodes", low=1)
        check_integer(self, "variation_episodes", low=self.variation_first_episodes)
        check_range(self, "barrier", low=0, open_low=True)
        check_range(self, "max_kl", low=0, open_low=True)


SPACE: Space = {
    **PPO_SPACE,
    "extension": Parameter(Choice(("ipo", "cpo", "none"))),
    "extension_share": Parameter(Real(0.2, 0.6), when={"extension": ("ipo", "cpo")}),
    "constraint_beta": Parameter(Real(0.7, 0.99), when={"extension": ("ipo", "cpo")}),
    "barrier": Parameter(log_real(2.0, 100.0), live=True, when={"extension": ("ipo",)}),
    "max_kl": Parameter(log_real(1e-3, 0.1), live=True, when={"extension": ("cpo",)}),
}
