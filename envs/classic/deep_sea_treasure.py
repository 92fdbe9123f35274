"""Deep Sea Treasure: a submarine trades time against the value of the treasure it picks up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.classic import DEEP_SEA_TREASURE
from morl.errors import UserError
from morl.ops.pareto import convex_coverage_set, non_dominated
from morl.validation import check_discount

MapName = Literal["convex", "concave", "mirrored"]

ROCK = -10.0
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)  # up, down, left, right as (row, column)

# (row, column, value of the convex map) of each treasure; the cells below one are rock.
_CONVEX = (
    (1, 0, 0.7), (2, 1, 8.2), (3, 2, 11.5), (4, 3, 14.0), (4, 4, 15.1),
    (4, 5, 16.1), (7, 6, 19.6), (7, 7, 20.3), (9, 8, 22.4), (10, 9, 23.7),
)  # fmt: skip
_CONCAVE_VALUES = (1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 24.0, 50.0, 74.0, 124.0)


def _right_half(values: tuple[float, ...]) -> NDArray[np.float64]:
    """Return an 11x11 sea with a treasure on the floor of every column but the last, which is open water."""
    sea = np.zeros((11, 11))
    for (row, column, _), value in zip(_CONVEX, values, strict=True):
        sea[row, column] = value
        sea[row + 1 :, column] = ROCK
    return sea


def _mirrored() -> NDArray[np.float64]:
    """Return the concave sea with a barren left half, in which a submarine can only lose time (Felten et al., 2022)."""
    sea = np.zeros((11, 20))
    sea[:, 10:] = _right_half(_CONCAVE_VALUES)[:, :10]
    left_depth = {9: 2, 8: 3, 7: 4, 6: 5, 5: 5, 4: 5, 3: 8, 2: 8, 1: 10}  # column -> first row of rock
    for column, depth in left_depth.items():
        sea[depth:, column] = ROCK
    return sea


MAPS: dict[MapName, NDArray[np.float64]] = {
    "convex": _right_half(tuple(value for *_, value in _CONVEX)),
    "concave": _right_half(_CONCAVE_VALUES),
    "mirrored": _mirrored(),
}


class Params(NamedTuple):
    """Constants of the sea.

    Attributes:
        sea: (rows, columns) float32; 0 open water, -10 rock, otherwise the value of a treasure.
    """

    sea: jax.Array


class State(NamedTuple):
    """Position of the submarine.

    Attributes:
        position: (2,) int32, row (depth) and column.
    """

    position: jax.Array


@dataclass(frozen=True)
class DeepSeaTreasure:
    """Grid world of a submarine that trades the value of a treasure against the time to reach it.

    - Objectives: treasure, the value of the treasure reached; time, -1 a step.
    - Observation: the position (row, column), (2,) int32; a tenth of it in float32 with ``float_state``.
    - Action: up, down, left or right. A move into rock or off the map leaves the submarine where it is.
    - Termination: a treasure is reached. The core truncates after 100 steps.
    - Source: MO-Gymnasium 1.3.2's ``deep-sea-treasure-v0`` (convex map, Yang et al., 2019), ``-concave-v0`` (Vamplew et
      al., 2011) and ``-mirrored-v0`` (Felten et al., 2022).

    >>> env = DeepSeaTreasure()
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> state, obs, reward, terminated, *_ = env.step(jax.random.key(2), state, jnp.int32(1), env.default_params)
    >>> reward.tolist(), bool(terminated)
    ([0.699999988079071, -1.0], True)
    """

    map: MapName = "convex"
    float_state: bool = False

    max_episode_steps = 100
    render_fps = 4

    def __post_init__(self) -> None:
        if self.map not in MAPS:
            raise UserError(f"map must be one of {', '.join(MAPS)}, not {self.map!r}")

    @property
    def id(self) -> str:
        return DEEP_SEA_TREASURE[self.map].id

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return DEEP_SEA_TREASURE[self.map].objectives

    @cached_property
    def observation_space(self) -> spaces.Box:
        if self.float_state:
            return spaces.Box(0.0, float(max(MAPS[self.map].shape) - 1) / 10, (2,), np.float32)
        return spaces.Box(0, MAPS[self.map].shape[1], (2,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(4)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(np.array([0, -1], np.float32), np.array([MAPS[self.map].max(), -1], np.float32))

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(DEEP_SEA_TREASURE[self.map].reference_point)

    @property
    def default_params(self) -> Params:
        return Params(sea=jnp.asarray(MAPS[self.map], jnp.float32))

    @property
    def _start(self) -> tuple[int, int]:
        return (0, 10) if self.map == "mirrored" else (0, 0)

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.array(self._start, jnp.int32))
        return state, self._observe(state)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        rows, columns = params.sea.shape
        target = state.position + jnp.asarray(MOVES, jnp.int32)[action]
        inside = jnp.all((target >= 0) & (target < jnp.array([rows, columns], jnp.int32)))
        free = inside & (params.sea.at[target[0], target[1]].get(mode="clip") != ROCK)
        state = State(jnp.where(free, target, state.position))
        treasure = params.sea[state.position[0], state.position[1]]
        reward = jnp.stack([treasure, jnp.float32(-1.0)])
        return state, self._observe(state), reward, treasure > 0, jnp.bool_(False), {}

    def _observe(self, state: State) -> jax.Array:
        return state.position.astype(jnp.float32) * 0.1 if self.float_state else state.position

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the sea from the side, (H, W, 3) uint8."""
        from morl.envs.pictures import deep_sea_treasure

        return deep_sea_treasure.draw(state, params)

    def true_front(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact non-dominated discounted returns (n, 2), by breadth-first search for the shortest paths.

        A longer path to the same treasure costs more time and discounts the treasure more, so it is dominated.
        """
        gamma = check_discount(gamma)
        sea = MAPS[self.map]
        distance = {self._start: 0}
        queue = deque([self._start])
        points = []
        while queue:
            cell = queue.popleft()
            steps = distance[cell]
            if sea[cell] > 0:
                time = steps if gamma == 1 else (1 - gamma**steps) / (1 - gamma)
                points.append((sea[cell] * gamma ** (steps - 1), -time))
                continue
            for move in MOVES:
                row, column = int(cell[0] + move[0]), int(cell[1] + move[1])
                inside = 0 <= row < sea.shape[0] and 0 <= column < sea.shape[1]
                if inside and sea[row, column] != ROCK and (row, column) not in distance:
                    distance[row, column] = steps + 1
                    queue.append((row, column))
        front = np.array(points, np.float64)
        return front[non_dominated(front)]

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 2), by linear programming over the front."""
        front = self.true_front(gamma)
        return front[convex_coverage_set(front)]
