"""Mountain car: swing out of a valley, with rewards for time, moves and speed (Moore, 1990; Vamplew et al., 2011)."""

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
from morl.envs.classic import MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS
from morl.validation import check_range

REVERSE, COAST, FORWARD = range(3)
MIN_POSITION, MAX_POSITION = -1.2, 0.6
MAX_SPEED = 0.07
GRAVITY = 0.0025
FORCE = 0.001  # acceleration by a discrete action
POWER = 0.0015  # acceleration by the largest continuous action
GOAL_POSITION, GOAL_POSITION_CONTINUOUS = 0.5, 0.45
START = (-0.6, -0.4)
SPEED_REWARD = 15.0

_SUFFIX = {  # (add_speed_objective, remove_move_penalty, merge_move_penalty) -> MO-Gymnasium's name
    (False, False, False): "",
    (True, False, True): "-3d",
    (False, False, True): "-timemove",
    (True, True, False): "-timespeed",
}


class Params(NamedTuple):
    """Constants of the valley.

    Attributes:
        goal_velocity: () float32, least velocity at the goal that counts.
    """

    goal_velocity: jax.Array


class State(NamedTuple):
    """State of the car.

    Attributes:
        position: () float32 in [-1.2, 0.6].
        velocity: () float32 in [-0.07, 0.07], position a step.
    """

    position: jax.Array
    velocity: jax.Array


def _reset(key: jax.Array) -> tuple[State, jax.Array]:
    state = State(jax.random.uniform(key, minval=START[0], maxval=START[1], dtype=jnp.float32), jnp.float32(0.0))
    return state, jnp.stack(state)


def _drive(state: State, acceleration: jax.Array) -> State:
    """Move the car by one step under gravity; the left wall stops it."""
    velocity = state.velocity + acceleration - GRAVITY * jnp.cos(3 * state.position)
    velocity = jnp.clip(velocity, -MAX_SPEED, MAX_SPEED)
    position = jnp.clip(state.position + velocity, MIN_POSITION, MAX_POSITION)
    stopped = (position == jnp.float32(MIN_POSITION)) & (velocity < 0)
    return State(position, jnp.where(stopped, 0.0, velocity))


@dataclass(frozen=True)
class MountainCar:
    """Car that must swing to leave a valley, with three actions.

    - Objectives: time, -1 a step except for the step that reaches the goal; reverse and forward, -1 for each such
      action (one objective "moves" for both with ``merge_move_penalty``, none with ``remove_move_penalty``); speed, 15
      times the speed, with ``add_speed_objective``.
    - Observation: (position, velocity), (2,) float32.
    - Action: reverse, coast or forward.
    - Termination: the goal is reached at ``goal_velocity`` or faster. The core truncates after 200 steps.
    - Source: MO-Gymnasium 1.3.2's ``mo-mountaincar-v0``, ``-3d-v0``, ``-timemove-v0`` and ``-timespeed-v0``, whose
      reward space lacks the 0 at the goal.

    >>> env = MountainCar(add_speed_objective=True, remove_move_penalty=True)
    >>> [objective.name for objective in env.objectives]
    ['time', 'speed']
    """

    add_speed_objective: bool = False
    remove_move_penalty: bool = False
    merge_move_penalty: bool = False
    goal_velocity: float = 0.0

    max_episode_steps = 200
    render_fps = 30

    def __post_init__(self) -> None:
        check_range(self, "goal_velocity", low=-MAX_SPEED, high=MAX_SPEED)

    @property
    def id(self) -> str:
        merged = self.merge_move_penalty and not self.remove_move_penalty
        return f"mo-mountaincar{_SUFFIX.get((self.add_speed_objective, self.remove_move_penalty, merged), '')}-v0"

    @property
    def _names(self) -> list[str]:
        """Names of the objectives that the keywords choose."""
        moves = ["moves"] if self.merge_move_penalty else ["reverse", "forward"]
        return ["time", *([] if self.remove_move_penalty else moves), *(["speed"] if self.add_speed_objective else [])]

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(MOUNTAIN_CAR[name][0] for name in self._names)

    @cached_property
    def observation_space(self) -> spaces.Box:
        low, high = np.array([[MIN_POSITION, -MAX_SPEED], [MAX_POSITION, MAX_SPEED]], np.float32)
        return spaces.Box(low, high)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(3)

    @cached_property
    def reward_space(self) -> spaces.Box:
        low, high = np.full(len(self.objectives), -1.0, np.float32), np.zeros(len(self.objectives), np.float32)
        if self.add_speed_objective:
            low[-1], high[-1] = 0.0, 1.1
        return spaces.Box(low, high)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array([MOUNTAIN_CAR[name][1] for name in self._names])

    @property
    def default_params(self) -> Params:
        return Params(jnp.float32(self.goal_velocity))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        return _reset(key)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        state = _drive(state, (action - COAST).astype(jnp.float32) * FORCE)
        terminated = (state.position >= GOAL_POSITION) & (state.velocity >= params.goal_velocity)
        rewards = [jnp.where(terminated, 0.0, -1.0)]
        if not self.remove_move_penalty:
            penalised = [action != COAST] if self.merge_move_penalty else [action == REVERSE, action == FORWARD]
            rewards += [jnp.where(moved, -1.0, 0.0) for moved in penalised]
        if self.add_speed_objective:
            rewards.append(SPEED_REWARD * jnp.abs(state.velocity))
        return state, jnp.stack(state), jnp.stack(rewards).astype(jnp.float32), terminated, jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the valley, (H, W, 3) uint8."""
        from morl.envs.pictures import mountain_car

        return mountain_car.draw(state, GOAL_POSITION)


@dataclass(frozen=True)
class MountainCarContinuous:
    """Car that must swing to leave a valley, with a continuous force.

    - Objectives: time, -1 a step except for the step that reaches the goal; fuel, minus the square of the action.
    - Observation: (position, velocity), (2,) float32.
    - Action: the force, (1,) in [-1, 1].
    - Termination: the goal is reached at ``goal_velocity`` or faster. The core truncates after 999 steps.
    - Source: MO-Gymnasium 1.3.2's ``mo-mountaincarcontinuous-v0``.

    >>> env = MountainCarContinuous()
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> state, obs, reward, *_ = env.step(jax.random.key(2), state, jnp.array([-0.5]), env.default_params)
    >>> reward.tolist()
    [-1.0, -0.25]
    """

    goal_velocity: float = 0.0

    id = "mo-mountaincarcontinuous-v0"
    max_episode_steps = 999
    render_fps = 30
    objectives = MOUNTAIN_CAR_CONTINUOUS.objectives

    def __post_init__(self) -> None:
        check_range(self, "goal_velocity", low=-MAX_SPEED, high=MAX_SPEED)

    @cached_property
    def observation_space(self) -> spaces.Box:
        low, high = np.array([[MIN_POSITION, -MAX_SPEED], [MAX_POSITION, MAX_SPEED]], np.float32)
        return spaces.Box(low, high)

    @cached_property
    def action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 0.0, (2,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(MOUNTAIN_CAR_CONTINUOUS.reference_point)

    @property
    def default_params(self) -> Params:
        return Params(jnp.float32(self.goal_velocity))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        return _reset(key)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        state = _drive(state, jnp.clip(action[0], -1.0, 1.0) * POWER)
        terminated = (state.position >= GOAL_POSITION_CONTINUOUS) & (state.velocity >= params.goal_velocity)
        reward = jnp.stack([jnp.where(terminated, jnp.float32(0.0), -1.0), -(action[0] ** 2)])
        return state, jnp.stack(state), reward, terminated, jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the valley, (H, W, 3) uint8."""
        from morl.envs.pictures import mountain_car

        return mountain_car.draw(state, GOAL_POSITION_CONTINUOUS)
