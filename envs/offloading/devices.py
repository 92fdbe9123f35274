"""Many devices that decide at once where their tasks go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.offloading import MEC_DEVICES, bank, system
from morl.envs.offloading.bank import Bank, Totals
from morl.envs.offloading.scenario import spent
from morl.envs.offloading.system import Params, System, Workload
from morl.errors import UserError
from morl.validation import check_integer, check_range

SERVER_COLUMNS = 4  # of the observation, for each server


class State(NamedTuple):
    """State of the system at the start of a slot.

    Attributes:
        bank: servers with their tasks, in T·U places: that of device u in slot t is t·U + u.
        frequency: (S,) float32 GHz.
        rate: (U, S) float32 Mbit/s of the links.
        size: (T, U) float32 Mbit of each device's task in each slot, 0 for none.
        slot: () int32 slots so far.
    """

    bank: Bank
    frequency: jax.Array
    rate: jax.Array
    size: jax.Array
    slot: jax.Array


@dataclass(frozen=True)
class MecDevices(Workload, System):
    """Devices that share a cloud and edge servers and decide at once, in each slot, where their tasks go.

    - Objectives: delay, minus the seconds that all tasks spend in the system; energy, minus the J of uploads and of
      execution.
    - Observation: (U + U·S + 4·S + 1,) float32: the Mbit of each device's task, 0 for none; the seconds of its upload
      to each server, device by device; of each server the Mbit/s, the tasks that it executes, the uploads to it, and
      the Mbit left on it, server by server; the share of slots to come.
    - Action: (U,) a server for each device, 0 for the cloud; that of a device without a task has no effect.
    - Termination: when all tasks are done, after the last slot.

    In each slot a device has a task with the probability λ Δt / U.

    >>> env = MecDevices(devices=3)
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> env.action_space, obs.shape
    (MultiDiscrete([4 4 4]), (32,))
    """

    edges: int = 3
    """Number of edge servers."""
    devices: int = 5
    """U, number of devices."""
    slots: int = 20
    """T, decisions of every device in an episode."""
    slot_seconds: float = 1.0
    """Δt, seconds between decisions."""
    arrival_rate: float = 1.5
    """λ, tasks a second of all devices together; at most one a slot of each."""

    id = MEC_DEVICES.id
    objectives = MEC_DEVICES.objectives
    reference_point = np.array(MEC_DEVICES.reference_point)
    max_episode_steps = None  # an episode ends by itself
    render_fps = 4

    def __post_init__(self) -> None:
        check_integer(self, "edges", low=1)
        super().__post_init__()
        self.check_workload()
        for name in ("devices", "slots"):
            check_integer(self, name, low=1)
        check_range(self, "slot_seconds", low=0, open_low=True)
        if self.arrival_rate * self.slot_seconds > self.devices:
            most = self.devices / self.slot_seconds
            raise UserError(f"arrival_rate must be at most devices / slot_seconds = {most:g}, not {self.arrival_rate}")

    # Spaces

    @cached_property
    def observation_space(self) -> spaces.Box:
        size = self.devices * (1 + self.num_servers) + SERVER_COLUMNS * self.num_servers + 1
        return spaces.Box(0.0, np.inf, (size,), np.float32)

    @cached_property
    def action_space(self) -> spaces.MultiDiscrete:
        return spaces.MultiDiscrete([self.num_servers] * self.devices, np.int32)  # type: ignore[arg-type]

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, 0.0, (2,), np.float32)

    # The system

    @property
    def default_params(self) -> Params:
        return super().default_params._replace(load=self.load(), own=jnp.float32(self.slot_seconds))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_system, key_rate, key_there, key_size = jax.random.split(key, 4)
        shape = (self.slots, self.devices)
        there = jax.random.uniform(key_there, shape, dtype=jnp.float32) < params.load.rate * params.own / self.devices
        state = State(
            bank.empty(self.slots * self.devices),
            system.draw_frequencies(key_system, self.num_servers, params),
            system.between(key_rate, params.rate, (self.devices, self.num_servers)),
            jnp.where(there, system.draw_sizes(key_size, shape, params.load), 0.0),
            jnp.int32(0),
        )
        return state, self.observe(state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        last = state.slot >= self.slots - 1
        until = jnp.where(last, jnp.inf, params.own)
        after, totals = bank.advance(self._placed(state, action, self._sizes(state), params), until)
        state = state._replace(bank=after, slot=state.slot + 1)
        reward = _reward(after, totals, params)
        return state, self.observe(state, params), reward, last, jnp.bool_(False), {"frequencies": state.frequency}

    def observe(self, state: State, params: Params) -> jax.Array:
        """Return the observation (N,)."""
        sizes, number = self._sizes(state), self.num_servers
        loads = bank.loads(state.bank, number)[:3]
        servers = jnp.stack([system.speed(state.frequency, params), *loads], axis=1)
        to_come = (self.slots - state.slot).astype(jnp.float32)[None] / self.slots
        return jnp.concatenate([sizes, (sizes[:, None] / state.rate).ravel(), servers.ravel(), to_come])

    def outlook(self, state: State, params: Params, action: jax.Array, device: jax.Array) -> jax.Array:
        """Return the rewards (S, 2) that would follow each server for a device, if no other task came.

        Args:
            state: the state.
            params: the parameters.
            action: (U,) servers of the devices before this one; those after it wait.
            device: () int32.
        """
        each = jnp.arange(self.devices, dtype=jnp.int32)
        sizes = jnp.where(each <= device, self._sizes(state), 0.0)

        def one(server: jax.Array) -> jax.Array:
            placed = self._placed(state, jnp.where(each == device, server, action), sizes, params)
            return _reward(*bank.advance(placed, jnp.float32(jnp.inf)), params)

        return jax.vmap(one)(jnp.arange(self.num_servers, dtype=jnp.int32))

    def backlog(self, state: State, params: Params) -> jax.Array:
        """Return the seconds (S,) of work on each server."""
        return bank.loads(state.bank, self.num_servers).left / system.speed(state.frequency, params)

    def seconds(self, state: State, params: Params) -> jax.Array:
        """Return the seconds (U, S) that each device's task would take on each server alone, without its upload."""
        return self._sizes(state)[:, None] / system.speed(state.frequency, params)[None]

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the devices' tasks, and the tasks on each server, (H, W, 3) uint8."""
        from morl.envs.pictures import offloading

        sizes = ", ".join(f"{x:.0f}" if x > 0 else "-" for x in np.asarray(self._sizes(state)))
        slot = f"slot {int(state.slot) + 1} of {self.slots}: {sizes} Mbit"
        heading = slot if int(state.slot) < self.slots else "all tasks are done"
        return offloading.draw(heading, state.bank, state.frequency, self.num_servers)

    def _sizes(self, state: State) -> jax.Array:
        """Return the Mbit (U,) of the devices' tasks in this slot, 0 for none."""
        return jnp.where(state.slot < self.slots, state.size[jnp.minimum(state.slot, self.slots - 1)], 0.0)

    def _placed(self, state: State, action: jax.Array, sizes: jax.Array, params: Params) -> Bank:
        there = sizes > 0.0
        rate = jnp.take_along_axis(state.rate, action[:, None], axis=1)[:, 0]
        wait = jnp.where(there, sizes / rate, jnp.inf)
        never = jnp.full(self.devices, jnp.inf, jnp.float32)
        speed = system.speed(state.frequency, params)[action]
        sharers = bank.loads(state.bank, self.num_servers).running[action]
        server = jnp.where(there, action, -1).astype(jnp.int32)
        places = state.slot * self.devices + jnp.arange(self.devices, dtype=jnp.int32)
        placed: Bank = jax.tree.map(
            lambda new, old: old.at[places].set(new, mode="drop", unique_indices=True, indices_are_sorted=True),
            Bank(server, sizes, wait, never, speed, sharers),
            state.bank,
        )
        return placed


def _reward(after: Bank, totals: Totals, params: Params) -> jax.Array:
    return -jnp.stack([totals.tasks, spent(after, totals, params)])
