"""Tasks that arrive in bursts: a Poisson process whose rate a hidden state switches between two values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.envs.offloading import MEC_BURSTY, system
from morl.envs.offloading.scenario import COLUMNS, Scenario, State
from morl.envs.offloading.system import Params
from morl.validation import check_range


class Bursts(NamedTuple):
    """Parameters of the bursts.

    Attributes:
        factor: () float32 rate in a burst by that in calm.
        seconds: (2,) float32 mean lengths of calm and of a burst.
    """

    factor: jax.Array
    seconds: jax.Array


@dataclass(frozen=True)
class MecBursty(Scenario):
    """Cloud and edge servers, with tasks that arrive in bursts.

    - Objectives: delay, minus the seconds that tasks spend in the system; energy, minus the J of uploads and of
      execution.
    - Observation: (S, 11) float32, a row for each server, all 0 for one that does not exist. Columns: 1 if it may be
      chosen; size of the task, Mbit; seconds of its upload; Mbit/s of the server; tasks that it executes; uploads to
      it; Mbit left on it; Mbit of its tasks counted up to the size of the task; J of the task there; share of the
      episode's tasks to come; seconds since the task before. Whether a burst is on is not seen.
    - Action: the number of a server, 0 for the cloud. An action that is not allowed means the first that is.
    - Arrivals: a Markov-modulated Poisson process (Fischer and Meier-Hellstern, 1993) of two states, calm and burst,
      whose lengths are exponential; ``arrival_rate`` is the mean over both.
    - Termination: when the episode's tasks are all done, after its last step.

    >>> env = MecBursty()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape
    (5, 11)
    """

    burst_factor: float = 8.0
    """Rate in a burst by that in calm."""
    calm_seconds: float = 15.0
    """Mean length of calm."""
    burst_seconds: float = 3.0
    """Mean length of a burst."""

    id = MEC_BURSTY.id
    objectives = MEC_BURSTY.objectives
    reference_point = np.array(MEC_BURSTY.reference_point)
    columns = (*COLUMNS, "since")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "burst_factor", low=1)
        for name in ("calm_seconds", "burst_seconds"):
            check_range(self, name, low=0, open_low=True)

    @property
    def phases(self) -> int:
        """Number of phases of calm and burst that are drawn: three times those of an episode; the last one lasts."""
        cycles = self.tasks / self.arrival_rate / (self.calm_seconds + self.burst_seconds)
        return 2 * math.ceil(3 * cycles + 8)

    @property
    def default_params(self) -> Params:
        seconds = jnp.asarray([self.calm_seconds, self.burst_seconds], jnp.float32)
        return super().default_params._replace(own=Bursts(jnp.float32(self.burst_factor), seconds))

    def _arrivals(self, key: jax.Array, params: Params) -> tuple[jax.Array, jax.Array]:
        key_times, key_size = jax.random.split(key)
        times = burst_times(key_times, self.tasks, self.phases, params.load.rate, params.own)
        return jnp.diff(times), system.draw_sizes(key_size, (self.tasks,), params.load)

    def _start(self, key: jax.Array, params: Params) -> jax.Array:
        """Return the seconds since the task before, 0 at the start."""
        return jnp.zeros((), jnp.float32)

    def _after(self, state: State, action: jax.Array, gap: jax.Array, params: Params) -> jax.Array:
        return gap

    def _columns(self, state: State, params: Params) -> list[jax.Array]:
        return [*super()._columns(state, params), state.own * jnp.ones(self.rows, jnp.float32)]


def burst_times(key: jax.Array, number: int, phases: int, rate: jax.Array, bursts: Bursts) -> jax.Array:
    """Draw the seconds (number,) at which tasks arrive.

    Arrivals are a Poisson process of rate 1 in the time Λ(t) = ∫ λ(u) du, which is linear in each phase and is inverted
    here: exact, without a loop over phases.

    Args:
        key: random key.
        number: of tasks.
        phases: of calm and burst that are drawn; the last one goes on for ever.
        rate: () tasks a second, the mean over both.
        bursts: the parameters.
    """
    key_first, key_length, key_task = jax.random.split(key, 3)
    calm, burst = bursts.seconds
    calm_rate = rate * (calm + burst) / (calm + bursts.factor * burst)
    in_burst = jax.random.uniform(key_first, (), dtype=jnp.float32) < burst / (calm + burst)
    is_burst = (jnp.arange(phases, dtype=jnp.int32) % 2 == 1) ^ in_burst
    rates = calm_rate * jnp.where(is_burst, bursts.factor, 1.0)
    length = jnp.where(is_burst, burst, calm) * jax.random.exponential(key_length, (phases,), dtype=jnp.float32)
    zero = jnp.zeros(1, jnp.float32)
    start = jnp.concatenate([zero, jnp.cumsum(length)[:-1]])
    passed = jnp.concatenate([zero, jnp.cumsum(rates * length)[:-1]])  # Λ at the starts
    at = jnp.cumsum(jax.random.exponential(key_task, (number,), dtype=jnp.float32))  # Λ at the arrivals
    phase = jnp.sum(passed[None] <= at[:, None], axis=1, dtype=jnp.int32) - 1
    times: jax.Array = start[phase] + (at - passed[phase]) / rates[phase]
    return times
