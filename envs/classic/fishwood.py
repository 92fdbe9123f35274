"""Fishwood: fish or fetch wood, one at a time (Roijers et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.classic import FISHWOOD, exact
from morl.validation import check_range

FISH, WOOD = 0, 1


class Params(NamedTuple):
    """Constants of the two places.

    Attributes:
        yields: (2,) float32, probability of a fish at the water and of wood in the woods, a step.
    """

    yields: jax.Array


class State(NamedTuple):
    """Position of the fisherman.

    Attributes:
        place: () int32, 0 at the water, 1 in the woods.
    """

    place: jax.Array


@dataclass(frozen=True)
class Fishwood:
    """Fisherman who chooses at each step between fish at the water and wood in the woods.

    - Objectives: fish and wood. A step at the water yields a fish with probability ``fishproba``, a step in the woods
      wood with probability ``woodproba``.
    - Observation: the place, (1,) int32: 0 at the water, 1 in the woods, where an episode starts.
    - Action: the place to be in from the next step on.
    - Termination: never. The core truncates after 200 steps.
    - Source: MO-Gymnasium 1.3.2's ``fishwood-v0`` (Roijers et al., 2018), except that there the last step also says
      ``terminated``, so that a learner would take the last state to be worth nothing.

    >>> Fishwood().true_coverage_set(gamma=1.0).round(2).tolist()
    [[0.0, 180.0], [19.9, 0.9]]
    """

    fishproba: float = 0.1
    woodproba: float = 0.9

    id = "fishwood-v0"
    max_episode_steps = 200
    render_fps = 4
    objectives = FISHWOOD.objectives

    def __post_init__(self) -> None:
        check_range(self, "fishproba", low=0, high=1)
        check_range(self, "woodproba", low=0, high=1)

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, 1, (1,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(2)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (2,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(FISHWOOD.reference_point)

    @property
    def default_params(self) -> Params:
        return Params(jnp.array([self.fishproba, self.woodproba], jnp.float32))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.int32(WOOD))
        return state, state.place[None]

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        found = jax.random.uniform(key, dtype=jnp.float32) < params.yields[state.place]
        reward = jax.nn.one_hot(state.place, 2, dtype=jnp.float32) * found.astype(jnp.float32)
        state = State(jnp.asarray(action, jnp.int32))
        return state, state.place[None], reward, jnp.bool_(False), jnp.bool_(False), {}

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the lake and the woods, (H, W, 3) uint8."""
        from morl.envs.pictures import fishwood

        return fishwood.draw(state)

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 2) over 200 steps, by optimistic linear support.

        There is no ``true_front``: it would hold the returns of 2^199 plans, all on the line between two points.
        """
        going = np.array([WOOD, FISH])  # state 0: the woods
        reward = np.diag([self.fishproba, self.woodproba])[going]
        return exact.coverage_set(
            exact.Tables(
                probability=np.ones((2, 2, 1)),
                following=np.tile(going[:, None], (2, 1, 1)),  # the water is state 1, the woods state 0
                reward=np.tile(reward[:, None, None], (1, 2, 1, 1)),
                terminated=np.zeros((2, 2, 1), bool),
                horizon=self.max_episode_steps,
            ),
            gamma,
        )
