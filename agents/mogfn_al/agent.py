"""MOGFN-AL as an agent: one search for each seed, whose front is the non-dominated ones among the labelled strings."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from morl.agents.mogfn_al.algorithm import ActiveLearner
from morl.agents.mogfn_al.config import MOGFNALConfig
from morl.envs.constructive.strings import Strings
from morl.errors import MissingExtraError, UserError
from morl.ops.preferences import equally_spaced_weights
from morl.registry import env_specs
from morl.types import Agent, Task


@dataclass(frozen=True)
class MOGFNAL(Agent):
    """One :class:`morl.agents.mogfn_al.algorithm.ActiveLearner`; a step of the task is a label.

    Raises:
        UserError: the task does not build strings, or the settings are not for its strings.
        MissingExtraError: the GFlowNet needs BoTorch.
    """

    config: MOGFNALConfig
    task: Task

    def __post_init__(self) -> None:
        if not isinstance(self.task.constructive, Strings):
            name = getattr(self.task.constructive, "id", "this environment")
            known = ", ".join(id for id, spec in env_specs().items() if spec.constructive)
            raise UserError(f"mogfn-al searches strings, which {name} does not build; constructive tasks are: {known}")
        if self.config.proposer == "gflownet" and importlib.util.find_spec("botorch") is None:
            raise MissingExtraError("mogfn-al (proposer gflownet)", "bo")
        _ = self.learner  # checks the edits

    @property
    def updates(self) -> int:
        """Number of rounds, with the first one of random strings."""
        return self.config.rounds + 1

    @property
    def budget(self) -> str:
        """Describe the labels of one seed."""
        c = self.config
        return f"({c.initial} + {c.rounds} rounds x {c.round_size} labels, proposed by {c.proposer})"

    @property
    def update_bytes(self) -> int:
        """Return the bytes of the surrogate's kernel matrices over all labels, and of a batch of the GFlowNet."""
        c, task = self.config, self.task
        labels = 3 * 8 * task.num_objectives * c.budget**2 if c.proposer == "gflownet" else 0
        return labels + 4 * c.batch * (c.max_edits + 1) * 5 * sum(c.hidden) // 2

    @property
    def update_settings(self) -> tuple[str, ...]:
        return ("rounds", "round_size", "initial", "batch", "hidden")

    @cached_property
    def preferences(self) -> NDArray[np.float64]:
        """Centre of the simplex, (1, R), as a placeholder: labels are for no preference."""
        return equally_spaced_weights(self.task.num_objectives, 1)

    @cached_property
    def learner(self) -> ActiveLearner:
        """Return the learner of one search."""
        return ActiveLearner(self.config, self.task.constructive)
