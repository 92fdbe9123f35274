"""Edge servers that fail, with the tasks that they execute, and are repaired."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.offloading import MEC_FAILURES
from morl.envs.offloading.scenario import Scenario, State
from morl.envs.offloading.system import Params
from morl.validation import check_range

MOST_FAILURES = 8  # of a server in an episode


@dataclass(frozen=True)
class MecFailures(Scenario):
    """Cloud and edge servers; an edge server that fails loses its tasks, and those that arrive until it is repaired.

    - Objectives: delay, minus the seconds that tasks spend in the system; energy, minus the J of uploads and of
      execution, of lost tasks too, as far as they came; lost, minus the number of tasks lost.
    - Observation: (S, 10) float32, a row for each server, all 0 for one that does not exist or is down. Columns: 1 if
      it may be chosen; size of the task, Mbit; seconds of its upload; Mbit/s of the server; tasks that it executes;
      uploads to it; Mbit left on it; Mbit of its tasks counted up to the size of the task; J of the task there; share
      of the episode's tasks to come.
    - Action: the number of a server, 0 for the cloud, which never fails. An action that is not allowed, as for a
      server that is down, means the first that is.
    - Failures: a server works for an exponential time, is repaired in an exponential time, and so on, at most 8 times;
      all work at the start. Uploads go on while it is down; those that end then are lost.
    - Termination: when the episode's tasks are all done or lost, after its last step.

    >>> env = MecFailures()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape, state.own.shape
    ((5, 10), (5, 16))
    """

    failure_seconds: float = 20.0
    """Mean time in seconds that an edge server works."""
    repair_seconds: float = 5.0
    """Mean time in seconds until it is repaired."""

    id = MEC_FAILURES.id
    objectives = MEC_FAILURES.objectives
    reference_point = np.array(MEC_FAILURES.reference_point)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("failure_seconds", "repair_seconds"):
            check_range(self, name, low=0, open_low=True)

    @property
    def default_params(self) -> Params:
        means = jnp.asarray([self.failure_seconds, self.repair_seconds], jnp.float32)
        return super().default_params._replace(own=means)

    def allowed(self, state: State, params: Params) -> jax.Array:
        return (state.frequency > 0) & (self._changed(state.own, jnp.float32(0.0)) % 2 == 0)

    def _start(self, key: jax.Array, params: Params) -> jax.Array:
        """Draw the seconds (S, 16) until each server fails, is repaired, fails again and so on."""
        times = jax.random.exponential(key, (self.rows, MOST_FAILURES, 2), dtype=jnp.float32) * params.own[None, None]
        changes = jnp.cumsum(times.reshape(self.rows, -1), axis=1)
        cloud = jnp.arange(self.rows, dtype=jnp.int32)[:, None] == 0
        return jnp.where(cloud, jnp.inf, changes)

    def _after(self, state: State, action: jax.Array, gap: jax.Array, params: Params) -> jax.Array:
        changes: jax.Array = state.own - gap
        return changes

    def _due(self, state: State, server: jax.Array, upload: jax.Array) -> jax.Array:
        """Return the seconds () after which the task is lost: at the end of its upload, or at the next failure."""
        changes = state.own[server]
        up = self._changed(changes, upload) % 2 == 0
        return jnp.where(up, jnp.min(jnp.where(changes > upload, changes, jnp.inf)), upload)

    @staticmethod
    def _changed(changes: jax.Array, seconds: jax.Array) -> jax.Array:
        """Return the number (...) int32 of changes (..., 16) until so many seconds from now."""
        return jnp.sum(changes <= seconds, axis=-1, dtype=jnp.int32)
