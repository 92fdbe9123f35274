"""Settings of PPO learners, of the agent that is made of them, and what a search may choose."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from morl.errors import UserError
from morl.ops.utilities.names import check_name as check_utility_name
from morl.search_space import Choice, Integer, Parameter, Real, Space, log_real
from morl.validation import check_integer, check_range, check_widths, convert_fields

Aggregator = Literal[
    "linear",
    "mgda",
    "mgda-normalised",
    "pcgrad",
    "cagrad",
    "nash-mtl",
    "fairgrad",
    "imtl-g",
    "aligned-mtl",
    "upgrad",
    "dualproj",
    "pama",
    "unanimous",
    "advantage-mgda",
]
LEAST_ENTROPY = 0.01
"""Least coefficient of the entropy bonus with the aggregator pama, which only ever makes actions more likely."""


@dataclass(frozen=True)
class PPOConfig:
    """Settings of one PPO learner."""

    RENAMED: ClassVar[Mapping[str, str]] = MappingProxyType({"clip": "clip_eps"})  # old name to new

    num_envs: int = 16
    """Environments that feed one policy."""
    rollout_steps: int = 64
    """Steps of each environment before an update."""
    epochs: int = 10
    """Passes over the rollout in one update."""
    minibatches: int = 8
    """Parts a rollout is split into; has to divide num_envs * rollout_steps."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    anneal: bool = False
    """Let the learning rate fall linearly to zero over the run; learners of a second stage begin at the full rate."""
    train_gamma: float | None = None
    """Discount of the learner; by default the environment's own, at most 0.995."""
    gae_lambda: float = 0.95
    """Decay λ of the advantage estimate."""
    clip_eps: float = 0.2
    """Largest change of an action's probability ratio from 1 that the clipped surrogate rewards in one update."""
    target_kl: float | None = None
    """Divergence one update may move the policy by; beyond it the actor's steps are scaled down (kl_step_scale)."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss."""
    entropy_coefficient: float = 0.03
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """Global norm that gradients are clipped to."""
    normalise_observations: bool = True
    """Scale observations by their running mean and deviation (kept for evaluation); one-hot ones stay as they are."""
    normalise_rewards: bool = True
    """Scale each objective by the running deviation of its discounted return."""
    preference_units: Literal["scaled", "raw"] = "scaled"
    """Units that a preference weighs in training: scaled objectives, or as published, raw ones (the critic's stay
    scaled)."""
    aggregator: Aggregator = "linear"
    """How the objectives' gradients become one direction: weighed by the preference (linear), or by weights that are
    found at each update from the gradients or the advantages themselves."""
    cagrad_radius: float = 0.4
    """Radius c within which cagrad looks for a better direction, in lengths of the linear one."""
    fairgrad_alpha: float = 2.0
    """Fairness α of fairgrad: 1 is the Nash bargaining solution, large ones raise the smallest gain."""
    weight_schedule: Literal["none", "hypervolume", "gradient"] = "none"
    """hypervolume: at each evaluation the actor's steps are made the longer, the more a policy adds to the hypervolume
    reached so far; gradient: at each update weights move towards objectives whose gradients agree with all."""
    hypervolume_gain: float = 1.0
    """Factor of a policy's relative gain of hypervolume x in the length of its steps, 0.5 + 1.5 tanh(gain x)."""
    weight_rate: float = 0.1
    """Rate of the gradient schedule; of published constants η / μ."""
    weight_normalise: bool = True
    """Let each objective's gradient have length 1 in the gradient schedule; else the longest one wins, as published."""
    weight_pull: float = 0.1
    """Share by which the gradient schedule draws weights back to the preference at each update; 0 as published."""
    weight_floor: float = 0.01
    """Least weight of an objective in the gradient schedule; 0 as published."""
    pareto_selection: Literal["none", "hard", "soft"] = "none"
    """Learn from episodes that no other one of the rollout dominates (hard), or from each the less, the more others
    dominate it (soft)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    encoder: Literal["auto", "flat", "nature"] = "auto"
    """nature: the convolutions of Mnih et al. (2015) in front of the hidden layers, for images; flat: none; auto:
    nature for images of uint8."""
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    """Activation of the hidden layers."""

    def __post_init__(self) -> None:
        convert_fields(self)
        for name in ("num_envs", "rollout_steps", "epochs", "minibatches"):
            check_integer(self, name, low=1)
        for name in ("learning_rate", "clip_eps", "max_grad_norm"):
            check_range(self, name, low=0, open_low=True)
        for name in ("value_coefficient", "entropy_coefficient"):
            check_range(self, name, low=0)
        if self.target_kl is not None:
            check_range(self, "target_kl", low=0, open_low=True)
        check_range(self, "gae_lambda", low=0, high=1)
        if self.train_gamma is not None:
            check_range(self, "train_gamma", low=0, high=1)
        check_range(self, "cagrad_radius", low=0, high=1, open_high=True)
        check_range(self, "fairgrad_alpha", low=0.1, high=20)
        if self.aggregator == "pama" and self.entropy_coefficient < LEAST_ENTROPY:
            raise UserError(
                f"aggregator pama needs an entropy_coefficient of at least {LEAST_ENTROPY}, not "
                f"{self.entropy_coefficient}: it only ever makes actions more likely"
            )
        self._check_schedules()
        check_widths(self, "hidden")
        if (self.num_envs * self.rollout_steps) % self.minibatches:
            raise UserError(
                f"minibatches must divide num_envs * rollout_steps = {self.num_envs * self.rollout_steps}, "
                f"not {self.minibatches}"
            )

    def _check_schedules(self) -> None:
        check_range(self, "hypervolume_gain", low=0, open_low=True)
        check_range(self, "weight_rate", low=0)
        check_range(self, "weight_pull", low=0, high=1)
        check_range(self, "weight_floor", low=0, high=0.5, open_high=True)
        if self.aggregator != "linear" and self.schedules:
            raise UserError(f"aggregator and {self.schedules[0]} both decide what is learnt from; give one of them")
        if self.target_kl is not None and self.weight_schedule == "hypervolume":
            raise UserError(
                "target_kl and weight_schedule hypervolume both set the length of the steps; give one of them"
            )

    @property
    def schedules(self) -> tuple[str, ...]:
        """Return the names of the settings, of a schedule or a selection, that are in use."""
        return tuple(name for name in ("weight_schedule", "pareto_selection") if getattr(self, name) != "none")


@dataclass(frozen=True)
class PoliciesConfig(PPOConfig):
    """Settings of several PPO learners, one preference each; those of PPO hold for each of them."""

    num_policies: int = 6
    """Policies trained in parallel, one for each of as many preferences, equally spread over the simplex."""
    min_weight: float = 0.0
    """Least weight of every objective in these preferences; above 0 none leaves an objective out."""
    weight_start: Literal["preference", "uniform"] = "preference"
    """Weights that the gradient schedule starts from; uniform as published."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "num_policies", low=2)
        check_range(self, "min_weight", low=0, high=0.5, open_high=True)


@dataclass(frozen=True)
class PPOAgentConfig(PoliciesConfig):
    """Settings of the agent ``ppo``: those of several PPO learners, and the utility they maximise."""

    utility: str = "linear"
    """Utility of the vector return that policies maximise, with their preferences as its weights: linear, tchebycheff,
    smooth-tchebycheff, achievement, nash-welfare, p-mean, alpha-fair, gini, max-min, lexicographic, or module:function
    for one of your own, a function of returns (R,) in JAX."""
    criterion: Literal["ser", "esr"] = "ser"
    """ser: the utility of the expected return; esr: the expected utility of the return of an episode."""
    utility_point: tuple[float, ...] = ()
    """Point that returns are compared with, one number an objective: the utopia of tchebycheff, the aspiration of
    achievement, the point of disagreement of nash-welfare, p-mean and alpha-fair, the thresholds of lexicographic."""
    utility_widths: tuple[float, ...] = ()
    """Lengths that each return is measured in by the utility; by default 1."""
    utility_power: float = 1.0
    """Power p of p-mean, at most 1, or α of alpha-fair."""
    utility_smoothness: float = 0.1
    """Smoothness μ of smooth-tchebycheff, in widths; towards 0 it becomes tchebycheff."""

    def __post_init__(self) -> None:
        if callable(self.utility):
            object.__setattr__(self, "utility", name_of(self.utility))
        super().__post_init__()
        check_utility_name(self.utility)
        check_range(self, "utility_power", low=-50, high=50)
        check_range(self, "utility_smoothness", low=1e-3, high=1e3)
        if self.aggregator != "linear" and not self.weighs_linearly:
            raise UserError("aggregator and utility both weigh the objectives; give one of them")
        if self.schedules and not self.weighs_linearly:
            raise UserError(f"utility and {self.schedules[0]} both decide what is learnt from; give one of them")

    @property
    def weighs_linearly(self) -> bool:
        """Return whether policies maximise a weighted sum of the expected returns."""
        return self.utility == "linear" and self.criterion == "ser"

    @property
    def sees_accrued_return(self) -> bool:
        """Return whether policies see the return accrued so far, for which the environment is wrapped."""
        return self.criterion == "esr"


def name_of(function: Any) -> str:
    """Return ``module:function`` for a function, so that a run directory can name it.

    Raises:
        UserError: it cannot be imported by such a name.
    """
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    found = sys.modules.get(name.partition(":")[0])
    if getattr(found, name.partition(":")[2], None) is not function:
        raise UserError(f"utility {function!r} must be a function of a module, to be named module:function")
    return name


SPACE: Space = {
    "learning_rate": Parameter(log_real(1e-4, 1e-2), live=True),
    "entropy_coefficient": Parameter(log_real(1e-3, 0.2), live=True),
    "clip_eps": Parameter(Real(0.1, 0.4), live=True),
    "gae_lambda": Parameter(Real(0.8, 0.99), live=True),
    "value_coefficient": Parameter(log_real(0.1, 2.0), live=True),
    "max_grad_norm": Parameter(log_real(0.1, 5.0), live=True),
    "anneal": Parameter(Choice((False, True))),
    "epochs": Parameter(Choice((5, 10, 20))),
    "rollout_steps": Parameter(Choice((32, 64, 128))),  # minibatches divide each, whatever the number of environments
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
    "num_policies": Parameter(Integer(4, 10)),
    # where the schedule is chosen, or searched: --space 'weight_schedule={choice: [none, hypervolume, gradient]}'
    "hypervolume_gain": Parameter(log_real(0.3, 30.0), when={"weight_schedule": ("hypervolume",)}),
    "weight_rate": Parameter(log_real(1e-3, 1.0), live=True, when={"weight_schedule": ("gradient",)}),
    "weight_normalise": Parameter(Choice((True, False)), when={"weight_schedule": ("gradient",)}),
    "weight_pull": Parameter(Real(0.0, 0.5), live=True, when={"weight_schedule": ("gradient",)}),
}
