"""Heating and cooling of the 23 zones of an office (Yeh et al., 2023; Liu et al., 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.linalg import expm

from morl.envs.base import Objective
from morl.envs.building import BUILDING_3D, BUILDING_9D
from morl.errors import UserError
from morl.registry import EnvSpec
from morl.validation import check_integer, check_range

ZONES = 23
FLOORS = {"bottom": (0, 9), "middle": (9, 16), "top": (16, 23)}  # zones [start, stop), with basement and plenums
HOUR, DAYS = 3600, 365
SCALE = 20.0  # divisor of temperature errors (K), and of the power of a floor, in the rewards
OUTDOOR, GROUND, SOLAR, PRICE = range(4)  # columns of the series

# Heat of an occupant (W) at a mean temperature T: HEAT @ (1, T, T²), EnergyPlus's polynomial at a metabolic rate of
# 120 W without its term linear in T alone, which SustainGym counts elsewhere.
METABOLISM = np.array([1.0, 120.0, 120.0**2])
HEAT = (
    float(METABOLISM @ [6.461927, 0.946892, 0.0000255737]),
    float(METABOLISM @ [0.0, -0.0627909, 0.0000589172]),
    float(METABOLISM @ [-0.19855, 0.000940018, -0.00000149532]),
)

# Prices of a day as shares of the highest: cheap at night, dearest at 8 h, cheapest around 15 h. The published runs
# use El Paso's hourly prices, which are not part of SustainGym; these vary about as much.
DAY = np.interp(np.arange(24), (0, 3, 8, 15, 24), (0.85, 0.7, 1.0, 0.65, 0.85))


class Params(NamedTuple):
    """Constants of the building and its surroundings.

    Attributes:
        transition: (23, 49) float32, (A_d, B_d) of X' = A_d X + B_d Y, where X are the 23 zone temperatures and Y the
            temperatures outdoors and of the ground, the 23 powers and the sun.
        target: () float32, °C, wanted in every zone.
        series: (N, 4) float32, for each step of the year the temperature outdoors and of the ground (°C), the sun and
            the price, both as shares of their highest.
    """

    transition: jax.Array
    target: jax.Array
    series: jax.Array


class State(NamedTuple):
    """State of the building.

    Attributes:
        temperature: (23,) float32, °C, of each zone.
        time: () int32, steps since the beginning of the year.
        power: (F,) float32, sum of the absolute actions of the last step over all zones (F = 1) or by floor (F = 3).
    """

    temperature: jax.Array
    time: jax.Array
    power: jax.Array


@dataclass(frozen=True)
class Building:
    """Office whose 23 zones are heated and cooled.

    - Objectives, of n zones with temperature errors e (K) and actions a: comfort, n - |e|₁ / 20; energy price,
      n - price |a|₁ (``by_floor``: energy, n - |a|₁ / 20, without a price); ramping, n - ||a|₁ - |previous a|₁|, with
      a power of 0 before the first step. They are of all zones (three objectives), or ``by_floor`` of the bottom (9
      zones), middle (7) and top (7) floor (nine objectives, comfort of all floors first).
    - Observation, float32: 23 zone temperatures, outdoors and ground (°C); the sun as a share of the year's highest;
      the heat of an occupant (kW); unless ``by_floor``, the price of the next step as a share of the highest. Weather
      and heat are those of the step that was taken.
    - Action: the power of each zone's unit as a share of its 8 kW, (23,) in [-1, 1], negative to cool.
    - Termination: never. The core truncates after ``episode_steps`` steps of ``time_resolution`` seconds, a day by
      default. An episode starts at ``target`` °C everywhere, at a step of the year drawn from the key or at the
      beginning of ``start_day`` (0 to 364). The series repeats at the end of the year.
    - Source: dynamics, weather and observation are those of SustainGym 0.1.7's ``BuildingEnv`` for OfficeLarge,
      Warm_Marine and ElPaso, with ``start_day`` as its seed; its observation has no price and leaves its own space. The
      rewards are those of the C-MORL paper (Liu et al., ICLR 2025), whose code has 480 steps of an hour, 20 °C and
      starts in the first days of January; there, prices are noisy and ramping is one step late from the third step on.

    ``prices`` are those of the 24 hours of each day, in any currency.

    >>> env = Building(start_day=180)
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> state, obs, reward, *_ = env.step(jax.random.key(2), state, jnp.zeros(23), env.default_params)
    >>> [objective.name for objective in env.objectives], reward[1:].tolist()
    (['comfort', 'energy_price', 'ramping'], [23.0, 23.0])
    """

    by_floor: bool = False
    time_resolution: int = 300
    episode_steps: int = 288
    start_day: int | None = None
    target: float = 22.0
    prices: tuple[float, ...] | None = None

    render_fps = 12

    def __post_init__(self) -> None:
        check_integer(self, "time_resolution", low=60, high=HOUR)
        check_integer(self, "episode_steps", low=1)
        if self.start_day is not None:
            check_integer(self, "start_day", low=0, high=DAYS - 1)
        check_range(self, "target", low=10.0, high=30.0)
        if self.prices is not None:
            if self.by_floor:
                raise UserError("prices have no effect with by_floor: its rewards are for energy")
            object.__setattr__(self, "prices", tuple(float(price) for price in self.prices))
            given = np.array(self.prices)
            if given.shape != (24,) or not np.isfinite(given).all() or given.min() < 0 or given.max() == 0:
                raise UserError(f"prices must be 24 numbers, none below 0 and not all 0, not {self.prices}")

    @property
    def _spec(self) -> EnvSpec:
        return BUILDING_9D if self.by_floor else BUILDING_3D

    @property
    def id(self) -> str:
        return self._spec.id

    @property
    def max_episode_steps(self) -> int:
        return self.episode_steps

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self._spec.objectives

    @cached_property
    def observation_space(self) -> spaces.Box:
        series = _series(self.time_resolution, self.prices)
        coldest, hottest = self._extremes
        mean = np.linspace(coldest.mean(), hottest.mean(), 100)
        heat = (HEAT[0] + mean * (HEAT[1] + mean * HEAT[2])) / 1000
        low = [*coldest, *series[:, :PRICE].min(axis=0), heat.min() - 0.01]
        high = [*hottest, *series[:, :PRICE].max(axis=0), heat.max() + 0.01]
        if not self.by_floor:
            low, high = [*low, 0.0], [*high, 1.0]
        return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))

    @cached_property
    def action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (ZONES,), np.float32)

    @cached_property
    def reward_space(self) -> spaces.Box:
        coldest, hottest = self._extremes
        error = np.maximum(hottest - self.target, self.target - coldest)
        best = np.array([stop - start for start, stop in self._groups])
        comfort = best - np.array([error[start:stop].sum() for start, stop in self._groups]) / SCALE
        energy = best - best / SCALE if self.by_floor else 0 * best
        low = np.hstack([comfort, energy, 0 * best])
        return spaces.Box(low.astype(np.float32), np.tile(best, 3).astype(np.float32))

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(self._spec.reference_point)

    @property
    def default_params(self) -> Params:
        return Params(
            transition=jnp.asarray(_transition(self.time_resolution), jnp.float32),
            target=jnp.float32(self.target),
            series=jnp.asarray(_series(self.time_resolution, self.prices)),
        )

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        length = params.series.shape[0]
        if self.start_day is None:
            time = jax.random.randint(key, (), 0, length - 1, dtype=jnp.int32)
        else:
            time = jnp.int32(self.start_day / DAYS * length)  # as SustainGym uses its seed
        temperature = jnp.full(ZONES, params.target, jnp.float32)
        state = State(temperature, time, jnp.zeros(len(self._groups), jnp.float32))
        return state, self._observe(state, params.series[time], temperature, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        now = params.series[state.time]
        inputs = jnp.concatenate([state.temperature, now[:SOLAR], action, now[SOLAR, None]])
        # the default precision of an accelerator is wrong by tenths of a degree
        temperature = jnp.matmul(params.transition, inputs, precision=jax.lax.Precision.HIGHEST)
        error, power = self._norms(temperature - params.target), self._norms(action)
        zones = jnp.array([stop - start for start, stop in self._groups], jnp.float32)
        price = 1 / SCALE if self.by_floor else now[PRICE]
        ramp = jnp.abs(power - state.power)
        reward = jnp.concatenate([zones - error / SCALE, zones - price * power, zones - ramp])
        time = jnp.where(state.time + 1 < params.series.shape[0], state.time + 1, 0)
        following = State(temperature, time, power)
        obs = self._observe(following, now, state.temperature, params)
        return following, obs, reward, jnp.bool_(False), jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the temperatures of the zones of each floor, (H, W, 3) uint8."""
        from morl.envs.pictures import building

        return building.draw(state, params, self.time_resolution)

    @property
    def _groups(self) -> list[tuple[int, int]]:
        """Return the zones [start, stop) of each part of the building that has its own rewards."""
        return list(FLOORS.values()) if self.by_floor else [(0, ZONES)]

    def _norms(self, values: jax.Array) -> jax.Array:
        """Return the sums (F,) of absolute values (23,)."""
        return jnp.stack([jnp.abs(values[start:stop]).sum() for start, stop in self._groups])

    def _observe(self, state: State, now: jax.Array, warmed: jax.Array, params: Params) -> jax.Array:
        """Return the observation after a step in the weather ``now`` that began with the temperatures ``warmed``."""
        mean = warmed.mean()
        heat = (HEAT[0] + mean * (HEAT[1] + mean * HEAT[2])) / 1000
        parts = [state.temperature, now[:PRICE], heat[None]]
        if not self.by_floor:
            parts.append(params.series[state.time, PRICE, None])
        return jnp.concatenate(parts)

    @cached_property
    def _extremes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the temperatures (23,) °C that no zone falls below, and those that none exceeds.

        No entry of the transition is negative. A zone that starts below its steady temperature in the warmest weather
        with all units heating fully therefore never exceeds it; that weather counts as no colder than the start. The
        same holds for the coldest weather.
        """
        transition, weather = _transition(self.time_resolution), _series(self.time_resolution, self.prices)[:, :PRICE]

        def limit(outdoor: float, ground: float, power: float, solar: float) -> NDArray[np.float64]:
            inputs = np.hstack([outdoor, ground, np.full(ZONES, power), solar])
            return np.linalg.solve(np.eye(ZONES) - transition[:, :ZONES], transition[:, ZONES:] @ inputs)

        (cold, cold_ground, dark), (warm, warm_ground, bright) = weather.min(axis=0), weather.max(axis=0)
        coldest = limit(min(cold, self.target), min(cold_ground, self.target), -1.0, dark)
        hottest = limit(max(warm, self.target), max(warm_ground, self.target), 1.0, bright)
        return np.floor(coldest), np.ceil(hottest)


@cache
def _table(name: str) -> NDArray[np.float64]:
    """Return the numbers of a data file, whose first line is its source and whose second names the columns."""
    with (files("morl.envs.building") / name).open(encoding="utf-8") as lines:
        names = lines.readlines()[1].split(",")
        lines.seek(0)
        table = np.loadtxt(lines, delimiter=",", skiprows=2, usecols=range(names[0] == "zone", len(names)))
    table.setflags(write=False)
    return table


@cache
def _transition(time_resolution: int) -> NDArray[np.float64]:
    """Return (A_d, B_d), (23, 49), for steps of that many seconds: the exact solution for inputs held constant."""
    zones = _table("zones.csv")
    a, (ground, outdoor, heating, solar) = zones[:, :ZONES], zones[:, ZONES:].T
    # SustainGym divides an hour's irradiance by the step in hours, so that the sun counts more in short steps
    b = np.column_stack([outdoor, ground, np.diag(heating), solar * HOUR / time_resolution])
    a_d = expm(a * time_resolution)
    transition = np.hstack([a_d, np.linalg.solve(a, (a_d - np.eye(ZONES)) @ b)])
    transition.setflags(write=False)
    return transition


@cache
def _series(time_resolution: int, prices: tuple[float, ...] | None) -> NDArray[np.float32]:
    """Return weather and price of each step of the year, (N, 4): weather is interpolated, prices are hourly."""
    weather = _table("weather.csv")
    # the weather file ends at the beginning of its last hour
    hours = np.arange(-(-(len(weather) - 1) * HOUR // time_resolution)) * time_resolution / HOUR
    columns = [np.interp(hours, np.arange(len(weather)), column) for column in weather.T]
    day = DAY if prices is None else np.array(prices) / max(prices)
    series = np.column_stack([*columns, day[hours.astype(int) % 24]]).astype(np.float32)
    series.setflags(write=False)
    return series
