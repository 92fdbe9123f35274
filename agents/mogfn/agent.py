"""MOGFN as an agent: one sampler, whose front is the non-dominated ones among the objects it draws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.config import MOGFNConfig
from morl.envs.constructive.base import scale_fault
from morl.errors import UserError
from morl.networks import encoders
from morl.ops.preferences import equally_spaced_weights
from morl.registry import env_specs
from morl.types import Agent, Task


@dataclass(frozen=True)
class MOGFNAgent(Agent):
    """One :class:`morl.agents.mogfn.algorithm.MOGFN`, for all preferences.

    A step of the task is an object built and rewarded, so that budgets of different tasks, and of other ways to search
    them, are calls of the reward alike.

    Raises:
        UserError: the task is not constructive, not for the network, or has fewer steps than one update takes.
    """

    config: MOGFNConfig
    task: Task

    def __post_init__(self) -> None:
        if self.task.constructive is None:
            known = ", ".join(spec.id for spec in env_specs().values() if spec.constructive)
            raise UserError(f"mogfn is for constructive tasks, which build an object step by step, such as {known}")
        if fault := scale_fault(self.task.constructive):
            raise UserError(f"mogfn cannot train on {self.task.constructive.id}: its reward_space {fault}")
        if self.updates < 1:
            raise UserError(
                f"steps must be at least {self.config.batch}, the batch of one update, not {self.task.steps}"
            )
        _ = self.learner  # checks the network

    @property
    def num_preferences(self) -> int:
        return self.config.num_preferences

    @property
    def notes(self) -> tuple[str, ...]:
        return ("a step is one object built and rewarded; evaluations draw others, which are not counted",)

    @property
    def updates(self) -> int:
        """Number of batches of objects within the steps of the task."""
        return self.task.steps // self.config.batch

    @property
    def update_bytes(self) -> int:
        """Return the bytes of the activations of all steps of a batch, which the gradient keeps, about.

        Of graphs on CPUs it keeps far less, as they are computed part by part.
        """
        c, env = self.config, self.task.constructive
        horizon: int = env.horizon
        steps = (c.batch + c.replay_batch) * (horizon + 1)
        if c.network == "mlp":
            return 4 * steps * (encoders.encoder(env.observation_space).size + 5 * sum(c.hidden) // 2)
        tokens = 1 if c.network == "transformer" else horizon + 1  # a graph is read anew in each step
        return 4 * steps * tokens * c.num_blocks * (20 * c.width + 4 * c.num_heads * (horizon + 1))

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ("batch", "replay_batch", *(("hidden",) if self.config.network == "mlp" else ("width", "num_blocks")))

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Centre of the simplex, (1, R), as a placeholder: the sampler itself draws a preference for each object."""
        return equally_spaced_weights(self.task.num_objectives, 1)

    @cached_property
    def learner(self) -> MOGFN:
        """Return the one sampler."""
        return MOGFN(self.config, self.task.constructive, self.updates)
