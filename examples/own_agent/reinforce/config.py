"""Settings of REINFORCE. They become flags, so this file imports no JAX: ``--help`` needs them."""

from __future__ import annotations

from dataclasses import dataclass

from morl.errors import UserError
from morl.search_space import Integer, Parameter, log_real


@dataclass(frozen=True)
class ReinforceConfig:
    """Settings of REINFORCE: each is a flag of ``morl train`` and a line of ``config.yaml``."""

    num_policies: int = 4
    """Policies, each for one of as many preferences spread over the simplex."""
    learning_rate: float = 0.3
    """Step size of the gradient."""
    num_envs: int = 16
    """Environments that feed one policy."""
    rollout_steps: int = 32
    """Steps of each environment before an update."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise UserError(f"learning_rate must be greater than 0, not {self.learning_rate}")
        for name in ("num_policies", "num_envs", "rollout_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")


# Search space of `morl tune reinforce`. A live setting changes no array's shape, so pbt may change it while training.
SPACE = {
    "learning_rate": Parameter(log_real(0.01, 1.0)),
    "rollout_steps": Parameter(Integer(8, 64, log=True)),
}
