"""HyperGrid: walk over a grid, with two to five test functions as objectives (Jain et al., 2023, section 5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.constructive import HYPERGRID_FUNCTIONS
from morl.envs.constructive.base import Outcomes
from morl.errors import UserError
from morl.ops.pareto import non_dominated
from morl.validation import check_discount, check_integer

Floats = NDArray[np.float64]

HIGHEST = 1.005  # with the published constants currin exceeds 1 by up to 0.002 and shubert by up to 0.004
STOP = 2  # action, and the backward action that undoes it; 0 and 1 are the moves


class Params(NamedTuple):
    """Constants of the grid.

    Attributes:
        values: (side, side, R) float32 objectives of each cell.
    """

    values: jax.Array


class State(NamedTuple):
    """Position on the grid.

    Attributes:
        position: (2,) int32 cell.
        done: () bool, the walk has stopped or reached the far edge.
    """

    position: jax.Array
    done: jax.Array


@dataclass(frozen=True)
class HyperGrid:
    """Walk from cell (0, 0) by steps of +1 on either axis, rewarded by the cell where it stops.

    - Objectives: the first ``num_objectives`` of branin, currin, shubert, sphere and beale, scaled to about [0, 1], at
      x = 2 s / (H - 1) - 1 for a cell s.
    - Observation: the cell, (2,) int32.
    - Action: a step on the first axis, a step on the second, or stop.
    - Termination: stop, or a coordinate of H - 1. There are H² - 1 cells where a walk can end.
    - Source: Jain et al. (2023), section 5.1 and appendix D.1.

    >>> env = HyperGrid(side=8)
    >>> len(env.outcomes().values), len(env.true_front())
    (63, 6)
    """

    side: int = 32
    """H, number of cells on an axis."""
    num_objectives: int = 2
    """Number of functions, 2 to 5."""

    id = "hypergrid-v0"
    max_episode_steps = None
    num_backward_actions = 3
    observation_key = "position"
    render_fps = 6

    def __post_init__(self) -> None:
        check_integer(self, "side", low=2)
        check_integer(self, "num_objectives", low=2, high=len(HYPERGRID_FUNCTIONS))

    @property
    def horizon(self) -> int:
        return 2 * self.side - 3

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return HYPERGRID_FUNCTIONS[: self.num_objectives]

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, self.side - 1, (2,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(3)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, HIGHEST, (self.num_objectives,), np.float32)

    @property
    def reference_point(self) -> Floats:
        return np.zeros(self.num_objectives)

    @property
    def default_params(self) -> Params:
        return Params(jnp.asarray(_values(self.side)[..., : self.num_objectives], jnp.float32))

    def action_mask(self, obs: Any) -> Any:
        """Return (..., 3) int8 for cells (..., 2): all actions, but on the far edge only stop."""
        inside = (obs < self.side - 1).all(axis=-1)
        return _np(obs).stack([inside, inside, inside | True], axis=-1).astype(np.int8)

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.zeros(2, jnp.int32), jnp.bool_(False))
        return state, state.position

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        move = (jnp.arange(2, dtype=jnp.int32) == action) & ~state.done
        position = state.position + move.astype(jnp.int32)
        done = state.done | (action == STOP) | jnp.any(position == self.side - 1)
        reward = jnp.where(done & ~state.done, params.values[position[0], position[1]], 0.0)
        state = State(position, done)
        return state, position, reward, done, jnp.bool_(False), self.info(state, params)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return the ``action_mask`` of the state's observation."""
        return {"action_mask": jnp.asarray(self.action_mask(state.position))}

    def backward_mask(self, state: State) -> jax.Array:
        """Return (3,) int8: undo a step on the first axis, on the second, or the stop."""
        far = state.position == self.side - 1
        stopped = state.done & ~jnp.any(far)
        # a step onto the far edge starts inside; no step goes along the edge
        moves = (state.position > 0) & ~stopped & (far | ~jnp.any(far))
        return jnp.append(moves, stopped).astype(jnp.int8)

    def backward_step(
        self, state: State, backward_action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array]:
        allowed = self.backward_mask(state)[backward_action] > 0
        move = (jnp.arange(2, dtype=jnp.int32) == backward_action) & allowed
        position = state.position - move.astype(jnp.int32)
        return State(position, state.done & ~allowed), position, backward_action.astype(jnp.int32)

    def text(self, position: Any) -> str:
        """Return the cell of an observation (2,) as text."""
        return " ".join(map(str, np.asarray(position).tolist()))

    def distances(self, some: Sequence[str], others: Sequence[str]) -> Floats:
        """Return the numbers of steps (n, m) on the two axes between cells given by their texts.

        Raises:
            UserError: a text that is not a cell.
        """
        first, second = self._cells(some), self._cells(others)
        steps: Floats = np.abs(first[:, None] - second).sum(axis=-1).astype(np.float64)
        return steps

    def _cells(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the cells (n, 2) of n texts.

        Raises:
            UserError: a text that is not a cell.
        """
        for text in texts:
            if not re.fullmatch(r"\d+ \d+", text) or max(map(int, text.split())) >= self.side:
                raise UserError(f"a cell of this grid is two numbers from 0 to {self.side - 1}, not {text!r}")
        return np.array([text.split() for text in texts], np.int64).reshape(-1, 2)

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the objectives of the cells and the walker, (H, W, 3) uint8."""
        from morl.envs.pictures import hypergrid

        return hypergrid.draw(state, params)

    # Exact distributions

    @property
    def _ends(self) -> NDArray[np.int64]:
        """Cells (n, 2) where a walk can end: all except the far corner."""
        return np.stack(np.divmod(np.arange(self.side**2 - 1), self.side), axis=1)

    def finished_states(self) -> State:
        """Return the H² - 1 finished states, row by row."""
        ends = self._ends
        return State(jnp.asarray(ends, jnp.int32), jnp.ones(len(ends), bool))

    def outcomes(self) -> Outcomes:
        """Return the objectives of the H² - 1 cells where a walk can end, row by row."""
        values = _values(self.side)[..., : self.num_objectives].reshape(-1, self.num_objectives)[:-1]
        return Outcomes(values, np.zeros(len(values)))

    def true_front(self, gamma: float = 1.0) -> Floats:
        """Return the exact non-dominated discounted returns (n, R), by enumeration of the cells."""
        gamma = check_discount(gamma)
        ends = self._ends
        stops = (ends < self.side - 1).all(axis=1)
        returns: Floats = self.outcomes().values * gamma ** (ends.sum(axis=1) + stops - 1)[:, None]
        return returns[non_dominated(returns)]

    def decision_points(self) -> NDArray[np.int32]:
        """Return the cells ((H - 1)², 2) that are not on the far edge, row by row."""
        return np.stack(np.divmod(np.arange((self.side - 1) ** 2), self.side - 1), axis=1).astype(np.int32)

    def distribution(self, policy: jax.Array) -> jax.Array:
        """Return the probabilities (n,) of the final cells under action probabilities ((H - 1)², 3) at each cell.

        Uses forward dynamic programming: the probability of the unfinished cells moves by one step at a time.
        """
        inside = self.side - 1
        first, second, stop = jnp.moveaxis(policy.reshape(inside, inside, 3), -1, 0)

        def onward(under_way: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            down, right = under_way * first, under_way * second
            arrived = jnp.pad(down, ((1, 0), (0, 1))) + jnp.pad(right, ((0, 1), (1, 0)))
            ended = jnp.pad(under_way * stop, (0, 1)) + arrived.at[:inside, :inside].set(0.0)
            return arrived[:inside, :inside], ended

        start = jnp.zeros((inside, inside), policy.dtype).at[0, 0].set(1.0)
        _, ended = jax.lax.scan(onward, start, None, length=self.horizon)
        return ended.sum(axis=0).reshape(-1)[:-1]


def _np(array: Any) -> Any:
    """Return ``jax.numpy`` for an array of JAX, else NumPy."""
    return jnp if isinstance(array, jax.Array) else np


@cache
def _values(side: int) -> Floats:
    """Return all objectives of all cells, (side, side, 5), with the paper's normalisation (appendix D.1)."""
    axis = 2 * np.arange(side) / (side - 1) - 1
    x, y = np.meshgrid(axis, axis, indexing="ij")
    values = np.stack([_branin(x, y), _currin(x, y), _shubert(x, y), (x**2 + y**2) / 2, _beale(x, y)], axis=-1)
    values = np.maximum(values, 0.0)  # on a grid beale falls up to 4e-5 below its constant ``lowest``
    values.setflags(write=False)
    return values


def _branin(x: Floats, y: Floats) -> Floats:
    a, b = 15 * (x + 1) / 2 - 5, 15 * (y + 1) / 2
    square = (b - 5.1 * a**2 / (4 * np.pi**2) + 5 * a / np.pi - 6) ** 2
    return np.asarray(1 - (square + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10) / 308.13)


def _currin(x: Floats, y: Floats) -> Floats:
    a, b = (x + 1) / 2, (y + 1) / 2
    ratio = (2300 * a**3 + 1900 * a**2 + 2092 * a + 60) / (100 * a**3 + 500 * a**2 + 4 * a + 20)
    return np.asarray((1 - np.exp(-1 / (2 * b + 1e-10))) * ratio / 13.77)


def _shubert(x: Floats, y: Floats) -> Floats:
    i = np.arange(1, 6)
    on_x, on_y = ((i * np.cos((i + 1) * v[..., None] + 10 * i)).sum(axis=-1) for v in (x, y))
    lowest, highest = -12.58133095975989, 12.85231572911876
    return np.asarray((on_x * on_y - lowest) / (highest - lowest))


def _beale(x: Floats, y: Floats) -> Floats:
    parts = (1.5 - x + x * y) ** 2, (2.25 - x + x * y**2) ** 2, (2.625 - x + x * y**3) ** 2
    lowest, highest = 4.369943360497595, 38.703125
    return np.asarray((sum(parts) - lowest) / (highest - lowest))
