"""Resource gathering: fetch gold and a gem past two enemies and come home (Barrett and Narayanan, 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.classic import RESOURCE_GATHERING, exact

MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)  # up, down, left, right as (row, column)
SIZE = 5
HOME = (4, 2)
GOLD = (0, 2)
GEM = (1, 4)
ENEMIES = ((0, 3), (1, 2))


class Params(NamedTuple):
    """Constants of the field.

    Attributes:
        danger: () float32, probability of being killed on entering an enemy's cell.
    """

    danger: jax.Array


class State(NamedTuple):
    """State of the gatherer.

    Attributes:
        position: (2,) int32, row and column.
        has: (2,) int32 flags, carries gold and gem.
    """

    position: jax.Array
    has: jax.Array


@dataclass(frozen=True)
class ResourceGathering:
    """Grid world of a gatherer who fetches gold and a gem past two enemies.

    - Objectives: enemy, -1 when killed; gold and gem, 1 for each brought home.
    - Observation: (row, column, has gold, has gem), (4,) int32.
    - Action: up, down, left or right. A move off the map leaves the gatherer where it is.
    - Termination: home is reached, or the gatherer is killed. Each step that ends in the cell of an enemy kills with
      probability 0.1. The core truncates after 100 steps.
    - Source: MO-Gymnasium 1.3.2's ``resource-gathering-v0`` (Barrett and Narayanan, 2008).

    >>> env = ResourceGathering()
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> obs.tolist()
    [4, 2, 0, 0]
    """

    id = "resource-gathering-v0"
    max_episode_steps = 100
    render_fps = 4
    objectives = RESOURCE_GATHERING.objectives

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0.0, 5.0, (4,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(4)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(np.array([-1, 0, 0], np.float32), np.array([0, 1, 1], np.float32))

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(RESOURCE_GATHERING.reference_point)

    @property
    def default_params(self) -> Params:
        return Params(danger=jnp.float32(0.1))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.array(HOME, jnp.int32), jnp.zeros(2, jnp.int32))
        return state, self._observe(state)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        position = jnp.clip(state.position + jnp.asarray(MOVES, jnp.int32)[action], 0, SIZE - 1)
        found = jnp.all(position[None] == jnp.array([GOLD, GEM], jnp.int32), axis=1)
        has = state.has | found.astype(jnp.int32)
        met = jnp.any(jnp.all(position[None] == jnp.array(ENEMIES, jnp.int32), axis=1))
        killed = met & (jax.random.uniform(key, dtype=jnp.float32) < params.danger)
        home = jnp.all(position == jnp.array(HOME, jnp.int32))
        carried = jnp.where(home, has, 0).astype(jnp.float32)
        reward = jnp.concatenate([jnp.where(killed, jnp.float32(-1.0), 0.0)[None], carried])
        state = State(position, has)
        return state, self._observe(state), reward, killed | home, jnp.bool_(False), {}

    def _observe(self, state: State) -> jax.Array:
        return jnp.concatenate([state.position, state.has])

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the field from above, (H, W, 3) uint8."""
        from morl.envs.pictures import resource_gathering

        return resource_gathering.draw(state, params)

    def true_front(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact non-dominated expected returns (n, 3) of deterministic policies, by dynamic programming.

        MO-Gymnasium 1.3.2's ``pareto_front`` misses paths, such as the safe one of 18 steps to both resources.
        """
        return exact.front(_tables(), gamma)

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 3), by optimistic linear support over dynamic programming."""
        return exact.coverage_set(_tables(), gamma)


def _tables() -> exact.Tables:
    """Return the field as tables: outcome 0 survives, outcome 1 is killed; state 0 is home with nothing carried."""
    cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
    states = [(cell, gold, gem) for cell in cells for gold in (0, 1) for gem in (0, 1)]
    states.insert(0, states.pop(states.index((HOME, 0, 0))))
    index = {state: i for i, state in enumerate(states)}
    shape = (len(states), len(MOVES), 2)
    probability, reward = np.zeros(shape), np.zeros((*shape, 3))
    following, terminated = np.zeros(shape, np.int64), np.zeros(shape, bool)
    terminated[..., 1] = True
    reward[..., 1, 0] = -1.0
    for s, (cell, gold, gem) in enumerate(states):
        for a, move in enumerate(MOVES):
            row, column = np.clip(np.array(cell) + move, 0, SIZE - 1).tolist()
            target = (row, column)
            carried = (int(gold or target == GOLD), int(gem or target == GEM))
            probability[s, a] = (0.9, 0.1) if target in ENEMIES else (1.0, 0.0)
            following[s, a, 0] = index[(target, *carried)]
            if target == HOME:
                terminated[s, a, 0] = True
                reward[s, a, 0, 1:] = carried
    return exact.Tables(probability, following, reward, terminated, ResourceGathering.max_episode_steps)
