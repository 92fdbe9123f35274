"""Settings of MOGFN-AL, and the space that `morl tune` draws them from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from morl.agents.mogfn.config import MOGFNConfig
from morl.errors import UserError
from morl.search_space import Choice, Integer, Parameter, Space, log_real
from morl.validation import check_integer, check_range, convert_fields

Proposer = Literal["gflownet", "genetic", "random"]


@dataclass(frozen=True)
class MOGFNALConfig:
    """Settings of active learning by labels, and of the GFlowNet that proposes."""

    proposer: Proposer = "gflownet"
    """Proposer: a GFlowNet on a surrogate; or, to compare, a genetic algorithm or random edits without a surrogate."""
    rounds: int = 20
    """Rounds of labelling after the start."""
    round_size: int = 16
    """Labels of a round; the oracle is called initial + rounds * round_size times."""
    initial: int = 64
    """Random strings that are labelled at the start."""
    bases: int = 16
    """Best strings so far that are edited."""
    max_edits: int = 4
    """Largest number of letters that a proposal differs in from one of them."""
    pool: int = 128
    """Proposals in a round, of which the round_size that add most together are labelled."""
    posterior_samples: int = 16
    """Samples of the surrogate's posterior that the acquisition is averaged over."""
    updates: int = 200
    """Updates of the GFlowNet in a round."""
    batch: int = 64
    """Trajectories of one update."""
    beta: float = 4.0
    """Exponent of the acquisition in the reward."""
    beta_start: float = 0.5
    """Exponent at the first update, above 0; it rises to beta over the first half of the updates."""
    min_log_reward: float = -75.0
    """Smallest logarithm of the reward, where 0 is the mean of untrained proposals."""
    epsilon: float = 0.05
    """Probability of a random step during training."""
    learning_rate: float = 2e-3
    """Adam's step size for the policy."""
    log_z_learning_rate: float = 0.1
    """Adam's step size for log Z."""
    max_grad_norm: float = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the policy."""

    def __post_init__(self) -> None:
        convert_fields(self)
        for name in ("rounds", "round_size", "bases", "max_edits", "posterior_samples", "updates", "batch"):
            check_integer(self, name, low=1)
        check_integer(self, "initial", low=2)
        check_integer(self, "pool", low=1)
        for name in ("beta", "beta_start"):
            check_range(self, name, low=0, open_low=True)
        if self.beta_start > self.beta:
            raise UserError(f"beta_start must be at most beta = {self.beta}, not {self.beta_start}")
        check_range(self, "min_log_reward", low=-np.inf, high=0, open_high=True)
        if self.bases > self.initial:
            raise UserError(f"bases must be at most initial = {self.initial}, not {self.bases}")
        if self.pool < self.round_size:
            raise UserError(f"pool must be at least round_size = {self.round_size}, not {self.pool}")
        _ = self.gflownet  # checks the rest

    @property
    def budget(self) -> int:
        """Number of labels of one search, which is the number of calls of the oracle."""
        return self.initial + self.rounds * self.round_size

    def labels(self, rounds: int) -> int:
        """Return the number of labels after so many rounds, of which the first labels the random strings."""
        return self.initial + (rounds - 1) * self.round_size if rounds else 0

    @property
    def gflownet(self) -> MOGFNConfig:
        """Settings of the GFlowNet. Its own exponent is 1: rewards are given to it with theirs."""
        return MOGFNConfig(
            batch=self.batch,
            epsilon=self.epsilon,
            learning_rate=self.learning_rate,
            log_z_learning_rate=self.log_z_learning_rate,
            anneal=False,
            max_grad_norm=self.max_grad_norm,
            hidden=self.hidden,
        )

    def exponent(self, update: int) -> float:
        """Return β of an update, counted from 0."""
        return self.beta_start + (self.beta - self.beta_start) * min(1.0, update / max(1, self.updates // 2))


SPACE: Space = {
    "learning_rate": Parameter(log_real(3e-4, 1e-2)),
    "log_z_learning_rate": Parameter(log_real(1e-2, 1.0)),
    "epsilon": Parameter(log_real(5e-3, 0.3)),
    "beta": Parameter(log_real(1.0, 16.0)),
    "updates": Parameter(Choice((100, 200, 400))),
    "batch": Parameter(Choice((32, 64, 128))),
    "bases": Parameter(Choice((4, 16, 32))),
    "max_edits": Parameter(Integer(1, 6)),
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
}
