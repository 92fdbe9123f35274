"""A battery at home, charged and discharged at a price that changes by the hour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective

HOURS_PER_DAY = 24


class Params(NamedTuple):
    """Constants of the battery and of the market, all () float32.

    Attributes:
        capacity: kWh.
        power: kW, of charging and of discharging.
        efficiency: share of the power bought that ends up in the battery.
        mean_price, swing, noise: euros a kWh: the average, how far the evening is above it, the standard deviation.
    """

    capacity: jax.Array
    power: jax.Array
    efficiency: jax.Array
    mean_price: jax.Array
    swing: jax.Array
    noise: jax.Array


class State(NamedTuple):
    """The battery and the market.

    Attributes:
        charge: () float32, kWh.
        price: () float32, euros a kWh in this hour.
        hour: () int32 since the start.
    """

    charge: jax.Array
    price: jax.Array
    hour: jax.Array


@dataclass(frozen=True)
class HomeBattery:
    """Four days of a home battery, one step an hour.

    Observation (4,) float32: charge over capacity, price in euros a kWh, sine and cosine of the time of day. Action
    (1,) float32 in [-1, 1]: discharge or charge at that share of the full power. Reward (2,): money, euros earned less
    euros spent, and wear, minus the kWh moved in or out. The charge at the start and the prices are random. It never
    terminates; morl cuts it off after ``max_episode_steps``.

    >>> env = HomeBattery()
    >>> state, obs = env.reset(jax.random.key(0), env.default_params)
    >>> obs.shape
    (4,)
    """

    id = "home-battery-v0"
    max_episode_steps = 96
    objectives = (Objective("money", "euro"), Objective("wear", "kWh"))

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(np.array([0, -1, -1, -1], np.float32), np.array([1, 2, 1, 1], np.float32))

    @cached_property
    def action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(np.array([-10, -5], np.float32), np.array([10, 0], np.float32))

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array([-20.0, -200.0])

    @property
    def default_params(self) -> Params:
        return Params(*(jnp.float32(x) for x in (10.0, 4.0, 0.9, 0.3, 0.15, 0.05)))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_charge, key_price = jax.random.split(key)
        charge = params.capacity * jax.random.uniform(key_charge)
        state = State(charge, _price(key_price, jnp.int32(0), params), jnp.int32(0))
        return state, _observe(state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        wanted = state.charge + action[0] * params.power
        moved = jnp.clip(wanted, 0.0, params.capacity) - state.charge  # kWh in this hour
        money = -state.price * jnp.where(moved > 0, moved / params.efficiency, moved)
        reward = jnp.stack([money, -jnp.abs(moved)])
        hour = state.hour + 1
        state = State(jnp.clip(state.charge + moved, 0.0, params.capacity), _price(key, hour, params), hour)
        return state, _observe(state, params), reward, jnp.bool_(False), jnp.bool_(False), {}


def _price(key: jax.Array, hour: jax.Array, params: Params) -> jax.Array:
    """Return a noisy price () float32 with its daily maximum at seven in the evening."""
    daily = params.swing * jnp.cos(2 * jnp.pi * (hour - 19) / HOURS_PER_DAY)
    return jnp.clip(params.mean_price + daily + params.noise * jax.random.normal(key), -1.0, 2.0)


def _observe(state: State, params: Params) -> jax.Array:
    angle = 2 * jnp.pi * state.hour / HOURS_PER_DAY
    return jnp.stack([state.charge / params.capacity, state.price, jnp.sin(angle), jnp.cos(angle)])
