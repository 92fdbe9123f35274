"""Minecart: two ores of five mines against the fuel it takes to fetch them (Abels et al., 2019)."""

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
from morl.envs.classic import MINECART, MINECART_DETERMINISTIC
from morl.errors import UserError
from morl.registry import EnvSpec

MINE, LEFT, RIGHT, ACCELERATE, BRAKE, NONE = range(6)
EPS_SPEED = 0.001  # the cart stands still below this speed
MINE_RADIUS = 0.14
BASE_RADIUS = 0.15
ACCELERATION = 0.0075
FUEL_IDLE, FUEL_ACCELERATE, FUEL_MINE = -0.005, -0.025, -0.05
START_HEADING = 4

# The cart starts at 45 degrees and turns by 10, so its 36 headings are tabled, computed in double precision.
_ANGLES = np.radians(5 + 10 * np.arange(36))
_COS, _SIN = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)

_MINES = np.array([[0.16, 0.84], [0.5, 0.84], [0.84, 0.84], [0.84, 0.5], [0.84, 0.16]], np.float32)
_ORE_MEAN = np.array([[0.2, 0.0], [0.15, 0.1], [0.2, 0.2], [0.1, 0.15], [0.0, 0.2]], np.float32)


class Params(NamedTuple):
    """Constants of the mining district (5 mines, 2 ores).

    Attributes:
        mines: (5, 2) float32 positions in the unit square; the base is its corner (0, 0).
        ore_mean, ore_std: (5, 2) float32 normal distribution of each ore per unit of digging, cut off below 0.
        capacity: () float32, most ore that the cart holds, both kinds together.
    """

    mines: jax.Array
    ore_mean: jax.Array
    ore_std: jax.Array
    capacity: jax.Array


class State(NamedTuple):
    """State of the cart.

    Attributes:
        position: (2,) float32 in the unit square.
        speed: () float32, distance moved in a sub-step.
        heading: () int32 in 0..35; it faces ``5 + 10 * heading`` degrees.
        content: (2,) float32 ore on board.
        departed: () bool, has left the base.
    """

    position: jax.Array
    speed: jax.Array
    heading: jax.Array
    content: jax.Array
    departed: jax.Array


class _Trip(NamedTuple):
    """Scan carry over the sub-steps of one step: the cart, the ore sold, and the flags "is home" and "acts no more"."""

    state: State
    sold: jax.Array
    ended: jax.Array
    stopped: jax.Array


@dataclass(frozen=True)
class Minecart:
    """Cart that leaves its base, digs two ores in five mines and sells them at the base.

    - Objectives: ore_1 and ore_2, the amounts sold at the base; fuel, minus the fuel burnt.
    - Observation: (x, y, speed, sin and cos of the heading, content of each ore / capacity), (7,) float32 in [-1, 1].
    - Action: mine, left, right, accelerate, brake or none, repeated for ``frame_skip`` sub-steps.
    - Termination: the cart comes back to the base. The core truncates after 1000 steps.
    - Source: MO-Gymnasium 1.3.2's ``minecart-v0`` and ``minecart-deterministic-v0`` (Abels et al., 2019), except that
      the ore draws follow the key (there they ignore ``reset(seed=)``).

    >>> env = Minecart(deterministic=True)
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> obs.shape, env.reward_space.shape
    ((7,), (3,))
    """

    deterministic: bool = False
    frame_skip: int = 4

    max_episode_steps = 1000
    render_fps = 15

    def __post_init__(self) -> None:
        if self.frame_skip < 1:
            raise UserError(f"frame_skip must be at least 1, not {self.frame_skip}")

    @property
    def _spec(self) -> EnvSpec:
        return MINECART_DETERMINISTIC if self.deterministic else MINECART

    @property
    def id(self) -> str:
        return self._spec.id

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self._spec.objectives

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (7,), np.float32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(6)

    @cached_property
    def reward_space(self) -> spaces.Box:
        lowest = min(-1.0, self.frame_skip * (FUEL_IDLE + FUEL_MINE))
        return spaces.Box(np.array([0, 0, lowest], np.float32), np.array([1.5, 1.5, 0], np.float32))

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(self._spec.reference_point)

    @property
    def default_params(self) -> Params:
        std = np.zeros_like(_ORE_MEAN) if self.deterministic else np.full_like(_ORE_MEAN, 0.05)
        return Params(jnp.asarray(_MINES), jnp.asarray(_ORE_MEAN), jnp.asarray(std), jnp.float32(1.5))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(
            position=jnp.zeros(2, jnp.float32),
            speed=jnp.float32(0.0),
            heading=jnp.int32(START_HEADING),
            content=jnp.zeros(2, jnp.float32),
            departed=jnp.bool_(False),
        )
        return state, self._observe(state, params)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        noise = (
            jnp.zeros((self.frame_skip, 2), jnp.float32)
            if self.deterministic
            else jax.random.normal(key, (self.frame_skip, 2), dtype=jnp.float32)
        )
        turn = jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0)
        push = jnp.where(action == ACCELERATE, ACCELERATION, jnp.where(action == BRAKE, -1.0, 0.0)).astype(jnp.float32)

        def sub_step(trip: _Trip, noise: jax.Array) -> tuple[_Trip, None]:
            state, stopped = trip.state, trip.stopped
            # The reference applies the action in one more sub-step after the cart is home, and stops only then.
            heading = jnp.where(stopped, state.heading, (state.heading + turn) % 36)
            speed = jnp.where(stopped, state.speed, jnp.clip(state.speed + push, 0.0, 1.0))
            digging = ~stopped & (action == MINE) & (speed < EPS_SPEED)
            content = jnp.where(digging, _dig(state, noise, params), state.content)
            state = state._replace(heading=heading, speed=speed, content=content)
            stopped = trip.ended
            state = jax.tree.map(lambda new, old: jnp.where(stopped, old, new), _drive(state), state)
            at_base = jnp.sum(state.position**2) < BASE_RADIUS**2
            home = ~stopped & at_base & state.departed
            sold = jnp.where(home, state.content, trip.sold)
            state = state._replace(
                content=jnp.where(home, 0.0, state.content), departed=state.departed | (~stopped & ~at_base)
            )
            return _Trip(state, sold, trip.ended | home, stopped), None

        trip = _Trip(state, sold=jnp.zeros(2, jnp.float32), ended=jnp.bool_(False), stopped=jnp.bool_(False))
        # Unrolled into four copies, XLA's code runs and compiles at half the speed of this scan.
        (state, sold, ended, _), _ = jax.lax.scan(sub_step, trip, noise)
        fuel = self.frame_skip * (
            jnp.float32(FUEL_IDLE)
            + jnp.where(action == ACCELERATE, FUEL_ACCELERATE, 0.0)
            + jnp.where(action == MINE, FUEL_MINE, 0.0)
        )
        reward = jnp.concatenate([sold, fuel[None]])
        return state, self._observe(state, params), reward, ended, jnp.bool_(False), {}

    def _observe(self, state: State, params: Params) -> jax.Array:
        direction = jnp.stack([jnp.asarray(_SIN)[state.heading], jnp.asarray(_COS)[state.heading]])
        return jnp.concatenate([state.position, state.speed[None], direction, state.content / params.capacity])

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the district from above, (H, W, 3) uint8."""
        from morl.envs.pictures import minecart

        return minecart.draw(state, params)


def _dig(state: State, noise: jax.Array, params: Params) -> jax.Array:
    """Return the content (2,) after one unit of digging at the nearest mine within reach, cut off at the capacity."""
    squared = jnp.sum((params.mines - state.position[None]) ** 2, axis=-1)
    nearest = jnp.argmin(squared).astype(jnp.int32)
    mined = jnp.maximum(0.0, params.ore_mean[nearest] + params.ore_std[nearest] * noise)
    total = jnp.sum(mined)
    room = params.capacity - jnp.sum(state.content)
    share = jnp.where(total > room, room / jnp.where(total > 0, total, 1.0), 1.0)
    return state.content + jnp.where(squared[nearest] <= MINE_RADIUS**2, mined * share, 0.0)


def _drive(state: State) -> State:
    """Move the cart by one sub-step; a wall met at an angle turns it by 10 degrees and lets it slide."""
    velocity = state.speed * jnp.stack([jnp.asarray(_COS)[state.heading], jnp.asarray(_SIN)[state.heading]])
    low, high = state.position == 0.0, state.position == 1.0
    free = ~low & ~high & (jnp.abs(velocity) > EPS_SPEED)
    met_high, met_low = high & (velocity > 0), low & (velocity < 0)
    into = met_high.astype(jnp.int32) - met_low.astype(jnp.int32)  # wall met on each axis
    sign = jnp.where(velocity > 0, jnp.int32(1), -1)
    turn = jnp.where(free[1], into[0] * sign[1], 0) - jnp.where(free[0], into[1] * sign[0], 0)
    position = jnp.clip(state.position + velocity, 0.0, 1.0)
    moved = state._replace(
        position=position,
        heading=(state.heading + turn) % 36,
        speed=jnp.sqrt(jnp.sum((position - state.position) ** 2)),
    )
    standing = state.speed < EPS_SPEED
    following: State = jax.tree.map(lambda new, old: jnp.where(standing, old, new), moved, state)
    return following
