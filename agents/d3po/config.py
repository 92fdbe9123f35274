"""Settings of D3PO, and what a search may choose of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from morl.agents.imitation.settings import STEPS, check_warm_start
from morl.agents.ppo.config import SPACE as PPO_SPACE
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.ops.preferences import check_concentration, concentrations
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import check_integer, check_range, check_scales


@dataclass(frozen=True)
class D3POConfig(PPOConfig):
    """Settings of D3PO; those of PPO hold for its one learner."""

    num_envs: int = 64
    """Environments that feed the policy, each for a preference of its own."""
    num_preferences: int = 101
    """Equally spread preferences that the one policy is evaluated for at the end: the rows of front.csv."""
    conditioning: Literal["concat", "film", "hypernetwork"] = "concat"
    """concat: the preference beside the observation; film: it scales and shifts hidden layers; hypernetwork: it makes
    all parameters, θ = W f(w) + b."""
    network: Literal["flat", "rows"] = "flat"
    """flat: an MLP of the observation; rows: the same weights for the features of each action, with the preference
    beside them, for environments with action_features and discrete actions."""
    prior_scale: float = 0.0
    """Factor β of the preference-weighted rewards of each action now, which network rows adds to the actor's logits,
    for environments whose observations tell them; the network's own part begins at 0. 0 leaves them out."""
    objective_scales: tuple[float, ...] | None = None
    """Factors of the rewards, one for all or one for each objective; by default from the running deviation of
    returns. The preference weighs rewards times these with normalise_advantages together."""
    embedding_size: int = 8
    """Numbers of the embedding f(w) of a preference, for film and hypernetwork."""
    normalise_advantages: Literal["each", "together"] = "each"
    """each: by the deviation of each objective's advantages, as published; together: all by one deviation, so that a
    preference weighs returns in preference_units."""
    diversity_coefficient: float = 0.01
    """Weight λ of the diversity term; 0 leaves it out."""
    diversity_scale: float = 1.0
    """Divergence α, in nats, that policies should have for each unit of ||w - w'||_1."""
    diversity_target: Literal["equal", "bound"] = "equal"
    """equal: policies that differ by more than α ||w - w'||_1 are drawn together, as published; bound: only those that
    differ by less are moved apart."""
    preference_concentration: tuple[float, ...] = (1.0,)
    """Concentration of the Dirichlet distribution that preferences of episodes are drawn from: one number, or one for
    each objective. 1 is uniform, less favours the corners."""
    corner_share: float = 0.1
    """Share of episodes whose preference is a corner of the simplex."""
    warm_start: Path | None = None
    """Run directory of cmorl or ppo on the same environment. Its archived policies act first, for each preference the
    best of them, and the network imitates them."""
    warm_start_steps: int = STEPS
    """Environment steps that they act for, a part of all steps; learning by reward goes on from there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_preferences", low=2)
        check_integer(self, "embedding_size", low=1)
        check_range(self, "diversity_coefficient", low=0)
        check_range(self, "prior_scale", low=0)
        check_scales(self.objective_scales)
        if self.network == "rows" and self.conditioning != "concat":
            raise UserError(f"network rows needs conditioning concat, not {self.conditioning}")
        if self.prior_scale and self.network != "rows":
            raise UserError("prior_scale needs network rows, which has a logit for the rewards of each action")
        if self.prior_scale and self.objective_scales is None:
            raise UserError("prior_scale weighs rewards times objective_scales; give them too")
        check_range(self, "diversity_scale", low=0)
        check_range(self, "corner_share", low=0, high=1)
        if self.aggregator in ("pama", "unanimous"):
            raise UserError(
                f"aggregator {self.aggregator} has one advantage for all objectives, which d3po weighs each for "
                "itself; allowed here: linear, advantage-mgda and those of gradients, such as mgda and upgrad"
            )
        check_concentration(self.preference_concentration)
        check_warm_start(self)
        if self.warm_start is not None and self.schedules:
            raise UserError(f"warm_start imitates, and {self.schedules[0]} weighs what is learnt by reward; give one")
        if self.preference_units == "raw" and self.normalise_advantages == "each":
            raise UserError("preference_units raw needs normalise_advantages together, as each weighs deviations")

    def concentration(self, num_objectives: int) -> tuple[float, ...]:
        """Return the concentration of each of R objectives.

        Raises:
            UserError: neither one number nor R.
        """
        return concentrations(self.preference_concentration, num_objectives)


SPACE: Space = {
    **{name: parameter for name, parameter in PPO_SPACE.items() if name != "num_policies"},
    "conditioning": Parameter(Choice(("concat", "film", "hypernetwork"))),
    "normalise_advantages": Parameter(Choice(("each", "together"))),
    "diversity_coefficient": Parameter(log_real(1e-4, 0.3), live=True),
    "diversity_scale": Parameter(log_real(0.1, 10.0), live=True),
    "diversity_target": Parameter(Choice(("equal", "bound"))),
    "corner_share": Parameter(Real(0.0, 0.4)),
}
