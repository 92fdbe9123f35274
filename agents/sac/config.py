"""Settings of a soft actor-critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from morl.errors import UserError
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import LARGEST, check_integer, check_range, check_widths, convert_fields

NetworkKind = Literal["auto", "flat", "rows", "convolution"]
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
    """Transitions stored; a multiple of num_envs * rollout_steps."""
    learning_starts: int = 6_400
    """Transitions stored before the first gradient step."""
    learning_rate: float = 1e-3
    """Step size of Adam, of actor, critics and temperature."""
    anneal: bool = True
    """Let the learning rate fall linearly to zero over the run."""
    max_grad_norm: float = 10.0
    """Norm that the gradient of each loss (actor, critics, temperature) is clipped to."""
    train_gamma: float | None = None
    """Discount of the learner; by default the environment's own, at most 0.99."""
    n_step: int = 1
    """Rewards summed before the critic's value, within a rollout and an episode. More carry rare rewards back faster,
    but the later actions were taken for the acting preference, whatever preference is learnt for."""
    tau: float = 0.005
    """Step size of the target networks towards the critics, after each gradient step."""
    temperature: float = 0.05
    """Weight α of the policy's entropy; with learn_temperature its first value."""
    learn_temperature: bool = False
    """Adapt the temperature to a target entropy."""
    target_entropy: float = 0.3
    """Target entropy. Discrete: share of the entropy of uniformly random allowed actions. Continuous: entropy of
    uniformly random actions from this share of each number's range."""
    scalarisation: Scalarisation = "linear"
    """Weighted sum of the objectives, or least weighted distance to the best values seen (Tchebycheff)."""
    relabel_preferences: bool = True
    """Learn from half of each batch for random preferences instead of those that the actions were taken for."""
    objective_scales: tuple[float, ...] | None = None
    """Factors of the rewards before preferences weigh them; by default from their running deviation."""
    network: NetworkKind = "auto"
    """flat: an MLP; rows: the same weights for the features of each action, for environments that have them;
    convolution: the published network of such features. Continuous actions: flat only."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    channels: int = 64
    """Channels of the convolution network."""
    blocks: int = 2
    """Residual blocks of the convolution network."""
    mask_actions: bool = True
    """Give forbidden actions no probability; discrete actions only."""
    preference_input: bool = True
    """Show actor and critics the preference."""

    def __post_init__(self) -> None:
        convert_fields(self)
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
        check_widths(self, "hidden")
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
        if self.objective_scales is not None and not all(0 < x <= LARGEST for x in self.objective_scales):
            raise UserError(f"objective_scales must be greater than 0 and finite, not {self.objective_scales}")


SPACE: Space = {
    "learning_rate": Parameter(log_real(1e-4, 5e-3), live=True),
    "tau": Parameter(log_real(1e-3, 5e-2), live=True),
    "max_grad_norm": Parameter(log_real(1.0, 50.0), live=True),
    "temperature": Parameter(log_real(3e-3, 0.5)),  # the first one only with learn_temperature
    "learn_temperature": Parameter(Choice((False, True))),
    "target_entropy": Parameter(Real(0.05, 0.6), live=True, when={"learn_temperature": (True,)}),
    "anneal": Parameter(Choice((False, True))),
    "gradient_steps": Parameter(Choice((8, 16, 32))),
    "batch_size": Parameter(Choice((128, 256, 512))),
    "n_step": Parameter(Choice((1, 3, 5, 10))),
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
}
