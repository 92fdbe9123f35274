"""One task at each step: what the scenarios with a Discrete action share.

A step is one task. It is placed when it arrives, and the system then runs, exactly, until the next one arrives; after
the last task of an episode it runs until all are done, and the episode ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.offloading import bank, system
from morl.envs.offloading.bank import Bank, Totals
from morl.envs.offloading.system import Params, System, Workload
from morl.validation import check_integer

COLUMNS = ("allowed", "size", "upload", "speed", "running", "uploading", "left", "held up", "energy", "to come")


class Tasks(NamedTuple):
    """The T tasks of an episode, in the order of their arrival.

    Attributes:
        gap: (T,) float32 seconds until the next task arrives, infinity for the last.
        size: (T,) float32 Mbit.
        rate: (T, S) float32 Mbit/s of the link to each row, 0 for no upload.
    """

    gap: jax.Array
    size: jax.Array
    rate: jax.Array


class State(NamedTuple):
    """State of the system when a task arrives.

    Attributes:
        bank: servers with their tasks.
        frequency: (S,) float32 GHz, 0 for servers that do not exist.
        tasks: the episode's tasks.
        task: () int32 number of the task to place; T when all are done.
        own: state of the scenario.
    """

    bank: Bank
    frequency: jax.Array
    tasks: Tasks
    task: jax.Array
    own: Any = ()


@dataclass(frozen=True)
class Scenario(Workload, System):
    """Base of the scenarios in which each step places one task; not an environment by itself.

    A scenario sets ``id``, ``objectives`` and ``reference_point``, and overrides what it has of its own.
    """

    tasks: int = 50
    """T, tasks of an episode, one a step."""

    id: ClassVar[str]
    objectives: ClassVar[tuple[Objective, ...]]
    reference_point: ClassVar[NDArray[np.float64]]
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    can_drop: ClassVar[bool] = False  # the last action gives the task up
    observation_key: ClassVar[str] = "servers"
    max_episode_steps: ClassVar[None] = None  # an episode ends by itself
    render_fps: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_workload()
        check_integer(self, "tasks", low=1)

    # Spaces

    @property
    def rows(self) -> int:
        """S, number of places to execute tasks."""
        return self.num_servers

    @property
    def num_actions(self) -> int:
        """A, number of actions: a row, and giving the task up where that is allowed."""
        return self.rows + self.can_drop

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0.0, np.inf, (self.num_actions, len(self.columns)), np.float32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_actions)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, 0.0, (len(self.objectives),), np.float32)

    def action_mask(self, obs: Any) -> Any:
        """Return (..., A) int8, 1 for actions that are allowed, for observations (..., A, F) of JAX or NumPy."""
        return (obs[..., 0] > 0).astype(np.int8)

    def action_features(self, obs: jax.Array) -> jax.Array:
        """Return network inputs (..., A, F) for each action: log(1 + x) of the observation."""
        return jnp.log1p(obs)

    # The system

    @property
    def default_params(self) -> Params:
        return super().default_params._replace(load=self.load())

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_system, key_tasks, key_own = jax.random.split(key, 3)
        frequency = system.draw_frequencies(key_system, self.num_servers, params)
        tasks, own = self._tasks(key_tasks, params), self._start(key_own, params)
        state = State(bank.empty(self.tasks), frequency, tasks, jnp.int32(0), own)
        return state, self.observe(state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        allowed = self.allowed(state, params)
        action = jnp.where(allowed[action], action, jnp.argmax(allowed).astype(jnp.int32))
        last = state.task >= self.tasks - 1
        gap = state.tasks.gap[state.task]
        after, totals = bank.advance(self._placed(state, action, params), gap)
        own = self._after(state, action, jnp.where(last, 0.0, gap), params)
        reward = self._reward(action, after, totals, params)
        state = state._replace(bank=after, task=state.task + 1, own=own)
        no = jnp.bool_(False)
        return state, self.observe(state, params), reward, last, no, self.info(state, params)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return ``frequencies`` (S,) GHz, 0 for servers that do not exist, and ``action_mask`` (A,) int8."""
        return {
            "frequencies": state.frequency,
            "action_mask": self.allowed(state, params).astype(jnp.int8),
        }

    def observe(self, state: State, params: Params) -> jax.Array:
        """Return the observation (A, F)."""
        allowed = self.allowed(state, params).astype(jnp.float32)
        rows = jnp.stack(self._columns(state, params), axis=1)
        if self.can_drop:
            rows = jnp.concatenate([rows, jnp.zeros((1, rows.shape[1]), jnp.float32)])
        return jnp.concatenate([allowed[:, None], rows * allowed[:, None]], axis=1)

    def outlook(self, state: State, params: Params) -> jax.Array:
        """Return the rewards (A, R) that would follow each action until all tasks are done, if no other came.

        Actions differ by what the task adds on each server, its own delay included. Minus infinity where forbidden.
        """

        def one(action: jax.Array) -> jax.Array:
            after, totals = bank.advance(self._placed(state, action, params), jnp.float32(jnp.inf))
            return self._reward(action, after, totals, params)

        rewards = jax.vmap(one)(jnp.arange(self.num_actions, dtype=jnp.int32))
        return jnp.where(self.allowed(state, params)[:, None], rewards, -jnp.inf)

    def backlog(self, state: State, params: Params) -> jax.Array:
        """Return the seconds (A,) of work on each row, infinity where the action is forbidden or none."""
        seconds = bank.loads(state.bank, self.rows).left / jnp.maximum(system.speed(state.frequency, params), 1e-9)
        seconds = jnp.concatenate([seconds, jnp.full(self.num_actions - self.rows, jnp.inf, jnp.float32)])
        return jnp.where(self.allowed(state, params), seconds, jnp.inf)

    def allowed(self, state: State, params: Params) -> jax.Array:
        """Return (A,) bool, the actions that are allowed; a forbidden one means the first of these."""
        return state.frequency > 0

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the task, and the tasks on each server, (H, W, 3) uint8."""
        from morl.envs.pictures import offloading

        return offloading.draw(self._heading(state), state.bank, state.frequency, self.num_servers)

    # Parts that scenarios override

    def _tasks(self, key: jax.Array, params: Params) -> Tasks:
        """Draw the tasks of an episode."""
        key_arrivals, key_rate = jax.random.split(key)
        gap, size = self._arrivals(key_arrivals, params)
        gap = jnp.concatenate([gap, jnp.full(1, jnp.inf, jnp.float32)])
        return Tasks(gap, size, system.between(key_rate, params.rate, (self.tasks, self.rows)))

    def _arrivals(self, key: jax.Array, params: Params) -> tuple[jax.Array, jax.Array]:
        """Draw the seconds (T - 1,) between tasks, here of a Poisson process, and the Mbit (T,) of each."""
        key_gap, key_size = jax.random.split(key)
        gap = jax.random.exponential(key_gap, (self.tasks - 1,), dtype=jnp.float32) / params.load.rate
        return gap, system.draw_sizes(key_size, (self.tasks,), params.load)

    def _start(self, key: jax.Array, params: Params) -> Any:
        """Return the scenario's own state at the start."""
        return ()

    def _after(self, state: State, action: jax.Array, gap: jax.Array, params: Params) -> Any:
        """Return the scenario's own state ``gap`` seconds after an allowed action."""
        return state.own

    def _due(self, state: State, server: jax.Array, upload: jax.Array) -> jax.Array:
        """Return the seconds () after which the task to place is given up on a server, infinity for never."""
        return jnp.full((), jnp.inf, jnp.float32)

    def _columns(self, state: State, params: Params) -> list[jax.Array]:
        """Return the columns (S,) of the observation, in the order of ``columns``, without the first."""
        size, upload = self._task(state)
        each = jnp.ones(self.rows, jnp.float32)
        return [
            size * each,
            upload,
            system.speed(state.frequency, params),
            *bank.loads(state.bank, self.rows, size),
            size * system.energy(state.frequency, params) + params.power * upload,
            (self.tasks - state.task).astype(jnp.float32) / self.tasks * each,
        ]

    # The rest

    def _task(self, state: State) -> tuple[jax.Array, jax.Array]:
        """Return the size () of the task to place in Mbit, and the seconds (S,) of its upload; 0 after the last."""
        last = jnp.minimum(state.task, self.tasks - 1)
        size = jnp.where(state.task < self.tasks, state.tasks.size[last], 0.0)
        return size, system.upload_seconds(size, state.tasks.rate[last])

    def _placed(self, state: State, action: jax.Array, params: Params) -> Bank:
        """Return the servers with the task placed; an action that is no server gives it up."""
        size, uploads = self._task(state)
        server = jnp.minimum(action, self.rows - 1)
        speed = system.speed(state.frequency[server], params)
        slot = jnp.where(action < self.rows, state.task, self.tasks)
        upload = uploads[server]
        return bank.place(state.bank, slot, server, size, upload, self._due(state, server, upload), speed)

    def _reward(self, action: jax.Array, after: Bank, totals: Totals, params: Params) -> jax.Array:
        """Return minus the task-seconds, the J and, as a third objective, the tasks lost."""
        costs = [totals.tasks, spent(after, totals, params)]
        if len(self.objectives) > 2:
            costs.append(totals.lost + (action >= self.rows).astype(jnp.float32))
        return -jnp.stack(costs)

    def _heading(self, state: State) -> str:
        index = int(state.task)
        if index >= self.tasks:
            return f"all {self.tasks} tasks are done"
        return f"task {index + 1} of {self.tasks}: {float(state.tasks.size[index]):.1f} Mbit"


def spent(after: Bank, totals: Totals, params: Params) -> jax.Array:
    """Return the J () of uploads and of execution: p ∫ uploads dt + Σ_i κ η f_i² times the Mbit executed of task i.

    Args:
        after: the servers at the end of the time.
        totals: of the time.
        params: the parameters.
    """
    frequency = after.speed * params.cycles_per_bit / 1e3  # GHz of each task's server
    return params.power * totals.uploads + jnp.sum(totals.executed * system.energy(frequency, params))
