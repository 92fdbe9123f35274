"""Edits of known strings as a constructive task: choose a string, change a few of its letters, stop.

A GFlowNet proposes such mutations of members of the front in active learning (Jain et al., 2023, section 4.2).
"""

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
from morl.errors import UserError


class Params(NamedTuple):
    """Base strings.

    Attributes:
        bases: (K, L) int32 strings of allowed lengths, blanks after their end.
    """

    bases: jax.Array


class State(NamedTuple):
    """Edited string and its base.

    Attributes:
        letters: (L,) int32.
        base: (L,) int32, blank before it is chosen.
        chosen: () int32, number of the base, -1 before it is chosen.
        done: () bool.
    """

    letters: jax.Array
    base: jax.Array
    chosen: jax.Array
    done: jax.Array


@dataclass(frozen=True)
class Mutations:
    """Base string, one of K, edited at up to ``max_edits`` places.

    - Objectives: one, always 0; the caller computes the reward of a string.
    - Observation: the edited string and its base, (2 L,) int32.
    - Action: a base; then, for each place, each letter or the blank; or stop. An edit writes a letter that differs from
      the base, at a place not edited before. It may also append a letter, or delete the last one, while the length
      stays allowed. An action that is not allowed leaves the state as it is.
    - Termination: stop, allowed after the first edit, or ``max_edits`` edits.
    - Source: Jain et al. (2023), section 4.2.

    Edits can be made in any order, so that a string has many trajectories. Its parents are the strings without one of
    its edits that have no blank within. An object is a pair of a base and an edited string.
    """

    num_letters: int
    """Size of the alphabet; also the number that stands for a blank."""
    lengths: tuple[int, int]
    """Smallest and largest (L) number of letters."""
    num_bases: int = 16
    """K, number of base strings."""
    max_edits: int = 4
    """Largest number of edits."""

    id = "mutations"
    max_episode_steps = None
    observation_key = "letters"
    objectives = (Objective("reward"),)

    def __post_init__(self) -> None:
        if self.num_letters < 2 or not 1 <= self.lengths[0] <= self.lengths[1] or self.num_bases < 1:
            raise UserError(f"mutations are of at least one string of two letters or more, not {self}")
        if not 1 <= self.max_edits <= self.lengths[0]:
            raise UserError(f"max_edits must be from 1 to the fewest letters, {self.lengths[0]}, not {self.max_edits}")

    @property
    def _longest(self) -> int:
        return self.lengths[1]

    @property
    def _symbols(self) -> int:
        return self.num_letters + 1

    @property
    def _stop(self) -> int:
        return self.num_bases + self._longest * self._symbols

    @property
    def horizon(self) -> int:
        return 1 + self.max_edits

    @property
    def num_backward_actions(self) -> int:
        """L + 2: undo the edit of a place, the stop, or the choice of the base."""
        return self._longest + 2

    @cached_property
    def observation_space(self) -> spaces.MultiDiscrete:
        return spaces.MultiDiscrete([self._symbols] * 2 * self._longest, np.int32)  # type: ignore[arg-type]

    @cached_property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(self._stop + 1)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 0.0, (1,), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.zeros(1)

    @property
    def default_params(self) -> Params:
        """Placeholder bases, each a repeated letter."""
        letters = np.arange(self.num_bases)[:, None] % self.num_letters
        there = np.arange(self._longest) < self.lengths[0]
        return Params(jnp.asarray(np.where(there, letters, self.num_letters), jnp.int32))

    def action_mask(self, obs: Any) -> Any:
        """Return (..., A) int8, 1 for allowed actions, for observations (..., 2 L)."""
        xp = np if isinstance(obs, np.ndarray) else jnp
        blank, longest = self.num_letters, self._longest
        letters, base = obs[..., :longest], obs[..., longest:]
        chosen = base[..., :1] != blank
        length = (letters != blank).sum(axis=-1, dtype=np.int32)[..., None, None]
        lead = (1,) * (obs.ndim - 1)
        place = np.arange(longest, dtype=np.int32).reshape(*lead, -1, 1)
        symbol = np.arange(self._symbols, dtype=np.int32).reshape(*lead, 1, -1)
        writes = (symbol < blank) & (place <= length) & (symbol != letters[..., None])
        shortens = (symbol == blank) & (place == length - 1) & (length > self.lengths[0])
        edit = (letters == base)[..., None] & (writes | shortens) & chosen[..., None]
        edit = edit.reshape(*obs.shape[:-1], longest * self._symbols)
        choose = xp.broadcast_to(~chosen, (*obs.shape[:-1], self.num_bases))
        stop = chosen & (letters != base).any(axis=-1)[..., None]
        return xp.concatenate([choose, edit, stop], axis=-1).astype(np.int8)

    def _obs(self, state: State) -> jax.Array:
        return jnp.concatenate([state.letters, state.base])

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        blank = jnp.full(self._longest, self.num_letters, jnp.int32)
        state = State(blank, blank, jnp.int32(-1), jnp.bool_(False))
        return state, self._obs(state)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        allowed = ~state.done & (self.action_mask(self._obs(state))[action] > 0)
        chooses = allowed & (action < self.num_bases)
        stops = allowed & (action == self._stop)
        place, symbol = jnp.divmod(action - self.num_bases, self._symbols)
        edited = (jnp.arange(self._longest, dtype=jnp.int32) == place) & allowed & ~chooses & ~stops
        base = jnp.where(chooses, params.bases[jnp.minimum(action, self.num_bases - 1)], state.base)
        letters = jnp.where(chooses, base, jnp.where(edited, symbol, state.letters)).astype(jnp.int32)
        done = state.done | stops | ((letters != base).sum(dtype=jnp.int32) == self.max_edits)
        state = State(letters, base, jnp.where(chooses, action, state.chosen).astype(jnp.int32), done)
        return state, self._obs(state), jnp.zeros(1, jnp.float32), done, jnp.bool_(False), self.info(state, params)

    def info(self, state: State, params: Params) -> dict[str, jax.Array]:
        """Return the ``action_mask`` of the state's observation."""
        return {"action_mask": jnp.asarray(self.action_mask(self._obs(state)))}

    def backward_mask(self, state: State) -> jax.Array:
        """Return (L + 2,) int8: undo the edit of a place, the stop, or the choice of the base."""
        place, length = (
            jnp.arange(self._longest, dtype=jnp.int32),
            (state.letters != self.num_letters).sum(dtype=jnp.int32),
        )
        edited = state.letters != state.base
        # the string without this edit must have no blank within
        whole = jnp.where(state.base == self.num_letters, place == length - 1, place <= length)
        stopped = state.done & (edited.sum() < self.max_edits)
        undo = edited & whole & ~stopped
        fresh = (state.chosen >= 0) & ~edited.any()
        return jnp.concatenate([undo, stopped[None], fresh[None]]).astype(jnp.int8)

    def backward_step(
        self, state: State, backward_action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array]:
        longest, stop = self._longest, self._stop
        allowed = self.backward_mask(state)[backward_action] > 0
        undone = (jnp.arange(longest, dtype=jnp.int32) == backward_action) & allowed
        place = jnp.minimum(backward_action, longest - 1)
        edit = self.num_bases + place * self._symbols + state.letters[place]
        unstops, unchooses = allowed & (backward_action == longest), allowed & (backward_action == longest + 1)
        action = jnp.where(unstops, stop, jnp.where(unchooses, state.chosen, edit))
        letters = jnp.where(undone, state.base, state.letters)
        parent = State(
            jnp.where(unchooses, self.num_letters, letters),
            jnp.where(unchooses, self.num_letters, state.base),
            jnp.where(unchooses, -1, state.chosen),
            state.done & ~allowed,
        )
        return parent, self._obs(parent), action.astype(jnp.int32)
