"""Four rooms: collect shapes of three kinds on the way to the goal (Barreto et al., 2017; Alegre et al., 2022)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.classic import FOUR_ROOM, exact
from morl.errors import UserError
from morl.ops.pareto import convex_coverage_set, non_dominated
from morl.validation import check_discount

MOVES = np.array([[0, -1], [-1, 0], [0, 1], [1, 0]], np.int32)  # left, up, right, down as (row, column)
KINDS = "123"  # blue squares, green triangles, red circles
WALL, START, GOAL, EMPTY = "X_G "
MAZE = (
    "1    2X     G",
    "      X      ",
    "      1      ",
    "             ",
    "      X      ",
    "2    3X      ",
    "XX3 XXXXX 1XX",
    "      X2    3",
    "      X      ",
    "             ",
    "      2      ",
    "      X      ",
    "_     X3    1",
)
MAX_SHAPES_OF_FRONT = 12

Cell = tuple[int, int]


class Params(NamedTuple):
    """Tables of the maze, by cell.

    Attributes:
        wall: (rows, columns) bool.
        goal: (2,) int32.
        starts: (n, 2) int32, cells that an episode may start in.
        shape: (rows, columns) int32, number of the shape there, -1 for none.
        kind: (shapes, 3) float32, one-hot kind of each.
    """

    wall: jax.Array
    goal: jax.Array
    starts: jax.Array
    shape: jax.Array
    kind: jax.Array


class State(NamedTuple):
    """State of the collector.

    Attributes:
        position: (2,) int32, row and column.
        collected: (shapes,) int32 flags.
    """

    position: jax.Array
    collected: jax.Array


@dataclass(frozen=True)
class FourRoom:
    """Grid world of four rooms in which shapes of three kinds are collected on the way to a goal.

    - Objectives: blue, green and red, 1 for each blue square, green triangle and red circle collected. The goal adds 1
      to each.
    - Observation: (row, column, one flag for each shape collected), int32.
    - Action: left, up, right or down. A move into a wall or off the map leaves the collector where it is.
    - Termination: the goal is reached. The core truncates after 200 steps.
    - Source: MO-Gymnasium 1.3.2's ``four-room-v0`` (Barreto et al., 2017; Alegre et al., 2022), except that the start
      is drawn from the key (there from Python's global ``random``).

    Attributes:
        maze: one string a row: ``1``, ``2``, ``3`` shapes, ``X`` wall, ``G`` the goal, ``_`` starts, blank otherwise.

    >>> env = FourRoom()
    >>> env.true_front(gamma=1.0).tolist()  # an undiscounted episode is long enough to collect every shape
    [[5.0, 5.0, 5.0]]
    """

    maze: Sequence[Sequence[str]] = MAZE

    id = "four-room-v0"
    max_episode_steps = 200
    render_fps = 6
    objectives = FOUR_ROOM.objectives

    def __post_init__(self) -> None:
        object.__setattr__(self, "maze", tuple("".join(row) for row in self.maze))  # accepts an array of characters
        cells = "".join(self._rows)
        if not self._rows or len({len(row) for row in self._rows}) != 1:
            raise UserError("maze must be rows of equal length")
        if wrong := set(cells) - {*KINDS, WALL, START, GOAL, EMPTY}:
            raise UserError(f"maze has {sorted(wrong)[0]!r}; allowed: 1, 2, 3, X (wall), G (goal), _ (start) and blank")
        if cells.count(GOAL) != 1 or START not in cells or not set(cells) & set(KINDS):
            raise UserError("maze must have one goal G, a start _ and a shape 1, 2 or 3")

    @property
    def _rows(self) -> tuple[str, ...]:
        return self.maze  # type: ignore[return-value]  # made so in __post_init__

    def _cells(self, kinds: str) -> list[Cell]:
        """Return the cells of these kinds by column and then row, the order of the flags in an observation."""
        columns = enumerate(zip(*self._rows, strict=True))
        return [(row, column) for column, cells in columns for row, cell in enumerate(cells) if cell in kinds]

    @cached_property
    def observation_space(self) -> spaces.Box:
        size = 2 + len(self._cells(KINDS))
        return spaces.Box(np.zeros(size), np.full(size, float(len(self._rows))), dtype=np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(4)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (3,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(FOUR_ROOM.reference_point)

    @property
    def default_params(self) -> Params:
        shapes = self._cells(KINDS)
        numbers = np.full((len(self._rows), len(self._rows[0])), -1, np.int32)
        numbers[tuple(zip(*shapes, strict=True))] = np.arange(len(shapes))
        return Params(
            wall=jnp.array([[cell == WALL for cell in row] for row in self._rows], bool),
            goal=jnp.array(self._cells(GOAL)[0], jnp.int32),
            starts=jnp.array(self._cells(START), jnp.int32),
            shape=jnp.asarray(numbers, jnp.int32),
            kind=jnp.asarray(self._kinds(), jnp.float32),
        )

    def _kinds(self) -> NDArray[np.float64]:
        return np.eye(3)[[KINDS.index(self._rows[row][column]) for row, column in self._cells(KINDS)]]

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        start = params.starts[jax.random.randint(key, (), 0, len(params.starts), dtype=jnp.int32)]
        state = State(start, jnp.zeros(len(params.kind), jnp.int32))
        return state, self._observe(state)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        target = state.position + jnp.asarray(MOVES, jnp.int32)[action]
        inside = jnp.all((target >= 0) & (target < jnp.array(params.wall.shape, jnp.int32)))
        free = inside & ~params.wall.at[target[0], target[1]].get(mode="clip")
        position = jnp.where(free, target, state.position)
        here = jnp.arange(len(params.kind), dtype=jnp.int32) == params.shape[position[0], position[1]]
        new = here & (state.collected == 0)
        at_goal = jnp.all(position == params.goal)
        reward = jnp.where(at_goal, 1.0, new.astype(jnp.float32) @ params.kind)
        state = State(position, state.collected | here.astype(jnp.int32))
        return state, self._observe(state), reward, at_goal, jnp.bool_(False), {}

    def _observe(self, state: State) -> jax.Array:
        return jnp.concatenate([state.position, state.collected])

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the rooms from above, (H, W, 3) uint8."""
        from morl.envs.pictures import four_room

        return four_room.draw(state, params)

    def true_front(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact non-dominated discounted returns (n, 3), by dynamic programming over sets of shapes.

        A walk visits shapes in some order by shortest paths and then the goal. The computation takes seconds.

        Raises:
            UserError: more than one start, more than 12 shapes, a goal that cannot be reached, or a walk longer than
                the time limit.
        """
        gamma = check_discount(gamma)
        starts, shapes, goal = self._cells(START), self._cells(KINDS), self._cells(GOAL)[0]
        if len(starts) > 1 or len(shapes) > MAX_SHAPES_OF_FRONT:
            raise UserError(f"the true front is computed for one start and at most {MAX_SHAPES_OF_FRONT} shapes")
        places = [*shapes, starts[0]]
        distances = [self._distances(place) for place in places]
        if goal not in distances[-1]:
            raise UserError("the maze's goal cannot be reached from its start")
        kinds = self._kinds()
        everything = (1 << len(shapes)) - 1
        # onward[collected][i] holds rows (length, returns) of the walks from place i on, given the shapes collected.
        onward: dict[int, dict[int, NDArray[np.float64]]] = {}
        for collected in sorted(range(everything + 1), key=int.bit_count, reverse=True):
            here = [i for i in range(len(shapes)) if collected >> i & 1] if collected else [len(shapes)]
            onward[collected] = {}
            for i in here:
                if goal not in distances[i]:
                    continue  # the shape is enclosed by walls
                steps = distances[i][goal]
                parts = [np.array([[steps, *np.full(3, gamma ** (steps - 1))]])]
                for j in set(range(len(shapes))) - set(here if collected else []):
                    if shapes[j] in distances[i] and j in onward[collected | 1 << j]:
                        steps = distances[i][shapes[j]]
                        following = onward[collected | 1 << j][j]
                        returns = gamma ** (steps - 1) * (kinds[j] + gamma * following[:, 1:])
                        parts.append(np.column_stack([steps + following[:, 0], returns]))
                rows = np.concatenate(parts)
                rows[:, 1:] = np.round(rows[:, 1:], exact.DECIMALS)
                onward[collected][i] = rows[non_dominated(rows[:, 1:], keep_duplicates=False)]
        rows = onward[0][len(shapes)]
        if rows[:, 0].max() > self.max_episode_steps:
            raise UserError(f"the true front has walks of more than the {self.max_episode_steps} steps of an episode")
        return rows[:, 1:]

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 3), by linear programming over the front."""
        front = self.true_front(gamma)
        return front[convex_coverage_set(front)]

    def _distances(self, start: Cell) -> dict[Cell, int]:
        """Return the length of the shortest path to each cell that can be reached without passing the goal."""
        distance = {start: 0}
        queue = deque([start])
        while queue:
            cell = queue.popleft()
            if self._rows[cell[0]][cell[1]] == GOAL:
                continue
            for move in MOVES.tolist():
                row, column = cell[0] + move[0], cell[1] + move[1]
                inside = 0 <= row < len(self._rows) and 0 <= column < len(self._rows[0])
                if inside and self._rows[row][column] != WALL and (row, column) not in distance:
                    distance[row, column] = distance[cell] + 1
                    queue.append((row, column))
        return distance
