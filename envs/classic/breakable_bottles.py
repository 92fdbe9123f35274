"""Breakable bottles: carry two bottles home without leaving a mess on the way (Vamplew et al., 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.classic import BREAKABLE_BOTTLES, exact
from morl.errors import UserError
from morl.validation import check_integer, check_range

LEFT, RIGHT, PICKUP = range(3)
GOAL = 2  # bottles to deliver, and the most that can be carried


class Params(NamedTuple):
    """Constants of the corridor.

    Attributes:
        prob_drop: () float32, probability of dropping one of two bottles on leaving an inner cell.
        time_penalty: () float32, first reward of each step.
        bottle_reward: () float32, second reward for each bottle delivered.
    """

    prob_drop: jax.Array
    time_penalty: jax.Array
    bottle_reward: jax.Array


class State(NamedTuple):
    """State of the carrier and the bottles.

    Attributes:
        location: () int32, 0 at the source of bottles ... size - 1 at the destination.
        carrying: () int32, 0 to 2 bottles.
        delivered: () int32, 0 to 2 bottles.
        dropped: (size - 2,) int32, number of bottles on the floor of each inner cell.
    """

    location: jax.Array
    carrying: jax.Array
    delivered: jax.Array
    dropped: jax.Array


@dataclass(frozen=True)
class BreakableBottles:
    """Corridor along which two bottles are carried home without leaving a mess.

    - Objectives: time, ``time_penalty`` a step; bottles, ``bottle_reward`` for each delivered; mess, -1 when the first
      bottle comes to lie in the corridor and 1 when the last is picked up again (``unbreakable_bottles`` only).
    - Observation: (4 + 2 size,) int32, MO-Gymnasium's ``Dict`` as ``gymnasium.spaces.flatten`` lays it out:
      carrying (3, one-hot), delivered (3, one-hot), dropped (size - 2 flags), location (size, one-hot).
    - Action: left, right or pick up.
    - Termination: two bottles are delivered. The core truncates after 100 steps. An episode starts at the destination.
    - Source: MO-Gymnasium 1.3.2's ``breakable-bottles-v0`` except for three faults: there the reward is a list, the
      flags count bottles beyond their space, and picking up again is outside of the reward space.

    >>> env = BreakableBottles()
    >>> state, obs = env.reset(jax.random.key(1), env.default_params)
    >>> obs.tolist()
    [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    """

    size: int = 5
    prob_drop: float = 0.1
    time_penalty: float = -1.0
    bottle_reward: float = 25.0
    unbreakable_bottles: bool = False

    id = "breakable-bottles-v0"
    max_episode_steps = 100
    render_fps = 3
    objectives = BREAKABLE_BOTTLES.objectives

    def __post_init__(self) -> None:
        check_integer(self, "size", low=3)
        check_range(self, "prob_drop", low=0, high=1)
        check_range(self, "time_penalty", low=-math.inf, high=0)
        check_range(self, "bottle_reward", low=0)

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, 1, (3 + 3 + self.size - 2 + self.size,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(3)

    @cached_property
    def reward_space(self) -> spaces.Box:
        low = np.array([self.time_penalty, 0, -1], np.float32)
        high = np.array([self.time_penalty, GOAL * self.bottle_reward, float(self.unbreakable_bottles)], np.float32)
        return spaces.Box(low, high)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array([self.time_penalty * self.max_episode_steps, 0.0, -1.0])

    @property
    def default_params(self) -> Params:
        return Params(*map(jnp.float32, (self.prob_drop, self.time_penalty, self.bottle_reward)))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        zero = jnp.int32(0)
        state = State(jnp.int32(self.size - 1), zero, zero, jnp.zeros(self.size - 2, jnp.int32))
        return state, self._observe(state)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        location, carrying, delivered, dropped = state
        last = self.size - 1
        move = jnp.where(action == LEFT, -1, 0) + jnp.where(action == RIGHT, 1, 0)
        target = jnp.clip(location + move, 0, last)
        here = (jnp.arange(1, last, dtype=jnp.int32) == location).astype(jnp.int32)  # all 0 at the two ends
        slips = jax.random.uniform(key, dtype=jnp.float32) < params.prob_drop
        drops = (target != location) & (here.sum() > 0) & (carrying == GOAL) & slips
        takes = (action == PICKUP) & (carrying < GOAL)
        at_source = takes & (location == 0)
        again = takes & (jnp.sum(here * dropped) > 0) & self.unbreakable_bottles
        dropped = dropped + here * (drops.astype(jnp.int32) - again.astype(jnp.int32))
        carrying = carrying - drops.astype(jnp.int32) + (at_source | again).astype(jnp.int32)
        arrives = (target == last) & (location != last)
        handed = jnp.where(arrives, jnp.minimum(carrying, GOAL - delivered), 0)
        mess = jnp.any(state.dropped > 0).astype(jnp.float32) - jnp.any(dropped > 0).astype(jnp.float32)
        reward = jnp.stack([params.time_penalty, params.bottle_reward * handed.astype(jnp.float32), mess])
        state = State(target, jnp.where(arrives, 0, carrying), delivered + handed, dropped)
        return state, self._observe(state), reward, state.delivered == GOAL, jnp.bool_(False), {}

    def _observe(self, state: State) -> jax.Array:
        counts = [jax.nn.one_hot(count, GOAL + 1, dtype=jnp.int32) for count in (state.carrying, state.delivered)]
        flags = (state.dropped > 0).astype(jnp.int32)
        return jnp.concatenate([*counts, flags, jax.nn.one_hot(state.location, self.size, dtype=jnp.int32)])

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the corridor, (H, W, 3) uint8."""
        from morl.envs.pictures import breakable_bottles

        return breakable_bottles.draw(state, self.size)

    def true_coverage_set(self, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the exact convex coverage set (n, 3) over 100 steps, by optimistic linear support.

        There is no ``true_front``: a policy may act differently after each chance to drop a bottle, which gives too
        many policies to enumerate.

        Raises:
            UserError: with ``unbreakable_bottles``, whose number on the floor has no bound.
        """
        if self.unbreakable_bottles:
            raise UserError("the coverage set is computed for unbreakable_bottles=False only")
        return exact.coverage_set(self._tables(), gamma)

    def _tables(self) -> exact.Tables:
        """Return the corridor as tables; its states record whether any bottle is on the floor, not how many.

        Outcome 0 keeps the bottles, outcome 1 drops one; state 0 is the start.
        """
        last = self.size - 1
        states = list(product(range(self.size), range(GOAL + 1), range(GOAL), (0, 1)))
        states.insert(0, states.pop(states.index((last, 0, 0, 0))))
        index = {state: i for i, state in enumerate(states)}
        shape = (len(states), 3, 2)
        probability, reward = np.zeros(shape), np.zeros((*shape, 3))
        following, terminated = np.zeros(shape, np.int64), np.zeros(shape, bool)
        for (s, (location, carrying, delivered, mess)), action in product(enumerate(states), range(3)):
            target = min(max(location + {LEFT: -1, RIGHT: 1, PICKUP: 0}[action], 0), last)
            risky = target != location and 0 < location < last and carrying == GOAL
            probability[s, action] = (1 - self.prob_drop, self.prob_drop) if risky else (1.0, 0.0)
            for outcome in range(1 + risky):
                carried = carrying - outcome + int(action == PICKUP and location == 0 and carrying < GOAL)
                handed = min(carried, GOAL - delivered) if target == last != location else 0
                terminated[s, action, outcome] = delivered + handed == GOAL
                reward[s, action, outcome] = (self.time_penalty, self.bottle_reward * handed, -outcome * (1 - mess))
                if not terminated[s, action, outcome]:
                    left = 0 if target == last != location else carried
                    following[s, action, outcome] = index[target, left, delivered + handed, int(mess or outcome)]
        return exact.Tables(probability, following, reward, terminated, self.max_episode_steps)
