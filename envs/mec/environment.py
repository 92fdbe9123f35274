"""Simulator of task offloading in mobile edge computing (Yang et al., 2025, arXiv 2509.10474)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.mec import MEC_OFFLOADING, arrivals, flights, links, sharing
from morl.envs.mec.arrivals import Tasks
from morl.envs.mec.features import NUM_MARGINALS, per_server, rewards_of
from morl.envs.mec.flights import Flights
from morl.envs.mec.params import Params
from morl.envs.mec.settings import Settings
from morl.envs.mec.sharing import Servers
from morl.ops.batching import where_wanted
from morl.types import Features
from morl.words import counted

NUM_FEATURES = 5  # columns of a server's row before its histogram


class State(NamedTuple):
    """State of the system between two steps.

    Attributes:
        servers: tasks that the servers run.
        flights: uploads that outlast their step.
        tasks: the episode's tasks.
        frequency: (S,) float32 GHz, 0 for servers that do not exist.
        gain: (U, S) float32 share of the power that arrives, fading included where it lasts an episode.
        uploading: (U,) float32 seconds until a user's last upload ends.
        step: () int32 decisions taken.
        task: () int32 number in ``tasks`` of the task to place, -1 for none.
        size: () float32 Mbit of the task to place, 0 for none.
        rate: (S,) float32 Mbit/s at which the task would be sent to each server.
        dropped: () int32 tasks lost because a server was full, which a ``capacity`` that was given too low does.
        masked: () int32 actions on servers that do not exist.
        lost: () int32, 1 when more tasks arrive than ``tasks`` holds.
    """

    servers: Servers
    flights: Flights
    tasks: Tasks
    frequency: jax.Array
    gain: jax.Array
    uploading: jax.Array
    step: jax.Array
    task: jax.Array
    size: jax.Array
    rate: jax.Array
    dropped: jax.Array
    masked: jax.Array
    lost: jax.Array


@dataclass(frozen=True)
class MecOffloading(Settings):
    """Cloud and up to ``max_edges`` edge servers, on one of which each task is placed.

    - Objectives: delay, minus the seconds that a task adds to the predicted completion times of its server's tasks,
      which sum to minus the real delays once all tasks are done; energy, minus the J of the upload and of the
      execution.
    - Observation: (S, 5 + bins) float32 with S = max_edges + 1, a row for each server: the task's size in Mbit and rate
      in Mbit/s (both 0 without a task), the server's frequency in GHz, the number of tasks it runs, the number of edge
      servers, and the number of its running tasks with [i, i + 1) Mbit left, the last bin open; -1 for servers that do
      not exist. With ``marginals`` six more columns: the seconds that the task adds to the delays on the server, its
      J there, the seconds until it is done, the Mbit left there, the tasks that wait behind it, and the steps to come.
    - Action: the number of a server, 0 for the cloud. ``action_mask(obs)`` marks the servers that exist; an action on
      another server is counted and means the cloud (through Gymnasium, whose observation is a ``Dict`` of ``servers``
      and ``action_mask``, it is refused). Without a task the action has no effect.
    - Termination: never, and the core truncates after ``steps`` steps; with ``finite`` then.
    - Source: Yang et al. (2025).

    A task uploads at the rate of its user's link and then shares the server's processor equally with the tasks there,
    in continuous time. Each episode draws a system from ``contexts``, except for settings that are given.

    >>> env = MecOffloading(num_edges=6, cloud_frequency=4.0, edge_frequency=2.0)
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape, env.action_mask(obs).tolist()
    ((11, 65), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    """

    id = "mec-offloading-v0"
    objectives = MEC_OFFLOADING.objectives
    reference_point = np.array(MEC_OFFLOADING.reference_point)
    observation_key = "servers"
    render_fps = 4

    # Spaces

    @property
    def num_servers(self) -> int:
        """S, number of rows, servers that do not exist included."""
        return self.max_edges + 1

    @property
    def max_episode_steps(self) -> int:
        return self.steps

    @cached_property
    def observation_space(self) -> spaces.Box:
        columns = NUM_FEATURES + self.bins + self.num_marginals
        return spaces.Box(-1.0, np.inf, (self.num_servers, columns), np.float32)

    @property
    def num_marginals(self) -> int:
        """Number of columns behind the histogram."""
        return NUM_MARGINALS if self.marginals else 0

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_servers)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, 0.0, (2,), np.float32)

    def action_mask(self, obs: Any) -> Any:
        """Return (..., S) int8, 1 for servers that exist, for observations (..., S, 5 + bins) of JAX or NumPy."""
        return (obs[..., 2] >= 0).astype(np.int8)

    def action_features(self, obs: jax.Array) -> jax.Array:
        """Return network inputs (..., S, F) for each server, F = 12 + bins; see :func:`.features.per_server`.

        With ``marginals`` there are two more.
        """
        return per_server(obs, self.cycles_per_bit, self.capacitance, self.num_marginals)

    @property
    def action_rewards(self) -> Features | None:
        """Return a function from observations to the rewards (..., S, 2) of each action; None without ``marginals``."""
        return rewards_of if self.marginals else None

    # The system

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_system, key_tasks, key_gain, key_task = jax.random.split(key, 4)
        share = jax.random.uniform(key_system, (self.num_servers + 1,), dtype=jnp.float32)
        fewest, most = params.num_edges
        num_edges = jnp.minimum(fewest + (share[-1] * (most + 1 - fewest).astype(jnp.float32)).astype(jnp.int32), most)
        low, high = params.frequency.T
        frequency = low + (high - low) * share[:-1]
        frequency = jnp.where(jnp.arange(self.num_servers, dtype=jnp.int32) <= num_edges, frequency, 0.0)
        at_hand = jnp.sum(_speed(frequency, params)) * params.step_seconds
        mean_size = jnp.where(params.arrivals.mean_size > 0, params.arrivals.mean_size, at_hand)
        number = arrivals.enough(self.arrival_rate * self.users, (self.steps + 1) * self.step_seconds)
        tasks = arrivals.draw(
            key_tasks, number, self.users, self.queue, mean_size, params.step_seconds, params.arrivals
        )
        fades = self.fading == "episode"
        gain = links.draw_gains(key_gain, self.users, self.shadowing_spread, fades, params.links)
        nothing = jnp.int32(0)
        state = State(
            servers=sharing.idle(self.num_servers, self.capacity or self.steps),
            flights=flights.none(self.steps, self.num_servers),
            tasks=tasks,
            frequency=frequency,
            gain=gain,
            uploading=jnp.zeros(self.users, jnp.float32),
            step=nothing,
            task=jnp.int32(-1),
            size=jnp.float32(0.0),
            rate=jnp.zeros(self.num_servers, jnp.float32),
            dropped=nothing,
            masked=nothing,
            lost=(tasks.arrival[-1] <= (self.steps - 1) * params.step_seconds).astype(jnp.int32),
        )
        state = self._offered(key_task, state, params)
        return state, self._observe(state, params, idle=True)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        speed, step_s = _speed(state.frequency, params), params.step_seconds
        masked = state.frequency[action] <= 0
        server = jnp.where(masked, 0, action)
        size, there = state.size, state.size > 0
        upload = jnp.where(there, size / state.rate[server], 0.0)
        energy = size * _energy(state.frequency[server], params) + params.links.power * upload

        row = sharing.row_of(state.servers, server)
        then = sharing.advance(row, (upload * speed[server])[None])
        delay = upload + sharing.marginal_delay(then, size, speed[server])
        # A task joins at once if its upload ends in this step and no other upload does; otherwise it is put in flight.
        at_once = there & (upload < step_s) & (state.flights.soonest != state.step)
        joined, full = sharing.add(then, size)
        after = flights.Step(
            servers=sharing.put_row(state.servers, jnp.where(at_once, server, self.num_servers), joined),
            clock=jnp.where(at_once & (jnp.arange(self.num_servers, dtype=jnp.int32) == server), upload, 0.0),
            flights=state.flights,
            delay=delay,
            dropped=state.dropped + (full & at_once).astype(jnp.int32),
        )
        put_off = there & ~at_once
        sent = flights.Upload(server, row, speed[server], upload, size)
        if self.channel == "physical":  # most steps have uploads under way
            after = flights.fly(after, sent, put_off, state.step, step_s, speed)
        else:
            wanted = put_off | (there & (state.flights.number[server] > 0)) | (state.flights.soonest == state.step)
            after = _with_flights(wanted, after, sent, put_off, state.step, step_s, speed)
        servers = sharing.advance(after.servers, (step_s - after.clock) * speed)

        uploading = state.uploading
        if self.interference:
            user = jnp.where(there, state.tasks.user[state.task], self.users)
            uploading = jnp.maximum(uploading.at[user].max(upload, mode="drop") - step_s, 0.0)
        state = state._replace(
            servers=servers,
            flights=after.flights,
            uploading=uploading,
            step=state.step + 1,
            dropped=after.dropped,
            masked=state.masked + masked.astype(jnp.int32),
        )
        state = self._offered(key, state, params)
        reward = -jnp.where(there, jnp.stack([after.delay, energy]), 0.0)
        over = jnp.bool_(self.finite) & (state.step >= self.steps)
        return state, self._observe(state, params), reward, over, jnp.bool_(False), self.info(state, params)

    def outlook(self, state: State, params: Params) -> jax.Array:
        """Return the rewards of placing the task on each server, without placing it.

        Returns:
            (S, 3) float32: the two rewards, and minus the task's own delay in seconds if no other task came; minus
            infinity for servers that do not exist, 0 without a task.
        """
        speed, size = _speed(state.frequency, params), state.size
        exists = state.frequency > 0
        upload = jnp.where(exists, size / state.rate, 0.0)
        then = sharing.advance(state.servers, upload * speed)
        held_up = jnp.sum(jnp.minimum(sharing.residuals(then), size), axis=1)
        pace = jnp.where(exists, 1.0 / jnp.maximum(speed, 1e-9), 0.0)
        each = jnp.arange(self.num_servers, dtype=jnp.int32)
        rows = jax.vmap(sharing.row_of, (None, 0))(state.servers, each)
        delay = flights.marginal_delays(
            upload + (size + 2.0 * held_up) * pace,
            flights.Upload(each, rows, speed, upload, jnp.where(exists, size, 0.0)),
            *(state.flights, state.step, params.step_seconds),
        )
        energy = size * _energy(state.frequency, params) + params.links.power * upload
        own = upload + (size + held_up) * pace
        return jnp.where(exists[:, None], -jnp.stack([delay, energy, own], axis=1), -jnp.inf)

    def _idle_outlook(self, state: State, params: Params) -> jax.Array:
        """Return :meth:`outlook` where no server has a task and none is on its way."""
        exists = state.frequency > 0
        upload = jnp.where(exists, state.size / state.rate, 0.0)
        own = upload + state.size / jnp.maximum(_speed(state.frequency, params), 1e-9)
        energy = state.size * _energy(state.frequency, params) + params.links.power * upload
        return jnp.where(exists[:, None], -jnp.stack([own, energy, own], axis=1), -jnp.inf)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return the context, the mask, and the counts of this episode so far.

        Returns:
            ``num_edges``; ``frequencies`` (S,) GHz, 0 for servers that do not exist; ``action_mask`` (S,) int8;
            ``queue_length``, tasks waiting behind the offered one; ``dropped``, ``masked_actions`` and
            ``lost_arrivals``.
        """
        return {
            "num_edges": _num_edges(state),
            "frequencies": state.frequency,
            "action_mask": (state.frequency > 0).astype(jnp.int8),
            "queue_length": arrivals.waiting(state.tasks, self.queue, _now(state, params)),
            "dropped": state.dropped,
            "masked_actions": state.masked,
            "lost_arrivals": state.lost,
        }

    def overflow(self, state: State) -> jax.Array:
        """Return the number () int32 of tasks lost in this episode, so that its delays are wrong; 0 by default.

        A server has room for every task of an episode unless ``capacity`` is given. The arrivals have room unless there
        are more than one episode in a thousand million has, or parameters of a higher rate than the environment's.
        """
        return state.dropped + state.lost

    def overflow_message(self, number: int) -> str:
        """Return the line for an episode that has lost tasks."""
        if self.capacity is not None and self.capacity < self.steps:
            room = f"a server has room for capacity = {self.capacity}; leave capacity out, or give {self.steps}"
        else:
            room = f"more came than arrival_rate = {self.arrival_rate} and steps = {self.steps} leave room for"
        return f"an episode has lost {counted(number, 'task')}, so that its delays are wrong: {room}"

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the queue, the uploads under way and the work left on each server, (H, W, 3) uint8."""
        from morl.envs.pictures import mec_offloading

        return mec_offloading.draw(self, state, params)

    def _offered(self, key: jax.Array, state: State, params: Params) -> State:
        """Return the state with the next task taken from the queue, and its link rates."""
        tasks, task, size = arrivals.offer(state.tasks, self.queue, _now(state, params))
        user = tasks.user[jnp.maximum(task, 0)]
        gain = state.gain
        if self.fading == "task":
            gain = gain * links.draw_fading(key, gain.shape)
        received = links.signal(gain[user], self.channel, params.links)
        interference: jax.Array | float = 0.0
        if self.interference:
            others = (state.uploading > 0) & (jnp.arange(self.users, dtype=jnp.int32) != user)
            interference = jnp.sum(
                jnp.where(others[:, None], links.signal(gain, self.channel, params.links), 0.0), axis=0
            )
        rate = links.rate(received, interference, params.links)
        return state._replace(tasks=tasks, task=task, size=size, rate=rate)

    def _observe(self, state: State, params: Params, *, idle: bool = False) -> jax.Array:
        """Return the observation; with ``idle`` of servers that have nothing to do, which compiles sooner."""
        each = jnp.ones(self.num_servers, jnp.float32)
        features = jnp.stack(
            [
                state.size * each,
                jnp.where(state.size > 0, state.rate, 0.0),
                state.frequency,
                state.servers.running.astype(jnp.float32),
                _num_edges(state).astype(jnp.float32) * each,
            ],
            axis=1,
        )
        exists = state.frequency[:, None] > 0
        rows = jnp.broadcast_to(jnp.where(exists, jnp.float32(0.0), -1.0), (self.num_servers, NUM_FEATURES + self.bins))
        rows = jax.lax.dynamic_update_slice(rows, jnp.where(exists, features, -1.0), (0, 0))
        rows = sharing.count(rows, state.servers, NUM_FEATURES)
        if not self.marginals:
            return rows
        waiting = arrivals.waiting(state.tasks, self.queue, _now(state, params))
        shared = jnp.stack([waiting, self.steps - state.step]).astype(jnp.float32)
        more = [
            -(self._idle_outlook(state, params) if idle else self.outlook(state, params)),
            jnp.sum(sharing.residuals(state.servers), axis=1, keepdims=True),
            jnp.broadcast_to(shared[None], (self.num_servers, 2)),
        ]
        return jnp.concatenate([rows, jnp.where(exists, jnp.concatenate(more, axis=1), -1.0)], axis=1)


_with_flights = where_wanted(flights.fly)


def _now(state: State, params: Params) -> jax.Array:
    """Return the time () of a step in seconds."""
    return state.step.astype(jnp.float32) * params.step_seconds


def _num_edges(state: State) -> jax.Array:
    return jnp.sum(state.frequency > 0, dtype=jnp.int32) - 1


def _speed(frequency: jax.Array, params: Params) -> jax.Array:
    """Return the speed in Mbit/s of servers with these frequencies in GHz."""
    return frequency * 1e3 / params.cycles_per_bit


def _energy(frequency: jax.Array, params: Params) -> jax.Array:
    """Return the J to execute a Mbit on servers with these frequencies f in GHz, κ η f²."""
    return params.capacitance * 1e24 * params.cycles_per_bit * frequency**2
