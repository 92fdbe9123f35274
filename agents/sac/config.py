"""Settings of a soft actor-critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from morl.agents.sac.inputs import NetworkKind
from morl.errors import UserError
from morl.validation import check_integer, check_range

Scalarisation = Literal["linear", "tchebycheff"]


@dataclass(frozen=True)
class SACConfig:
    """Settings of one soft actor-critic."""

    RENAMED: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"polyak": "tau", "hindsight": "relabel_preferences", "warm_up": "learning_starts"}
    )

    num_envs: int = 64
    """Environments that feed one policy."""
    rollout_steps: int = 10
    """Steps of each environment before the next gradient steps."""
    gradient_steps: int = 16
    """Gradient steps after each rollout."""
    batch_size: int = 256
    """Transitions in a gradient step."""
    replay_capacity: int = 96_000
    """Transitions kept; a multiple of num_envs * rollout_steps."""
    learning_starts: int = 6_400
    """Stored transitions before the first gradient step."""
    learning_rate: float = 1e-3
    """Step size of each of the three Adam optimisers, of actor, critics and temperature."""
    anneal: bool = True
    """Let the learning rate fall linearly to zero over the run."""
    max_grad_norm: float = 10.0
    """Global norm that the gradient of each loss is clipped to."""
    train_gamma: float | None = None
    """Discount of the learner; by default the environment's own, at most 0.99."""
    n_step: int = 1
    """Rewards summed before the critic takes over, within a rollout and an episode. More carry rare rewards back
    faster, but what followed was done for the preference that was acted for, whatever one is learnt for."""
    tau: float = 0.005
    """Share of the critics that goes into their target networks after each gradient step."""
    temperature: float = 0.05
    """Weight α of the policy's entropy; where it is learnt, its first value."""
    learn_temperature: bool = False
    """Adapt the temperature to a target of entropy."""
    target_entropy: float = 0.3
    """Target of the entropy: of discrete actions, the share of the entropy of a uniform choice among the allowed ones;
    of continuous ones, the entropy of a uniform policy over that share of each axis' range."""
    scalarisation: Scalarisation = "linear"
    """Weighted sum of the objectives, or least weighted distance to the best values seen (Tchebycheff)."""
    relabel_preferences: bool = True
    """Relabel half of the transitions of a gradient step with random preferences, besides the one acted for."""
    objective_scales: tuple[float, ...] | None = None
    """Factors of the rewards before preferences weigh them; by default from their running deviation."""
    network: NetworkKind = "auto"
    """Kind of network. flat: an MLP; rows: the same weights for each action's features, where the environment has them;
    convolution: the published network of such features. The latter two are for discrete actions."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    channels: int = 64
    """Channels of the convolution network."""
    blocks: int = 2
    """Residual blocks of the convolution network."""
    mask_actions: bool = True
    """Never choose what the environment does not allow."""
    preference_input: bool = True
    """Show actor and critics the preference."""

    def __post_init__(self) -> None:
        whole = ("num_envs", "rollout_steps", "gradient_steps", "batch_size", "replay_capacity", "n_step", "channels")
        for name in whole:
            check_integer(self, name, low=1)
        check_integer(self, "blocks", low=0)
        check_integer(self, "learning_starts", low=0)
        for name in ("learning_rate", "max_grad_norm", "temperature"):
            check_range(self, name, low=0, open_low=True)
        check_range(self, "tau", low=0, high=1, open_low=True)
        check_range(self, "target_entropy", low=0, high=1, open_low=True, open_high=True)
        if self.train_gamma is not None:
            check_range(self, "train_gamma", low=0, high=1)
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"hidden must be one or more widths of at least 1, not {self.hidden}")
        if self.n_step > self.rollout_steps:
            raise UserError(f"n_step must be at most rollout_steps = {self.rollout_steps}, not {self.n_step}")
        rows = self.num_envs * self.rollout_steps
        if self.replay_capacity % rows:
            raise UserError(
                f"replay_capacity must be a multiple of num_envs * rollout_steps = {rows}, not {self.replay_capacity}"
            )
        if self.learning_starts > self.replay_capacity:
            raise UserError(
                f"learning_starts must be at most replay_capacity = {self.replay_capacity}, not {self.learning_starts}"
            )
        if self.objective_scales is not None and not all(0 < x < float("inf") for x in self.objective_scales):
            raise UserError(f"objective_scales must be greater than 0 and finite, not {self.objective_scales}")
