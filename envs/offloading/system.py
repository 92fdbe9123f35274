"""Settings of the servers, links and tasks that the scenarios share, checked, and the parameters that follow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.envs.mec.params import Interval, check_interval, check_numbers
from morl.errors import UserError
from morl.ops.batching import with_leading_axes
from morl.validation import check_range


class Params(NamedTuple):
    """Parameters that can change without compiling again; S rows, the cloud first, then the edge servers.

    Attributes:
        edges: (2,) int32 smallest and largest number of edge servers of an episode.
        frequency: (S, 2) float32 GHz, bounds of each server's uniform distribution.
        rate: (S, 2) float32 Mbit/s, bounds of the uniform distribution of the links; 0 for no upload.
        cycles_per_bit: () float32 η.
        capacitance: () float32 κ, in J per cycle and Hz².
        power: () float32 W of an upload.
        load: of the tasks that arrive; () where a scenario has its own.
        own: parameters of the scenario.
    """

    edges: jax.Array
    frequency: jax.Array
    rate: jax.Array
    cycles_per_bit: jax.Array
    capacitance: jax.Array
    power: jax.Array
    load: Any = ()
    own: Any = ()


class Load(NamedTuple):
    """Parameters of the tasks that arrive.

    Attributes:
        rate: () float32 tasks a second.
        mean_size: () float32 Mbit, mean of the exponential distribution.
        size_range: (2,) float32 Mbit that sizes are clipped to.
    """

    rate: jax.Array
    mean_size: jax.Array
    size_range: jax.Array


@dataclass(frozen=True)
class System:
    """Settings of a cloud, edge servers and links.

    Raises:
        UserError: a value out of range; the message names the setting.
    """

    edges: int | tuple[int, int] = (2, 4)
    """Number of edge servers, or its smallest and largest value; drawn each episode."""
    cloud_frequency: float | Interval = 4.0
    """f_0, GHz of the cloud, or a range that it is drawn from each episode."""
    edge_frequency: float | Interval = (1.5, 2.5)
    """f_s, GHz of every edge server, or a range that each is drawn from each episode."""
    cloud_rate: float | Interval = (5.0, 15.0)
    """R_0, Mbit/s of the links to the cloud, or a range that each is drawn from."""
    edge_rate: float | Interval = (10.0, 50.0)
    """R_s, Mbit/s of the links to edge servers, or a range that each is drawn from."""
    cycles_per_bit: float = 1e3
    """η, processor cycles to execute a bit."""
    capacitance: float = 5e-31
    """κ, effective switched capacitance, in J per cycle and Hz²."""
    power: float = 0.02
    """p, W of an upload."""

    def __post_init__(self) -> None:
        for field in fields(self):  # lists from a YAML file
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, _as_tuples(value))
        check_range(self, "cycles_per_bit", low=0, open_low=True)
        for name in ("capacitance", "power"):
            check_range(self, name, low=0)
        for name in ("cloud_frequency", "edge_frequency", "cloud_rate", "edge_rate"):
            check_interval(name, getattr(self, name), low=0, open_low=True)
        if any(isinstance(n, bool) or not isinstance(n, int) for n in check_interval("edges", self.edges, low=1)):
            raise UserError(f"edges must be a whole number, or two in ascending order, not {self.edges!r}")

    @property
    def max_edges(self) -> int:
        """Largest number of edge servers."""
        return self.edges[1] if isinstance(self.edges, tuple) else self.edges

    @property
    def num_servers(self) -> int:
        """Number of servers, the cloud and those that do not exist included."""
        return 1 + self.max_edges

    @property
    def default_params(self) -> Params:
        def rows(cloud: Any, edge: Any) -> jax.Array:
            bounds = [check_interval("", x, low=0) for x in (cloud, *[edge] * self.max_edges)]
            return jnp.asarray(bounds, jnp.float32)

        return Params(
            edges=jnp.asarray(check_interval("edges", self.edges, low=1), jnp.int32),
            frequency=rows(self.cloud_frequency, self.edge_frequency),
            rate=rows(self.cloud_rate, self.edge_rate),
            cycles_per_bit=jnp.float32(self.cycles_per_bit),
            capacitance=jnp.float32(self.capacitance),
            power=jnp.float32(self.power),
        )


@dataclass(frozen=True)
class Workload:
    """Settings of the tasks that arrive."""

    arrival_rate: float = 1.0
    """λ, tasks a second."""
    mean_size: float = 5.0
    """Mbit, mean of the exponential distribution of sizes."""
    size_range: Interval = (0.1, 50.0)
    """Mbit that sizes are clipped to."""

    def check_workload(self) -> None:
        """Raise a UserError that names a setting that is out of range."""
        for name in ("arrival_rate", "mean_size"):
            check_range(self, name, low=0, open_low=True)
        check_bounds("size_range", self.size_range)

    def load(self) -> Load:
        """Return the parameters of the tasks."""
        size_range = jnp.asarray(self.size_range, jnp.float32)
        return Load(jnp.float32(self.arrival_rate), jnp.float32(self.mean_size), size_range)


def check_bounds(name: str, value: Any) -> None:
    """Raise a UserError unless the value is two positive numbers in ascending order."""
    check_numbers(name, value, 2)
    check_interval(name, value, low=0, open_low=True)


def between(key: jax.Array, bounds: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw float32 of uniform distributions with bounds (..., 2), whose leading axes ``shape`` ends with."""
    low, high = (with_leading_axes(bounds[..., i], len(shape)) for i in range(2))
    return low + (high - low) * jax.random.uniform(key, shape, dtype=jnp.float32)


def draw_frequencies(key: jax.Array, num_servers: int, params: Params) -> jax.Array:
    """Draw the GHz of all rows, 0 for edge servers that do not exist; rows from ``num_servers`` on always do."""
    key_edges, key_frequency = jax.random.split(key)
    edges = jax.random.randint(key_edges, (), params.edges[0], params.edges[1] + 1, dtype=jnp.int32)
    frequency = between(key_frequency, params.frequency, (len(params.frequency),))
    row = jnp.arange(len(params.frequency), dtype=jnp.int32)
    return jnp.where((row <= edges) | (row >= num_servers), frequency, 0.0)


def draw_sizes(key: jax.Array, shape: tuple[int, ...], load: Load) -> jax.Array:
    """Draw the Mbit of tasks: exponential, clipped."""
    size = load.mean_size * jax.random.exponential(key, shape, dtype=jnp.float32)
    return jnp.clip(size, load.size_range[0], load.size_range[1])


def speed(frequency: jax.Array, params: Params) -> jax.Array:
    """Return the Mbit/s of processors of these GHz, v = f / η."""
    return frequency * 1e3 / params.cycles_per_bit


def energy(frequency: jax.Array, params: Params) -> jax.Array:
    """Return the J to execute a Mbit on processors of these GHz, κ η f²."""
    return params.capacitance * 1e24 * params.cycles_per_bit * frequency**2


def upload_seconds(size: jax.Array, rate: jax.Array) -> jax.Array:
    """Return size / rate in seconds, 0 where the rate is 0, for no upload."""
    return jnp.where(rate > 0.0, size / jnp.where(rate > 0.0, rate, 1.0), 0.0)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
