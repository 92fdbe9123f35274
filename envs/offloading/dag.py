"""Dependent tasks of one application, placed one by one in topological order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.mec.params import Interval, check_interval
from morl.envs.offloading import MEC_DAG, bank, system
from morl.envs.offloading.bank import Bank
from morl.envs.offloading.graph import DEPENDENCES, SIZES, Dependence, Graph, make_graph
from morl.envs.offloading.system import Params, System
from morl.ops.batching import batched
from morl.validation import check_range

COLUMNS = 10  # of the observation


class Links(NamedTuple):
    """Parameters of the application.

    Attributes:
        spread: () float32 largest relative change of a task's size.
        backhaul: (2,) float32 Mbit/s between servers, bounds of the uniform distribution.
    """

    spread: jax.Array
    backhaul: jax.Array


class State(NamedTuple):
    """Placement so far, and its schedule; tasks are in topological order.

    Attributes:
        frequency: (S,) float32 GHz, 0 for servers that do not exist.
        rate: (S,) float32 Mbit/s from the device to each server.
        backhaul: () float32 Mbit/s between servers.
        size: (V,) float32 Mbit.
        server: (V,) int32 server of each task, -1 where it is not placed yet.
        finish: (V,) float32 seconds at which each placed task ends if no other is placed, 0 for the others.
        task: () int32 number of the task to place; V when all are placed.
    """

    frequency: jax.Array
    rate: jax.Array
    backhaul: jax.Array
    size: jax.Array
    server: jax.Array
    finish: jax.Array
    task: jax.Array


@dataclass(frozen=True)
class MecDag(System):
    """Application of dependent tasks, each of which is placed on the cloud or an edge server.

    - Objectives: delay, minus the seconds that the task adds to the end of the last task so far, so that the return is
      minus the time of the whole application (a task may also shorten it: it can delay others that were in the way);
      energy, minus the J of uploads and of execution.
    - Observation: (S, 10) float32, a row for each server, all 0 for one that does not exist. Columns: 1 if it may be
      chosen; size of the task, Mbit; seconds at which its inputs are there; Mbit/s of the server; tasks placed on it;
      their Mbit; J of the task there; Mbit of the heaviest path from the task to an end; seconds at which the last
      task so far ends; share of tasks to place.
    - Action: the number of a server, 0 for the cloud. An action that is not allowed means the first that is.
    - Execution: a task without predecessors is uploaded from the device, as many Mbit as its size. Another one begins
      when the results of all its predecessors are there; a result takes no time on the same server, and its Mbit at
      the rate of the backhaul to another. Tasks on a server share it equally.
    - Termination: when the last task is placed.

    >>> env = MecDag(sizes=(4.0, 2.0), dependences=((0, 1, 3.0),))
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> env.graph.task.tolist(), obs.shape
    ([0, 1], (5, 10))
    """

    sizes: tuple[float, ...] = SIZES
    """Mbit of each task: what it executes, and what is uploaded where it has no predecessor."""
    dependences: tuple[Dependence, ...] = DEPENDENCES
    """Rows of a task, the task that needs its result, and the Mbit of the result."""
    spread: float = 0.5
    """Sizes change in each episode, each by up to this share."""
    backhaul: float | Interval = (20.0, 60.0)
    """B, Mbit/s between servers, or a range that it is drawn from each episode."""

    id = MEC_DAG.id
    objectives = MEC_DAG.objectives
    reference_point = np.array(MEC_DAG.reference_point)
    observation_key = "servers"
    max_episode_steps = None  # an episode ends by itself
    render_fps = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "spread", low=0, high=1, open_high=True)
        check_interval("backhaul", self.backhaul, low=0, open_low=True)
        _ = self.graph

    @cached_property
    def graph(self) -> Graph:
        """Return the tasks in topological order."""
        return make_graph(self.sizes, self.dependences)

    # Spaces

    @property
    def num_actions(self) -> int:
        """Number of actions, one for each server."""
        return self.num_servers

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0.0, np.inf, (self.num_servers, COLUMNS), np.float32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_servers)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.array([np.inf, 0.0], np.float32), (2,), np.float32)

    def action_mask(self, obs: Any) -> Any:
        """Return (..., S) int8, 1 for servers that exist, for observations (..., S, 10) of JAX or NumPy."""
        return (obs[..., 0] > 0).astype(np.int8)

    def action_features(self, obs: jax.Array) -> jax.Array:
        """Return network inputs (..., S, 10) for each action: log(1 + x) of the observation."""
        return jnp.log1p(obs)

    # The system

    @property
    def default_params(self) -> Params:
        backhaul = jnp.asarray(check_interval("backhaul", self.backhaul, low=0), jnp.float32)
        return super().default_params._replace(own=Links(jnp.float32(self.spread), backhaul))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_system, key_rate, key_backhaul, key_size = jax.random.split(key, 4)
        number = len(self.sizes)
        change = 2.0 * jax.random.uniform(key_size, (number,), dtype=jnp.float32) - 1.0
        state = State(
            system.draw_frequencies(key_system, self.num_servers, params),
            system.between(key_rate, params.rate, (self.num_servers,)),
            system.between(key_backhaul, params.own.backhaul, ()),
            jnp.asarray(self.graph.size) * (1.0 + params.own.spread * change),
            jnp.full(number, -1, jnp.int32),
            jnp.zeros(number, jnp.float32),
            jnp.int32(0),
        )
        return state, self.observe(state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        allowed = self.allowed(state, params)
        action = jnp.where(allowed[action], action, jnp.argmax(allowed).astype(jnp.int32))
        state, reward = self._placed(state, action, params)
        last, no = state.task >= len(self.sizes), jnp.bool_(False)
        return state, self.observe(state, params), reward, last, no, self.info(state, params)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return ``frequencies`` (S,) GHz, 0 for servers that do not exist, and ``action_mask`` (S,) int8."""
        return {"frequencies": state.frequency, "action_mask": self.allowed(state, params).astype(jnp.int8)}

    def observe(self, state: State, params: Params) -> jax.Array:
        """Return the observation (S, 10)."""
        number = len(self.sizes)
        index = jnp.minimum(state.task, number - 1)
        there = state.task < number
        size, root = self._task(state)
        each, row = jnp.ones(self.num_servers, jnp.float32), jnp.arange(self.num_servers, dtype=jnp.int32)[:, None]
        data = jnp.asarray(self.graph.data)[:, index][None]
        arrival = state.finish[None] + jnp.where(state.server[None] == row, 0.0, data / state.backhaul)
        inputs = jnp.max(jnp.where(data >= 0, arrival, 0.0), axis=1)
        columns = [
            self.allowed(state, params).astype(jnp.float32),
            size * each,
            jnp.where(there, jnp.where(root, size / state.rate, inputs), 0.0),
            system.speed(state.frequency, params),
            jnp.sum(state.server[None] == row, axis=1, dtype=jnp.float32),
            self._work(state),
            self._energy(state, params),
            jnp.where(there, jnp.asarray(self.graph.below)[index], 0.0) * each,
            jnp.max(state.finish) * each,
            (number - state.task).astype(jnp.float32) / number * each,
        ]
        return jnp.where((state.frequency > 0)[:, None], jnp.stack(columns, axis=1), 0.0)

    def outlook(self, state: State, params: Params) -> jax.Array:
        """Return the rewards (S, 2) of placing the task on each server, minus infinity where forbidden."""
        servers = jnp.arange(self.num_servers, dtype=jnp.int32)
        rewards = jax.vmap(lambda server: self._placed(state, server, params)[1])(servers)
        return jnp.where(self.allowed(state, params)[:, None], rewards, -jnp.inf)

    def backlog(self, state: State, params: Params) -> jax.Array:
        """Return the seconds (S,) of work placed on each server, infinity where forbidden."""
        seconds = self._work(state) / jnp.maximum(system.speed(state.frequency, params), 1e-9)
        return jnp.where(self.allowed(state, params), seconds, jnp.inf)

    def allowed(self, state: State, params: Params) -> jax.Array:
        """Return (S,) bool, the servers that exist."""
        return state.frequency > 0

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the tasks placed on each server, as long as their work, (H, W, 3) uint8."""
        from morl.envs.pictures import offloading

        number, index = len(self.sizes), int(state.task)
        task = f"task {self.graph.task[min(index, number - 1)]}, {index + 1} of {number}"
        heading = f"{task if index < number else 'all placed'}; ends after {float(jnp.max(state.finish)):.1f} s so far"
        placed = bank.empty(number)._replace(server=state.server, left=state.size)
        return offloading.draw(heading, placed, state.frequency, self.num_servers)

    def _placed(self, state: State, action: jax.Array, params: Params) -> tuple[State, jax.Array]:
        """Return the state with the task on a server, and the reward (2,)."""
        here = jnp.arange(len(self.sizes), dtype=jnp.int32) == state.task
        server = jnp.where(here, action, state.server)
        speed = system.speed(state.frequency, params)[jnp.maximum(server, 0)]
        upload = jnp.where(self._roots, state.size / state.rate[jnp.maximum(server, 0)], 0.0)
        finish = _schedule(jnp.asarray(self.graph.data), server, state.size, speed, upload, state.backhaul)
        added = jnp.max(finish) - jnp.max(state.finish)
        energy = self._energy(state, params)[action]
        state = state._replace(server=server, finish=finish, task=state.task + 1)
        return state, -jnp.stack([added, energy])

    @property
    def _roots(self) -> jax.Array:
        """Return (V,) bool, tasks without predecessors."""
        return jnp.asarray((self.graph.data < 0).all(axis=0))

    def _energy(self, state: State, params: Params) -> jax.Array:
        """Return the J (S,) of the task to place on each server."""
        size, root = self._task(state)
        upload = jnp.where(root, size / state.rate, 0.0)
        return size * system.energy(state.frequency, params) + params.power * upload

    def _task(self, state: State) -> tuple[jax.Array, jax.Array]:
        """Return the Mbit () of the task to place, 0 when all are placed, and whether it has no predecessors."""
        index = jnp.minimum(state.task, len(self.sizes) - 1)
        there = state.task < len(self.sizes)
        return jnp.where(there, state.size[index], 0.0), there & self._roots[index]

    def _work(self, state: State) -> jax.Array:
        """Return the Mbit (S,) placed on each server."""
        here = state.server[None] == jnp.arange(self.num_servers, dtype=jnp.int32)[:, None]
        return jnp.sum(jnp.where(here, state.size[None], 0.0), axis=1)


def _schedule(
    data: jax.Array, server: jax.Array, size: jax.Array, speed: jax.Array, upload: jax.Array, backhaul: jax.Array
) -> jax.Array:
    """Return the seconds (V,) at which the placed tasks end, 0 for the others.

    Args:
        data: (V, V) Mbit between tasks, negative for none.
        server: (V,) int32, -1 for a task that is not placed.
        size: (V,) Mbit.
        speed: (V,) Mbit/s of each task's server.
        upload: (V,) seconds of the upload of tasks without predecessors.
        backhaul: () Mbit/s.
    """
    transfer = jnp.where(server[:, None] == server[None], 0.0, data / backhaul)
    transfer = jnp.where(data >= 0, transfer, -jnp.inf)  # from the row's task to the column's
    finish: jax.Array = batched(_run)(transfer, server, size, speed, upload)
    return finish


class _Carry(NamedTuple):
    """Carry of the loop over events, (B, V).

    Attributes:
        run: the bank's.
        missing: predecessors that have not ended.
        ready: seconds at which the results so far are there.
        finish: seconds at which a task has ended.
    """

    run: bank.Run
    missing: jax.Array
    ready: jax.Array
    finish: jax.Array


def _run(transfer: jax.Array, server: jax.Array, size: jax.Array, speed: jax.Array, upload: jax.Array) -> jax.Array:
    """Run B placements to their ends; arguments as of :func:`_schedule` with B in front, and transfers in seconds."""
    never, zeros = jnp.full(size.shape, jnp.inf, jnp.float32), jnp.zeros(size.shape, jnp.float32)
    missing = jnp.sum(transfer >= 0, axis=1, dtype=jnp.int32)
    first = (missing == 0) & (server >= 0)
    start = Bank(jnp.where(first, server, -1), size, jnp.where(first, upload, jnp.inf), never, speed, zeros)
    until = never[:, 0]
    place, pace = jnp.arange(size.shape[1], dtype=jnp.int32)[None], 1.0 / speed

    def next_event(carry: _Carry) -> _Carry:
        run = bank.next_event(carry.run, pace, until)
        this = place == run.ended[:, None]
        here = jnp.max(jnp.where(this[..., None], transfer, -jnp.inf), axis=1)  # (B, V) from the task that has ended
        missing = carry.missing - (here >= 0).astype(jnp.int32)
        clock = run.clock[:, None]
        ready = jnp.maximum(carry.ready, jnp.where(here >= 0, clock + here, 0.0))
        released = (here >= 0) & (missing == 0) & (server >= 0)
        executed = (run.server >= 0) & (run.join == jnp.inf)
        beside = (run.server[:, None] == server[..., None]) & executed[:, None]
        run = run._replace(
            server=jnp.where(released, server, run.server),
            join=jnp.where(released, ready, run.join),
            sharers=jnp.where(released, jnp.sum(beside, axis=2, dtype=jnp.float32), run.sharers),
        )
        return _Carry(run, missing, ready, jnp.where(this, clock, carry.finish))

    carry = _Carry(bank.begin(start), missing, zeros, zeros)
    return jax.lax.while_loop(lambda carry: jnp.any(carry.run.clock < until), next_event, carry).finish
