"""Settings of a PPO learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from morl.errors import UserError, unknown_name
from morl.validation import check_integer, check_range


@dataclass(frozen=True)
class PPOConfig:
    """Settings of one PPO learner."""

    num_envs: int = 16
    """Environments that feed one policy."""
    rollout_steps: int = 64
    """Steps of each environment before an update."""
    epochs: int = 10
    """Passes over the rollout in one update."""
    minibatches: int = 8
    """Parts a rollout is split into; has to divide num_envs * rollout_steps."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    anneal: bool = False
    """Let the learning rate fall linearly to zero over the run; a learner of a second stage begins at the whole."""
    train_gamma: float | None = None
    """Discount of the learner; by default the environment's own, at most 0.995."""
    gae_lambda: float = 0.95
    """Trace decay of the advantage estimate."""
    clip_eps: float = 0.2
    """How far the policy's likelihood ratio may move in one update."""
    target_kl: float | None = None
    """Divergence that an update may move the policy by: where it would be more, the actor's steps are made smaller."""
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
    """What a learner's preference weighs: scaled objectives, or as published, raw ones (the critic's stay scaled)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    """Activation of the hidden layers."""

    def __post_init__(self) -> None:
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
        if self.preference_units not in ("scaled", "raw"):
            raise unknown_name("preference_units", self.preference_units, ("scaled", "raw"))
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"hidden must be one or more widths of at least 1, not {self.hidden}")
        if (self.num_envs * self.rollout_steps) % self.minibatches:
            raise UserError(
                f"minibatches must divide num_envs * rollout_steps = {self.num_envs * self.rollout_steps}, "
                f"not {self.minibatches}"
            )
