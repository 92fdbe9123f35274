"""Settings of MOGFN, and the space that `morl tune` draws them from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from morl.agents.mogfn.rewards import Scalarisation
from morl.errors import UserError
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.validation import check_integer, check_range, check_widths, convert_fields

Loss = Literal["trajectory_balance", "subtrajectory_balance", "detailed_balance"]
NetworkName = Literal["mlp", "transformer", "graph"]


@dataclass(frozen=True)
class MOGFNConfig:
    """Settings of a conditional GFlowNet."""

    batch: int = 128
    """Trajectories of one update, each with its own preference."""
    loss: Loss = "trajectory_balance"
    """Loss: balance of whole trajectories, of all their parts, or of each step."""
    subtrajectory_decay: float = 0.9
    """Weight of a part of a trajectory relative to a part that is one step shorter, for subtrajectory_balance."""
    scalarisation: Scalarisation = "weighted_sum"
    """Reward of a preference: weighted sum, weighted product (log_sum), Tchebycheff, or a cone about a goal (focus)."""
    focus_cosine: float = 0.98
    """Cosine of the angle between the goal and the edge of its cone, for focus."""
    focus_edge: float = 0.2
    """Share of the reward that is left at the edge of the cone, for focus."""
    floor: float = 1e-8
    """Smallest objective or reward before the logarithm."""
    min_log_reward: float = -75.0
    """Smallest beta * log R. All objects that this lifts add to the target: with many objects (strings) and a high beta
    set it so low that they weigh nothing."""
    beta: float | tuple[float, float] = 1.0
    """Exponent of the reward: one number, or lowest and highest, between which it is drawn for each trajectory. The
    higher it is, the better and the less diverse the objects; 1 draws them in proportion to their reward."""
    concentration: float = 1.0
    """Concentration of the Dirichlet distribution that preferences are drawn from; 1 is uniform."""
    bins: int = 0
    """Bins of the thermometer that encodes each weight, and beta; 0 encodes them as they are."""
    epsilon: float = 0.01
    """Probability of a random step during training."""
    learning_rate: float = 3e-3
    """Adam's step size for the policy."""
    log_z_learning_rate: float = 1e-2
    """Adam's step size for log Z."""
    anneal: bool = True
    """Anneal both step sizes to 1 % over the run, along a cosine."""
    max_grad_norm: float | None = None
    """Global norm that gradients are clipped to; by default they are not."""
    ema: float = 0.0
    """Decay per update of a moving average of the policy that draws the objects; 0 draws with the policy itself."""
    replay_batch: int = 0
    """Stored objects that are added to the batch, with new preferences and trajectories by backward steps."""
    replay_capacity: int = 10_000
    """Finished objects that are stored for that."""
    replay_candidates: int = 1
    """Stored objects drawn for each of these, of which the best for its preference is taken; 1 takes any."""
    gradient_steps: int = 1
    """Gradient steps of one update; those after the first are on replay_batch stored objects each."""
    genetic_batch: int = 0
    """Objects of a batch that are bred: the steps of two objects of the archive crossed, and some drawn anew. The
    policy builds the others."""
    mutations: float = 1.0
    """Mean number of the steps of a bred object that are drawn anew."""
    elite_share: float = 0.0
    """Share of the stored objects that come from the archive; the others come from the last replay_capacity."""
    elite_capacity: int = 100
    """Objects of the archive: different ones of the best fronts, and of the last front the least crowded. There is one
    where objects are bred or replayed from it."""
    beta_warmup: float = 0.0
    """Share of the run over which the exponent that is learnt grows from a tenth of beta to beta."""
    network: NetworkName = "mlp"
    """Network of the policy: mlp; a causal transformer for strings; graph, a transformer of nodes, for molecules."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Widths of the hidden layers of the mlp."""
    activation: Literal["tanh", "relu", "silu"] = "relu"
    """Activation of the hidden layers of the mlp."""
    width: int = 64
    """Width of the transformer or graph."""
    num_blocks: int = 3
    """Blocks of the transformer or graph."""
    num_heads: int = 8
    """Attention heads of each block; must divide the width."""
    num_preferences: int = 50
    """Equally spaced preferences that objects are drawn for at the end, for front.csv."""

    def __post_init__(self) -> None:
        convert_fields(self)
        for name in ("batch", "replay_capacity", "replay_candidates", "gradient_steps"):
            check_integer(self, name, low=1)
        check_integer(self, "elite_capacity", low=2, high=1000)
        for name in ("width", "num_blocks", "num_heads"):
            check_integer(self, name, low=1)
        check_integer(self, "num_preferences", low=2)
        for name in ("bins", "replay_batch", "genetic_batch"):
            check_integer(self, name, low=0)
        for name in ("learning_rate", "log_z_learning_rate", "concentration", "subtrajectory_decay"):
            check_range(self, name, low=0, open_low=True)
        for name in ("epsilon", "elite_share", "beta_warmup"):
            check_range(self, name, low=0, high=1)
        check_range(self, "mutations", low=0)
        check_range(self, "ema", low=0, high=1, open_high=True)
        check_range(self, "floor", low=1e-30, high=1, open_high=True)
        check_range(self, "min_log_reward", low=-math.inf, high=0, open_high=True)
        check_range(self, "focus_cosine", low=0, high=1, open_low=True, open_high=True)
        check_range(self, "focus_edge", low=0, high=1, open_low=True)
        if self.max_grad_norm is not None:
            check_range(self, "max_grad_norm", low=0, open_low=True)
        low_high = self.beta if isinstance(self.beta, tuple) else (self.beta,)
        ordered = list(low_high) == sorted(low_high) and min(low_high, default=-1) >= 0
        if not 1 <= len(low_high) <= 2 or not ordered or not math.isfinite(low_high[-1]):
            raise UserError(f"beta must be a number of at least 0, or the lowest and the highest, not {self.beta}")
        check_widths(self, "hidden")
        if self.width % self.num_heads:
            raise UserError(f"num_heads must divide width = {self.width}, not {self.num_heads}")
        if self.replay_batch and self.replay_capacity < self.batch:
            raise UserError(f"replay_capacity must be at least batch = {self.batch}, not {self.replay_capacity}")
        if self.genetic_batch > self.batch:
            raise UserError(f"genetic_batch must be at most batch = {self.batch}, not {self.genetic_batch}")
        if self.gradient_steps > 1 and not self.replay_batch:
            raise UserError("gradient_steps above 1 are on stored objects: set replay_batch too")
        if self.elite_share and not self.replay_batch:
            raise UserError("elite_share is of the stored objects: set replay_batch too")

    @property
    def has_archive(self) -> bool:
        """Whether the best objects are kept."""
        return self.genetic_batch > 0 or self.elite_share > 0

    @property
    def beta_range(self) -> tuple[float, float]:
        """Lowest and highest exponent."""
        low_high = self.beta if isinstance(self.beta, tuple) else (self.beta,)
        return float(low_high[0]), float(low_high[-1])


SPACE: Space = {
    "learning_rate": Parameter(log_real(3e-4, 2e-2), live=True),
    "log_z_learning_rate": Parameter(log_real(1e-3, 0.3), live=True),
    "epsilon": Parameter(log_real(1e-3, 0.2), live=True),
    "anneal": Parameter(Choice((False, True))),
    "beta": Parameter(Choice((1.0, 4.0, 16.0, 48.0))),
    "concentration": Parameter(log_real(0.3, 3.0)),
    "bins": Parameter(Choice((0, 16, 50))),
    "batch": Parameter(Choice((64, 128, 256))),
    "loss": Parameter(Choice(("trajectory_balance", "subtrajectory_balance"))),
    "subtrajectory_decay": Parameter(Real(0.7, 1.0), when={"loss": ("subtrajectory_balance",)}),
    "replay_batch": Parameter(Choice((0, 32))),
}
