"""Settings of GPI-LS, and what a search may choose of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from morl.errors import UserError
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import LARGEST, check_integer, check_range, check_widths, convert_fields


@dataclass(frozen=True)
class GPILSConfig:
    """Settings of GPI-LS; discrete actions are learnt as by DQN, continuous ones as by TD3."""

    num_envs: int = 8
    """Environments that feed the policy, each for one of the corner weights."""
    rollout_steps: int = 16
    """Steps of each environment before the next gradient steps."""
    gradient_steps: int = 64
    """Gradient steps of the critics after each rollout."""
    batch_size: int = 64
    """Transitions in a gradient step; each is learnt from for two preferences."""
    replay_capacity: int = 128_000
    """Transitions stored; a multiple of num_envs * rollout_steps."""
    learning_starts: int = 1_024
    """Transitions stored, by random actions, before the first gradient step."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    anneal: bool = True
    """Let the learning rate fall linearly to zero over the run."""
    max_grad_norm: float = 10.0
    """Norm that the gradient of each loss (critics, actor) is clipped to."""
    train_gamma: float | None = None
    """Discount of the learner; by default the environment's own, at most 0.99."""
    n_step: int = 1
    """Rewards summed before the critic's value, within a rollout and an episode."""
    num_critics: int = 2
    """Critics; of two, the one whose value is worth less to the preference is the target."""
    double_q: bool = True
    """Discrete actions: the critics choose the next action, and their targets value it (van Hasselt et al., 2016)."""
    tau: float = 0.02
    """Step size of the target networks."""
    target_interval: int = 1
    """Gradient steps from one move of the target networks to the next."""
    huber_delta: float | None = 1.0
    """Error, in scaled units, from which on the critics' loss is linear; none for squared errors."""
    prioritised: bool = True
    """Draw transitions in proportion to |w·δ|, the error that is worth the most; else uniformly."""
    priority_exponent: float = 0.6
    """Power of |w·δ|; 0 is uniform."""
    least_priority: float = 0.01
    """Least |w·δ| that a priority is made of."""
    importance_exponent: float = 0.0
    """Share of the draw that weights of the loss correct, from 0 (as published) to 1."""
    initial_exploration: float = 1.0
    """Discrete actions: share of random actions when learning starts."""
    final_exploration: float = 0.05
    """Discrete actions: share of random actions after exploration_steps."""
    exploration_steps: int = 50_000
    """Environment steps over which the share falls."""
    action_noise: float = 0.2
    """Continuous actions: standard deviation of the exploration, and of the noise of the targets' actions, in half
    ranges of each number."""
    noise_clip: float = 0.5
    """Continuous actions: largest noise of the targets' actions."""
    policy_delay: int = 2
    """Continuous actions: gradient steps of the critics for one of the policy."""
    gpi: bool = True
    """Act by generalised policy improvement over the corner weights while training."""
    gpi_evaluation: bool = True
    """Act by it in evaluations and afterwards."""
    max_support: int = 16
    """Preferences that generalised policy improvement is over, beside the one acted for."""
    new_corners: int = 4
    """Corner weights of the largest possible improvement that are trained for next."""
    rotation_steps: int = 1_000
    """Environment steps after which the environments take the next of the corner weights."""
    simplex_share: float = 0.25
    """Share of the relabelled transitions that are learnt from for preferences drawn uniformly, not for corner
    weights."""
    preference_units: Literal["scaled", "raw"] = "raw"
    """raw: a preference weighs returns in the environment's units; scaled: times objective_scales."""
    objective_scales: tuple[float, ...] | None = None
    """Factors of the rewards inside the critics; by default from their running deviation."""
    conditioning: Literal["product", "concat"] = "concat"
    """product: embeddings of observation and preference are multiplied, which needs wide layers; concat: both are
    inputs side by side."""
    layer_norm: bool = True
    """Normalise the hidden layers of the critics behind the first."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers; the first is that of the embeddings."""
    mask_actions: bool = True
    """Never take forbidden actions; discrete actions only."""
    num_preferences: int = 101
    """Equally spread preferences that the one policy is evaluated for at the end: the rows of front.csv."""

    def __post_init__(self) -> None:
        convert_fields(self)
        whole = (
            "num_envs",
            "rollout_steps",
            "gradient_steps",
            "batch_size",
            "replay_capacity",
            "n_step",
            "max_support",
        )
        for name in (*whole, "target_interval", "policy_delay", "new_corners", "rotation_steps"):
            check_integer(self, name, low=1)
        check_integer(self, "num_critics", low=1, high=2)
        check_integer(self, "num_preferences", low=2)
        for name in ("learning_starts", "exploration_steps"):
            check_integer(self, name, low=0)
        for name in ("learning_rate", "max_grad_norm", "least_priority"):
            check_range(self, name, low=0, open_low=True)
        for name in ("initial_exploration", "final_exploration", "priority_exponent", "importance_exponent"):
            check_range(self, name, low=0, high=1)
        for name in ("action_noise", "noise_clip"):
            check_range(self, name, low=0)
        check_range(self, "simplex_share", low=0, high=1)
        check_range(self, "tau", low=0, high=1, open_low=True)
        if self.train_gamma is not None:
            check_range(self, "train_gamma", low=0, high=1)
        if self.huber_delta is not None:
            check_range(self, "huber_delta", low=0, open_low=True)
        check_widths(self, "hidden")
        self._check_together()

    def _check_together(self) -> None:
        """Raise UserError for settings that do not go together."""
        rows = self.num_envs * self.rollout_steps
        if self.n_step > self.rollout_steps:
            raise UserError(f"n_step must be at most rollout_steps = {self.rollout_steps}, not {self.n_step}")
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
    "learning_rate": Parameter(log_real(1e-4, 3e-3), live=True),
    "anneal": Parameter(Choice((False, True))),
    "gradient_steps": Parameter(Choice((32, 64, 128))),
    "batch_size": Parameter(Choice((64, 128, 256))),
    "n_step": Parameter(Choice((1, 3, 5, 10))),
    "tau": Parameter(log_real(1e-3, 5e-2), live=True),
    "double_q": Parameter(Choice((False, True))),
    "num_critics": Parameter(Choice((1, 2))),
    "prioritised": Parameter(Choice((False, True))),
    "priority_exponent": Parameter(Real(0.2, 1.0), live=True, when={"prioritised": (True,)}),
    "importance_exponent": Parameter(Real(0.0, 1.0), live=True, when={"prioritised": (True,)}),
    "final_exploration": Parameter(log_real(0.01, 0.3)),
    "simplex_share": Parameter(Real(0.0, 1.0), live=True),
    "conditioning": Parameter(Choice(("product", "concat"))),
    "hidden": Parameter(Choice(((64, 64), (128, 128), (256, 256)))),
}
