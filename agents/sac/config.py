"""Settings of a soft actor-critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from morl.errors import UserError
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import check_integer, check_range, check_scales, check_widths, convert_fields

NetworkKind = Literal["auto", "flat", "rows", "convolution"]
Scalarisation = Literal["linear", "tchebycheff"]
TwinMinimum = Literal["worth", "objective"]
CriticNetwork = Literal["mlp", "layer_norm", "residual", "batch_norm"]


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
    update_ratio: float | None = None
    """Gradient steps for each environment step, the update-to-data ratio, in place of gradient_steps."""
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
    twin_minimum: TwinMinimum = "worth"
    """worth: of the twin critics the one that is worth less to the preference counts, with its whole vector; objective:
    the lesser of both in each objective, which no one critic need believe in."""
    target_networks: bool = True
    """Take the critics' targets from slowly moving copies of them; without, from the critics themselves."""
    prioritised_replay: bool = False
    """Draw transitions in proportion to a power of their last error |w (Q - y)|, at first those not drawn before."""
    priority_exponent: float = 0.6
    """Power of the error that prioritised_replay draws in proportion to; 0 is uniform."""
    importance_exponent: float = 0.4
    """Power of the weights in the critics' loss that make up for what prioritised_replay draws more often; 1 makes up
    for all of it."""
    relabel_preferences: bool = True
    """Learn from a share of each batch for random preferences instead of those that the actions were taken for."""
    relabel_share: float = 0.5
    """Share of a batch that relabel_preferences gives random preferences."""
    objective_scales: tuple[float, ...] | None = None
    """Factors of the rewards before preferences weigh them, one for all or one for each objective; by default from
    their running deviation."""
    network: NetworkKind = "auto"
    """flat: an MLP; rows: the same weights for the features of each action, for environments that have them;
    convolution: the published network of such features. Continuous actions: flat only."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    encoder: Literal["auto", "flat", "nature"] = "auto"
    """nature: the convolutions of Mnih et al. (2015) in front of the network flat, for images; flat: none; auto: nature
    for images of uint8."""
    critic_network: CriticNetwork = "mlp"
    """Hidden layers of the critics: plain (mlp), with layer normalisation, in residual blocks (SimBa), or with batch
    normalisation, which needs target_networks False (CrossQ). All but mlp are for the network flat."""
    critic_hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers of the critics, by default those of hidden. residual has a block for each, all of one
    width, and four times that inside."""
    channels: int = 64
    """Channels of the convolution network."""
    blocks: int = 2
    """Residual blocks of the convolution network."""
    mask_actions: bool = True
    """Give forbidden actions no probability; discrete actions only."""
    preference_input: bool = True
    """Show actor and critics the preference."""
    gpi_preferences: int = 0
    """Equally spread preferences, beside the one asked for, whose policies the critics compare for greedy actions:
    generalised policy improvement. With it the critics are a part of the policy; 0 does without."""
    gpi_evaluation: bool = True
    """Act by it in evaluations and afterwards, where gpi_preferences is not 0."""

    def __post_init__(self) -> None:
        convert_fields(self)
        whole = ("num_envs", "rollout_steps", "gradient_steps", "batch_size", "replay_capacity", "n_step", "channels")
        for name in whole:
            check_integer(self, name, low=1)
        self._check_improvement()
        check_integer(self, "blocks", low=0)
        check_integer(self, "learning_starts", low=0)
        for name in ("learning_rate", "max_grad_norm", "temperature"):
            check_range(self, name, low=0, open_low=True)
        check_range(self, "tau", low=0, high=1, open_low=True)
        check_range(self, "relabel_share", low=0, high=1, open_low=True)
        check_range(self, "target_entropy", low=0, high=1, open_low=True, open_high=True)
        if self.train_gamma is not None:
            check_range(self, "train_gamma", low=0, high=1)
        check_widths(self, "hidden")
        self._check_critics()
        for name in ("priority_exponent", "importance_exponent"):
            check_range(self, name, low=0, high=1)
        if self.n_step > self.rollout_steps:
            raise UserError(f"n_step must be at most rollout_steps = {self.rollout_steps}, not {self.n_step}")
        rows = self.num_envs * self.rollout_steps
        if self.replay_capacity % rows:
            raise UserError(
                f"replay_capacity must be a multiple of num_envs * rollout_steps = {rows}, not {self.replay_capacity}"
            )
        self._check_update_ratio(rows)
        if self.learning_starts > self.replay_capacity:
            raise UserError(
                f"learning_starts must be at most replay_capacity = {self.replay_capacity}, not {self.learning_starts}"
            )
        check_scales(self.objective_scales)

    @property
    def steps_of_gradient(self) -> int:
        """Return the gradient steps after each rollout."""
        if self.update_ratio is None:
            return self.gradient_steps
        return round(self.update_ratio * self.num_envs * self.rollout_steps)

    @property
    def widths_of_critics(self) -> tuple[int, ...]:
        """Return the widths of the hidden layers of the critics."""
        return self.hidden if self.critic_hidden is None else self.critic_hidden

    def _check_critics(self) -> None:
        """Check the networks of the critics."""
        if self.critic_hidden is not None:
            check_widths(self, "critic_hidden")
        if self.critic_network == "batch_norm" and self.target_networks:
            raise UserError(
                "critic_network batch_norm needs target_networks False: "
                "one pass over both (s, a) and (s', a') normalises them alike"
            )
        if self.critic_network == "residual" and len(set(self.widths_of_critics)) > 1:
            raise UserError(f"critic_network residual needs one width of all its blocks, not {self.widths_of_critics}")

    def _check_improvement(self) -> None:
        """Check that critics can compare policies of several preferences."""
        check_integer(self, "gpi_preferences", low=0)
        if self.gpi_preferences and not self.preference_input:
            raise UserError(
                "gpi_preferences needs preference_input, as other preferences are no other policies without"
            )
        if self.gpi_preferences and self.scalarisation != "linear":
            raise UserError(f"gpi_preferences needs scalarisation linear, not {self.scalarisation}")

    def _check_update_ratio(self, rows: int) -> None:
        """Check that a ratio stands alone and gives a whole number of gradient steps after each rollout."""
        if self.update_ratio is None:
            return
        check_range(self, "update_ratio", low=0, open_low=True)
        if self.gradient_steps != type(self).gradient_steps:
            raise UserError("give gradient_steps or update_ratio, not both; update_ratio None leaves it to the former")
        steps = self.update_ratio * rows
        if steps < 0.5 or abs(steps - round(steps)) > 1e-6 * steps:
            raise UserError(
                f"update_ratio times num_envs * rollout_steps = {rows} must be a whole number of gradient steps, "
                f"not {steps:g}"
            )


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
