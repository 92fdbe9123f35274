"""Fruit tree: walk down a binary tree to a fruit of six nutrients (Yang et al., 2019)."""

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

from morl.envs.classic import FRUIT_TREE
from morl.errors import UserError
from morl.ops.pareto import convex_coverage_set, non_dominated
from morl.validation import check_discount

DEPTHS = (5, 6, 7)


class Params(NamedTuple):
    """Constants of the tree.

    Attributes:
        fruits: (2**depth, 6) float32, nutrients of each leaf, left to right.
    """

    fruits: jax.Array


class State(NamedTuple):
    """Position in the tree.

    Attributes:
        node: (2,) int32, depth and place in the row from the left.
    """

    node: jax.Array


@dataclass(frozen=True)
class FruitTree:
    """Binary tree that is walked from the root to a fruit of six nutrients.

    - Objectives: protein, carbs, fats, vitamins, minerals and water of the fruit at the leaf; 0 before.
    - Observation: the node, (depth, place in its row from the left), (2,) int32.
    - Action: down to the left or down to the right.
    - Termination: a leaf is reached, after ``depth`` (5, 6 or 7) steps.
    - Source: MO-Gymnasium 1.3.2's ``fruit-tree-v0`` (Yang et al., 2019).

    >>> env = FruitTree(depth=5)
    >>> len(env.true_front(gamma=0.99))
    32
    """

    depth: int = 6

    id = "fruit-tree-v0"
    max_episode_steps = None
    render_fps = 2
    objectives = FRUIT_TREE.objectives

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise UserError(f"depth must be one of {', '.join(map(str, DEPTHS))}, not {self.depth!r}")

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, 2**self.depth - 1, (2,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(2)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 10.0, (6,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(FRUIT_TREE.reference_point)

    @property
    def default_params(self) -> Params:
        return Params(jnp.asarray(_fruits(self.depth), jnp.float32))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.zeros(2, jnp.int32))
        return state, state.node

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        depth, place = state.node[0] + 1, 2 * state.node[1] + action
        state = State(jnp.stack([depth, place]).astype(jnp.int32))
        leaf = depth == self.depth
        reward = jnp.where(leaf, params.fruits.at[place].get(mode="clip"), 0.0)
        return state, state.node, reward, leaf, jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the tree and the path walked, (H, W, 3) uint8."""
        from morl.envs.pictures import fruit_tree

        return fruit_tree.draw(state, params)

    def true_front(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact non-dominated discounted returns (n, 6), by enumeration of the leaves."""
        gamma = check_discount(gamma)
        fruits = _fruits(self.depth)
        return fruits[non_dominated(fruits)] * gamma ** (self.depth - 1)

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 6), by linear programming over the front."""
        front = self.true_front(gamma)
        return front[convex_coverage_set(front)]


@cache
def _fruits(depth: int) -> NDArray[np.float64]:
    """Return the nutrients of each leaf (2**depth, 6), from left to right."""
    with (files("morl.envs.classic") / "fruits.csv").open() as table:
        rows = np.loadtxt(table, delimiter=",", skiprows=2)
    fruits = rows[rows[:, 0] == depth, 1:]
    fruits.setflags(write=False)
    return fruits
