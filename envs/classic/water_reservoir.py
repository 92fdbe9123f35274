"""Water reservoir: release water to meet demand without flooding (Castelletti, Pianosi and Restelli, 2012)."""

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
from morl.envs.classic import WATER_RESERVOIR_OBJECTIVES, WATER_RESERVOIR_WORST
from morl.errors import UserError
from morl.validation import check_integer, check_range

CAPACITY = 100.0  # level above which the excess must be released
FLOODING_UPSTREAM = 50.0
FLOODING_DOWNSTREAM = 30.0
WATER_DEMAND = 50.0
HYDRO_DEMAND = 4.36
HYDRO = 9.81 * 1000.0 / 3.6e6  # gravity x density x turbine efficiency, J in kWh
STARTS = np.array(
    [96.855361, 58.046026, 116.15767, 20.164311, 79.191, 140.13098, 131.01816, 44.351321, 13.185943, 73.508622],
    np.float32,
)


class Params(NamedTuple):
    """Constants of the inflow in a step, which is normally distributed.

    Attributes:
        inflow_mean, inflow_std: () float32.
    """

    inflow_mean: jax.Array
    inflow_std: jax.Array


class State(NamedTuple):
    """State of the reservoir.

    Attributes:
        level: (1,) float32, water in it.
    """

    level: jax.Array


@dataclass(frozen=True)
class WaterReservoir:
    """Dam that releases water to meet demand without flooding.

    - Objectives: minus the excess over the upstream flooding threshold, minus the deficit of the water supply, minus
      the deficit of the hydroelectric supply, minus the excess over the downstream flooding threshold; the first ``nO``
      (2, 3 or 4) of them. ``penalize`` also subtracts from each the part of the action that was clipped.
    - Observation: the level, (1,) float32.
    - Action: the amount to release, (1,) in [0, inf), clipped to what the reservoir allows; with ``normalized_action``
      the share in [0, 1] of what it allows.
    - Termination: never. The core truncates after ``time_limit`` steps.
    - Source: MO-Gymnasium 1.3.2's ``water-reservoir-v0`` (Castelletti, Pianosi and Restelli, 2012).

    >>> env = WaterReservoir(normalized_action=True)
    >>> [objective.name for objective in env.objectives]
    ['flood_upstream', 'water_deficit']
    """

    time_limit: int = 100
    nO: int = 2  # MO-Gymnasium's keyword
    penalize: bool = False
    normalized_action: bool = False
    initial_state: float | None = None

    id = "water-reservoir-v0"
    render_fps = 4

    def __post_init__(self) -> None:
        check_integer(self, "time_limit", low=1)
        if self.nO not in (2, 3, 4):
            raise UserError(f"nO must be 2, 3 or 4, not {self.nO!r}")
        if self.initial_state is not None:
            object.__setattr__(self, "initial_state", float(np.asarray(self.initial_state).item()))
            check_range(self, "initial_state", low=0)

    @property
    def max_episode_steps(self) -> int:
        return self.time_limit

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return WATER_RESERVOIR_OBJECTIVES[: self.nO]

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0.0, np.inf, (1,), np.float32)

    @cached_property
    def action_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0 if self.normalized_action else np.inf, (1,), np.float32)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, 0.0, (self.nO,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return self.time_limit * np.array(WATER_RESERVOIR_WORST[: self.nO])

    @property
    def default_params(self) -> Params:
        return Params(jnp.float32(40.0), jnp.float32(10.0))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        if self.initial_state is not None:
            level = jnp.full(1, self.initial_state, jnp.float32)
        elif self.penalize:
            level = jax.random.randint(key, (1,), 0, 160, dtype=jnp.int32).astype(jnp.float32)
        else:
            level = jax.random.choice(key, jnp.asarray(STARTS), (1,))
        return State(level), level

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        level = state.level[0]
        least = jnp.maximum(level - CAPACITY, 0.0)
        if self.normalized_action:
            released = least + action[0] * (level - least)
            penalty = jnp.float32(0.0)
        else:
            released = jnp.clip(action[0], least, level)
            penalty = -jnp.abs(released - action[0]) if self.penalize else jnp.float32(0.0)
        inflow = params.inflow_mean + params.inflow_std * jax.random.normal(key, dtype=jnp.float32)
        level = jnp.maximum(level + inflow - released, 0.0)
        missing = jnp.stack(
            [
                level - FLOODING_UPSTREAM,
                WATER_DEMAND - released,
                HYDRO_DEMAND - HYDRO * level * released,
                released - FLOODING_DOWNSTREAM,
            ]
        )
        reward = (penalty - jnp.maximum(missing, 0.0))[: self.nO]
        state = State(level[None])
        return state, state.level, reward, jnp.bool_(False), jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the reservoir behind its dam, (H, W, 3) uint8."""
        from morl.envs.pictures import water_reservoir

        return water_reservoir.draw(state)
