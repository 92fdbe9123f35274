"""Execution on the device itself, which has a battery, as one of the actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.mec.params import Interval, check_interval
from morl.envs.offloading import MEC_LOCAL, system
from morl.envs.offloading.scenario import COLUMNS, Scenario, State
from morl.envs.offloading.system import Params
from morl.validation import check_range


class Battery(NamedTuple):
    """Parameters of the device's battery.

    Attributes:
        capacity: () float32 J.
        harvest: () float32 W that charge it.
    """

    capacity: jax.Array
    harvest: jax.Array


@dataclass(frozen=True)
class MecLocal(Scenario):
    """Device with a battery that executes its tasks itself, uploads them to the cloud or an edge server, or gives up.

    - Objectives: delay, minus the seconds that tasks spend in the system; energy, minus the J of uploads and of
      execution on any processor; lost, minus the number of tasks given up.
    - Observation: (S + 2, 11) float32, a row for each server, for the device and for giving up, all 0 for a server that
      does not exist and for what the battery cannot pay. Columns: 1 if it may be chosen; size of the task, Mbit;
      seconds of its upload; Mbit/s of the processor; tasks that it executes; uploads to it; Mbit left on it; Mbit of
      its tasks counted up to the size of the task; J of the task there; share of the episode's tasks to come; J in the
      battery. The row for giving up has the first only.
    - Action: the number of a server, 0 for the cloud; S for the device; S + 1 to give the task up, which is always
      allowed. An action that is not allowed means the first that is.
    - Battery: it pays for the upload, or for the execution on the device, when the task is placed, and is charged all
      the time: b ← min(b - e + h·gap, capacity). It is full at the start.
    - Termination: when the episode's tasks are all done or given up, after its last step.

    >>> env = MecLocal()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape, float(state.own)
    ((7, 11), 0.10000000149011612)
    """

    device_frequency: float | Interval = 1.5
    """GHz of the device, or a range that it is drawn from each episode."""
    battery: float = 0.1
    """J that the battery holds."""
    harvest: float = 0.002
    """h, W that charge the battery."""

    id = MEC_LOCAL.id
    objectives = MEC_LOCAL.objectives
    reference_point = np.array(MEC_LOCAL.reference_point)
    columns = (*COLUMNS, "battery")
    can_drop = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("device_frequency", self.device_frequency, low=0, open_low=True)
        check_range(self, "battery", low=0, open_low=True)
        check_range(self, "harvest", low=0)

    @property
    def rows(self) -> int:
        return self.num_servers + 1

    @property
    def default_params(self) -> Params:
        params = super().default_params
        device = jnp.asarray([check_interval("device_frequency", self.device_frequency, low=0)], jnp.float32)
        return params._replace(
            frequency=jnp.concatenate([params.frequency, device]),
            rate=jnp.concatenate([params.rate, jnp.zeros((1, 2), jnp.float32)]),
            own=Battery(jnp.float32(self.battery), jnp.float32(self.harvest)),
        )

    def allowed(self, state: State, params: Params) -> jax.Array:
        pays = (state.frequency > 0) & (self._from_battery(state, params) <= state.own)
        return jnp.concatenate([pays, jnp.ones(1, bool)])

    def _start(self, key: jax.Array, params: Params) -> jax.Array:
        """Return the J in the full battery."""
        capacity: jax.Array = params.own.capacity
        return capacity

    def _after(self, state: State, action: jax.Array, gap: jax.Array, params: Params) -> jax.Array:
        costs = self._from_battery(state, params)
        cost = jnp.where(action < self.rows, costs[jnp.minimum(action, self.rows - 1)], 0.0)
        return jnp.minimum(state.own - cost + params.own.harvest * gap, params.own.capacity)

    def _from_battery(self, state: State, params: Params) -> jax.Array:
        """Return the J (S + 1,) that the battery pays for the task on each row."""
        size, upload = self._task(state)
        device = jnp.arange(self.rows, dtype=jnp.int32) == self.num_servers
        return jnp.where(device, size * system.energy(state.frequency, params), params.power * upload)

    def _columns(self, state: State, params: Params) -> list[jax.Array]:
        return [*super()._columns(state, params), state.own * jnp.ones(self.rows, jnp.float32)]
