"""Settings of the task offloading simulator, checked, and the parameters that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import jax.numpy as jnp

from morl.envs.mec.arrivals import ArrivalParams, Queue
from morl.envs.mec.links import Channel, LinkParams
from morl.envs.mec.params import CONTEXTS, Interval, Params, check_interval, check_numbers
from morl.errors import UserError, unknown_name
from morl.validation import check_integer, check_range

Fading = Literal["episode", "task"]


@dataclass(frozen=True)
class Settings:
    """Settings of :class:`.MecOffloading`, with the symbols of Yang et al. (2025).

    Raises:
        UserError: a value out of range; the message names the setting.
    """

    contexts: str = "train"
    """Ranges of the number of edge servers and of the frequencies: train or test, as published."""
    num_edges: int | tuple[int, int] | None = None
    """Number of edge servers, or its smallest and largest value."""
    cloud_frequency: float | Interval | None = None
    """GHz of the cloud, or a range that it is drawn from."""
    edge_frequency: float | Interval | None = None
    """GHz of every edge server, or a range that each is drawn from."""
    frequencies: tuple[float, ...] | None = None
    """GHz of every server, the cloud first, instead of the three settings above."""
    max_edges: int = 10
    """E_max, largest number of edge servers; the observation has a row, and the action a number, more for the cloud."""
    users: int = 10
    """U, number of users."""
    steps: int = 100
    """T, decisions in an episode."""
    step_seconds: float = 1.0
    """Δt, seconds between decisions."""
    arrival_rate: float = 0.1
    """λ_p, tasks a second for each user."""
    mean_size: float | None = None
    """Mean size of a task in Mbit; by default the work that all servers together do in a step."""
    size_range: Interval = (0.1, 100.0)
    """Mbit that sizes are clipped to."""
    cycles_per_bit: float = 1e3
    """η, processor cycles to execute a bit."""
    capacitance: float = 5e-31
    """κ, effective switched capacitance, in J per cycle and Hz²."""
    channel: Channel = "high_rate"
    """Link rates: high_rate as published (the gain enters squared), or physical."""
    fading: Fading = "episode"
    """Rayleigh fading is drawn once an episode, as published, or for each task."""
    interference: bool = False
    """Users whose uploads are under way disturb the link of the next."""
    bandwidth: float = 16.6
    """W, MHz of each link."""
    power: float = 0.01
    """p_off, W of an upload."""
    cloud_distance: Interval = (1000.0, 2000.0)
    """Metres from a user to the cloud."""
    edge_distance: Interval = (50.0, 500.0)
    """Metres from a user to an edge server."""
    path_loss: tuple[float, float] = (133.6, 35.0)
    """Path loss in dB at 1 km, and dB for each decade of distance."""
    shadowing: float = 8.0
    """dB of shadowing on every link, as published."""
    shadowing_spread: float = 0.0
    """Standard deviation in dB of the shadowing between links (log-normal)."""
    antenna_gain: float = 0.0
    """Antenna gain in dB."""
    noise: float = -174.0
    """Noise power density in dBm/Hz."""
    queue: Queue = "fifo"
    """Order in which tasks leave the queue: first come, earliest deadline, or smallest priority class first."""
    deadline: Interval = (5.0, 50.0)
    """Range of the seconds from arrival to deadline, for edf."""
    priorities: int = 3
    """Number of priority classes, for priority."""
    bins: int = 60
    """N, number of bins of the histogram, 1 Mbit each."""
    marginals: bool = False
    """Observe also what the task would add on each server, the work left there, the queue and the steps to come."""
    finite: bool = False
    """End the episode after its last step (terminated), so that nothing after it is worth anything; by default the time
    limit cuts it off (truncated)."""
    capacity: int | None = None
    """Largest number of tasks that a server runs at once; by default as many as an episode has steps, so that no policy
    can exceed it. Exceeding a smaller one is an error, see :meth:`.MecOffloading.overflow`."""

    def __post_init__(self) -> None:
        for field in fields(self):  # lists from a YAML file
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        if self.contexts not in CONTEXTS:
            raise unknown_name("contexts", self.contexts, CONTEXTS)
        for name, allowed in (("channel", Channel), ("fading", Fading), ("queue", Queue)):
            if getattr(self, name) not in get_args(allowed):
                raise unknown_name(name, getattr(self, name), get_args(allowed))
        for name in ("max_edges", "users", "steps", "priorities", "bins"):
            check_integer(self, name, low=1)
        if self.capacity is not None:
            check_integer(self, "capacity", low=1)
        for name in ("step_seconds", "arrival_rate", "cycles_per_bit", "bandwidth", "power"):
            check_range(self, name, low=0, open_low=True)
        if self.mean_size is not None:
            check_range(self, "mean_size", low=0, open_low=True)
        for name in ("capacitance", "shadowing_spread"):
            check_range(self, name, low=0)
        for name in ("shadowing", "antenna_gain", "noise"):
            check_range(self, name, low=-math.inf)
        for name in ("size_range", "cloud_distance", "edge_distance"):
            check_interval(name, getattr(self, name), low=0, open_low=True)
        check_interval("deadline", self.deadline, low=0)
        check_numbers("path_loss", self.path_loss, 2)
        for name in ("interference", "marginals", "finite"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} must be true or false, not {getattr(self, name)!r}")
        _ = self.default_params  # checks the context

    def context(
        self,
        num_edges: int | tuple[int, int] | None = None,
        cloud_frequency: float | Interval | None = None,
        edge_frequency: float | Interval | None = None,
        frequencies: tuple[float, ...] | None = None,
    ) -> Params:
        """Return the parameters of another system, or range of systems, for the same compiled functions.

        Args:
            num_edges, cloud_frequency, edge_frequency, frequencies: as the keywords of the class; those of
                ``contexts`` by default.

        Raises:
            UserError: a number out of range, or ``frequencies`` together with another argument.
        """
        preset = CONTEXTS[self.contexts]
        if frequencies is not None:
            if not (num_edges is cloud_frequency is edge_frequency is None):
                raise UserError("frequencies names every server: give it without num_edges and the other frequencies")
            check_numbers("frequencies", frequencies, None)
            if not 2 <= len(frequencies) <= self.max_edges + 1:
                raise UserError(
                    f"frequencies has one number for the cloud and 1 to {self.max_edges} for edge servers, "
                    f"not {len(frequencies)} in all"
                )
            edges = (len(frequencies) - 1,) * 2
            ranges = [(check_interval("frequencies", f, low=0, open_low=True)) for f in frequencies]
            ranges += [ranges[-1]] * (self.max_edges + 1 - len(ranges))  # unused: servers that do not exist
        else:
            preset_edges = tuple(min(n, self.max_edges) for n in preset.num_edges)
            edges = check_interval("num_edges", preset_edges if num_edges is None else num_edges, low=1)
            if edges[1] > self.max_edges or any(not isinstance(n, int) for n in edges):
                raise UserError(
                    f"num_edges must be whole numbers from 1 to max_edges = {self.max_edges}, not {num_edges}"
                )
            cloud = preset.cloud_frequency if cloud_frequency is None else cloud_frequency
            edge = preset.edge_frequency if edge_frequency is None else edge_frequency
            ranges = [
                check_interval("cloud_frequency", cloud, low=0, open_low=True),
                *[check_interval("edge_frequency", edge, low=0, open_low=True)] * self.max_edges,
            ]
        return self._constants._replace(
            num_edges=jnp.asarray(edges, jnp.int32), frequency=jnp.asarray(ranges, jnp.float32)
        )

    @property
    def default_params(self) -> Params:
        return self.context(self.num_edges, self.cloud_frequency, self.edge_frequency, self.frequencies)

    @property
    def _constants(self) -> Params:
        """Parameters apart from the context."""
        distance = [self.cloud_distance, *[self.edge_distance] * self.max_edges]
        numbers = ("shadowing", "antenna_gain", "noise", "bandwidth", "power")
        return Params(
            num_edges=jnp.zeros(2, jnp.int32),
            frequency=jnp.zeros((self.max_edges + 1, 2), jnp.float32),
            cycles_per_bit=jnp.float32(self.cycles_per_bit),
            capacitance=jnp.float32(self.capacitance),
            step_seconds=jnp.float32(self.step_seconds),
            arrivals=ArrivalParams(
                rate=jnp.float32(self.arrival_rate * self.users),
                mean_size=jnp.float32(self.mean_size or 0.0),
                size_range=jnp.asarray(self.size_range, jnp.float32),
                deadline=jnp.asarray(self.deadline, jnp.float32),
                priorities=jnp.int32(self.priorities),
            ),
            links=LinkParams(
                distance=jnp.asarray(distance, jnp.float32),
                path_loss=jnp.asarray(self.path_loss, jnp.float32),
                **{name: jnp.float32(getattr(self, name)) for name in numbers},
            ),
        )
