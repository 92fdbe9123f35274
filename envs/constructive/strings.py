"""Base class of tasks whose objects are strings, written from left to right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

Params = TypeVar("Params")


class State(NamedTuple):
    """String under construction.

    Attributes:
        letters: (L,) int32, blanks (the number of letters of the alphabet) after its end.
        length: () int32.
        done: () bool.
    """

    letters: jax.Array
    length: jax.Array
    done: jax.Array


class Strings(ABC, Generic[Params]):
    """Constructive task (:mod:`morl.envs.constructive.base`) whose objects are strings over an alphabet.

    The actions are the letters and stop. Stop is allowed from the shortest length on; at the longest length the string
    is finished. The observation is (L,) int32, the letters and then blanks up to the longest length. A stop before the
    shortest length leaves the state as it is.
    """

    alphabet: str
    """Letters by their number. The number after the last stands for a blank, and for the action stop."""

    max_episode_steps = None
    num_backward_actions = 1
    observation_key = "letters"
    render_fps = 6

    @property
    @abstractmethod
    def shortest_length(self) -> int:
        """Number of letters from which on stop is allowed."""

    @property
    @abstractmethod
    def horizon(self) -> int:
        """Largest number of letters."""

    @abstractmethod
    def _reward(self, letters: jax.Array, finishes: jax.Array, params: Params) -> jax.Array:
        """Return the objectives (R,) of a string (L,) where the step finishes it, else 0."""

    @property
    def num_letters(self) -> int:
        """Size of the alphabet; also the number that stands for a blank."""
        return len(self.alphabet)

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, self.num_letters, (self.horizon,), np.int32)

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.num_letters + 1)

    def action_mask(self, obs: Any) -> Any:
        """Return (..., letters + 1) int8 for strings (..., L): letters while there is room, and stop."""
        length = (obs != self.num_letters).sum(axis=-1)[..., None]
        is_stop = (np.arange(self.num_letters + 1) == self.num_letters).reshape((1,) * (obs.ndim - 1) + (-1,))
        mask = (is_stop & (length >= self.shortest_length)) | (~is_stop & (length < self.horizon))
        return mask.astype(np.int8)

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state = State(jnp.full(self.horizon, self.num_letters, jnp.int32), jnp.int32(0), jnp.bool_(False))
        return state, state.letters

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        is_stop = action == self.num_letters
        writes = ~is_stop & ~state.done
        here = (jnp.arange(self.horizon, dtype=jnp.int32) == state.length) & writes
        letters = jnp.where(here, action.astype(jnp.int32), state.letters)
        length = state.length + writes.astype(jnp.int32)
        done = state.done | (is_stop & (state.length >= self.shortest_length)) | (length == self.horizon)
        reward = self._reward(letters, done & ~state.done, params)
        state = State(letters, length, done)
        return state, letters, reward, done, jnp.bool_(False), self.info(state, params)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return the ``action_mask`` of the state's observation."""
        return {"action_mask": jnp.asarray(self.action_mask(state.letters))}

    def backward_mask(self, state: State) -> jax.Array:
        """Return (1,) int8: undo the last step, a letter or the stop."""
        return (state.length > 0).astype(jnp.int8)[None]

    def backward_step(
        self, state: State, backward_action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array]:
        stopped = state.done & (state.length < self.horizon)
        last = state.length - 1
        erased = (jnp.arange(self.horizon, dtype=jnp.int32) == last) & ~stopped
        action = jnp.where(stopped, self.num_letters, jnp.sum(jnp.where(erased, state.letters, 0), dtype=jnp.int32))
        letters = jnp.where(erased, self.num_letters, state.letters)
        length = jnp.where(stopped, state.length, jnp.maximum(last, 0))
        return State(letters, length, jnp.bool_(False)), letters, action.astype(jnp.int32)

    def text(self, letters: Any) -> str:
        """Return the string of an observation (L,)."""
        return "".join(self.alphabet[i] for i in np.asarray(letters).tolist() if i != self.num_letters)
