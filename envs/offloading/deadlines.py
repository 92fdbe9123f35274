"""Tasks with deadlines: delay, energy, and tasks that are given up."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.mec.params import Interval, check_interval
from morl.envs.offloading import MEC_DEADLINES, system
from morl.envs.offloading.scenario import COLUMNS, Scenario, State
from morl.envs.offloading.system import Params


@dataclass(frozen=True)
class MecDeadlines(Scenario):
    """Cloud and edge servers; each task is given up if it is not done by its deadline.

    - Objectives: delay, minus the seconds that tasks spend in the system; energy, minus the J of uploads and of
      execution, of tasks that are given up too, as far as they came; lost, minus the number of tasks given up.
    - Observation: (S, 11) float32, a row for each server, all 0 for one that does not exist. Columns: 1 if it may be
      chosen; size of the task, Mbit; seconds of its upload; Mbit/s of the server; tasks that it executes; uploads to
      it; Mbit left on it; Mbit of its tasks counted up to the size of the task; J of the task there; share of the
      episode's tasks to come; seconds to the task's deadline.
    - Action: the number of a server, 0 for the cloud. An action that is not allowed means the first that is.
    - Termination: when the episode's tasks are all done or given up, after its last step.

    >>> env = MecDeadlines()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape, env.step(jax.random.key(1), state, jnp.int32(1), env.default_params)[2].shape
    ((5, 11), (3,))
    """

    patience: Interval = (2.0, 8.0)
    """Range of the seconds from a task's arrival to its deadline, uniformly distributed."""

    id = MEC_DEADLINES.id
    objectives = MEC_DEADLINES.objectives
    reference_point = np.array(MEC_DEADLINES.reference_point)
    columns = (*COLUMNS, "patience")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("patience", self.patience, low=0, open_low=True)

    @property
    def default_params(self) -> Params:
        patience = check_interval("patience", self.patience, low=0)
        return super().default_params._replace(own=jnp.asarray(patience, jnp.float32))

    def _start(self, key: jax.Array, params: Params) -> jax.Array:
        """Draw the patience (T,) of the tasks."""
        return system.between(key, params.own, (self.tasks,))

    def _due(self, state: State, server: jax.Array, upload: jax.Array) -> jax.Array:
        return self._patience(state)

    def _columns(self, state: State, params: Params) -> list[jax.Array]:
        patience = jnp.where(state.task < self.tasks, self._patience(state), 0.0)
        return [*super()._columns(state, params), patience * jnp.ones(self.rows, jnp.float32)]

    def _patience(self, state: State) -> jax.Array:
        patience: jax.Array = state.own[jnp.minimum(state.task, self.tasks - 1)]
        return patience
