"""A constructive task of one's own: fill a lunch box with two to four of eight foods, for MOGFN to sample.

What is yours are the two reward functions below: ``worth`` in JAX, which compiles together with all the rest, and
``asked``, plain Python for whatever JAX cannot compute (a simulator, a library), called once for each different box.
The class says how an object is built and taken apart; both tasks share it::

    morl check-env lunch_box:lunch-box-v0
    morl train mogfn --env lunch_box:lunch-box-v0 --steps 100000
    morl train mogfn --env lunch_box:lunch-box-python-v0 --steps 100000
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import morl
from morl.envs.base import Objective
from morl.envs.constructive.host_values import host_values
from morl.envs.constructive.oracle import Oracle

FOODS = ("bread", "cheese", "apple", "carrot", "nuts", "egg", "cake", "yoghurt")
ENERGY = (240.0, 180.0, 80.0, 30.0, 300.0, 90.0, 350.0, 120.0)  # kcal
VITAMINS = (0.1, 0.1, 0.7, 1.0, 0.3, 0.3, 0.0, 0.2)
FEWEST, MOST = 2, 4
STOP = len(FOODS)


def worth(box: jax.Array) -> jax.Array:
    """(2,) float32 from 0 to 1 of a box (8,) bool: energy, full at 900 kcal, and mean vitamins."""
    energy = jnp.minimum(1.0, jnp.sum(box * jnp.array(ENERGY)) / 900)
    return jnp.stack([energy, jnp.sum(box * jnp.array(VITAMINS)) / jnp.maximum(1, box.sum())])


def asked(box: tuple[str, ...]) -> tuple[float, float]:
    """Return the same as :func:`worth`, in plain Python, for a box given by names of foods."""
    places = [FOODS.index(food) for food in box]
    energy, vitamins = sum(ENERGY[i] for i in places), sum(VITAMINS[i] for i in places)
    return min(1.0, energy / 900), vitamins / len(box)


@cache
def oracle() -> Oracle[tuple[str, ...]]:
    """Return the oracle that all environments share; ``processes=2`` would evaluate two boxes at a time."""
    return Oracle(asked, 2, "lunch-box-python-v0")


class State(NamedTuple):
    """The box so far.

    Attributes:
        box: (8,) bool, what is in it.
        done: () bool.
    """

    box: jax.Array
    done: jax.Array


@dataclass(frozen=True)
class LunchBox:
    """Put foods in, one at a time, and close it. A food is taken once, so that many orders lead to one box.

    Actions 0 to 7 add a food, 8 closes the box, which is allowed with two to four foods. Backward actions 0 to 7 take a
    food out, 8 opens it. Observation (8,) int8: 1 for what is in it.
    """

    id = "lunch-box-v0"
    objectives = (Objective("energy"), Objective("vitamins"))
    max_episode_steps = None
    horizon = MOST + 1
    num_backward_actions = len(FOODS) + 1
    observation_key = "box"
    observation_space = spaces.MultiBinary(len(FOODS))
    default_params = ()

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(len(FOODS) + 1)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (2,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.zeros(2)

    def action_mask(self, obs: Any) -> Any:
        number = obs.sum(axis=-1)[..., None]
        may_add, may_stop = (obs == 0) & (number < MOST), number >= FEWEST
        return obs.__array_namespace__().concatenate([may_add, may_stop], axis=-1).astype(np.int8)

    def reset(self, key: jax.Array, params: tuple[()]) -> tuple[State, jax.Array]:
        state = State(jnp.zeros(len(FOODS), bool), jnp.bool_(False))
        return state, state.box.astype(jnp.int8)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: tuple[()]
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        allowed = (self.action_mask(state.box.astype(jnp.int8))[action] > 0) & ~state.done
        closes = allowed & (action == STOP)
        box = state.box | (allowed & (jnp.arange(len(FOODS)) == action))
        after = State(box, state.done | closes)
        reward = self._reward(after.box, closes)
        return after, box.astype(jnp.int8), reward, after.done, jnp.bool_(False), self.info(after, params)

    def _reward(self, box: jax.Array, closes: jax.Array) -> jax.Array:
        return jnp.where(closes, worth(box), 0.0)

    def info(self, state: State, params: tuple[()]) -> dict[str, jax.Array]:
        """Return the action mask, so that agents know which actions are allowed."""
        return {"action_mask": self.action_mask(state.box.astype(jnp.int8))}

    def backward_mask(self, state: State) -> jax.Array:
        return jnp.append(state.box & ~state.done, state.done).astype(jnp.int8)

    def backward_step(
        self, state: State, backward_action: jax.Array, params: tuple[()]
    ) -> tuple[State, jax.Array, jax.Array]:
        allowed = self.backward_mask(state)[backward_action] > 0
        box = state.box & ~(allowed & (jnp.arange(len(FOODS)) == backward_action))
        parent = State(box, state.done & ~allowed)
        return parent, box.astype(jnp.int8), backward_action.astype(jnp.int32)  # the same numbers both ways

    def text(self, obs: Any) -> str:
        """Return the foods in a box as text, for lists of candidates."""
        return " ".join(self.foods(obs))

    def foods(self, obs: Any) -> tuple[str, ...]:
        """Return the names of the foods in a box."""
        return tuple(FOODS[i] for i in np.flatnonzero(np.asarray(obs)))


@dataclass(frozen=True)
class LunchBoxInPython(LunchBox):
    """The same with its rewards from Python: ``values`` asks for a whole batch at once, ``step`` for one box."""

    id = "lunch-box-python-v0"

    @property
    def oracle(self) -> Oracle[tuple[str, ...]]:
        """Oracle, which also counts its calls."""
        return oracle()

    def _reward(self, box: jax.Array, closes: jax.Array) -> jax.Array:
        return host_values(self.oracle, self.foods, box, closes, 2)

    def values(self, states: State, params: tuple[()]) -> jax.Array:
        """Return the objectives (B, 2) of closed boxes (B, ...)."""
        return jax.vmap(self._reward)(states.box, states.done)


for _id, _name, _how in (
    ("lunch-box-v0", "LunchBox", "in JAX"),
    ("lunch-box-python-v0", "LunchBoxInPython", "in Python"),
):
    morl.register_env(
        morl.EnvSpec(
            id=_id,
            summary=f"fill a lunch box with energy and vitamins (rewards {_how})",
            objectives=("energy", "vitamins"),
            reference_point=(0.0, 0.0),
            gamma=1.0,
            entry_point=f"{__name__}:{_name}",
            constructive=True,
        )
    )
