"""Environment whose observations have the return accrued so far in them, for utilities of an episode's return."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.envs import widths
from morl.errors import UserError

LONG = 1000  # unit of the time where an episode has no limit


class AccruedState(NamedTuple):
    """State of the environment, with (R,) float32 discounted return so far and () int32 steps so far."""

    inner: Any
    accrued: jax.Array
    steps: jax.Array


class AccruedSpace(spaces.Box):
    """Box (n + R + 1,) of an observation of ``inner``, flattened, (R,) the accrued return, and the time.

    Attributes:
        inner: space of the environment's own observations, with n numbers.
        num_objectives: R.
    """

    def __init__(self, inner: Space[Any], num_objectives: int) -> None:
        self.inner, self.num_objectives = inner, num_objectives
        super().__init__(-np.inf, np.inf, (self.size + num_objectives + 1,), np.float32)

    @property
    def size(self) -> int:
        """Return n."""
        return int(np.prod(self.inner.shape or (), dtype=np.int64))

    def observed(self, obs: Any) -> Any:
        """Return the environment's own observations of these (..., n + R + 1), of its shape and type."""
        own = obs[..., : self.size].reshape(*obs.shape[:-1], *(self.inner.shape or ()))
        if np.issubdtype(self.inner.dtype, np.integer):
            own = own.round()
        return own.astype(np.float32 if self.inner.dtype == np.float64 else self.inner.dtype)

    def accrued(self, obs: Any) -> Any:
        """Return the accrued returns (..., R)."""
        return obs[..., self.size : -1]

    def time(self, obs: Any) -> Any:
        """Return the time (...), 0 in the first step."""
        return obs[..., -1]

    def rest(self, obs: Any) -> Any:
        """Return the accrued returns and the time (..., R + 1)."""
        return obs[..., self.size :]


@dataclass(frozen=True)
class AccruedReturn:
    """Environment in JAX that shows the discounted return so far, and the time as a share of the limit.

    Rewards, actions and everything else are those of ``inner``.

    Attributes:
        inner: the environment.
        gamma: discount of the return.
    """

    inner: Any
    gamma: float

    def __post_init__(self) -> None:
        kinds = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
        if not isinstance(self.inner.observation_space, kinds):
            raise UserError(f"{self.inner.id}: observations of an accrued return are of arrays, not of other spaces")

    def __getattr__(self, name: str) -> Any:
        """Return a member of the inner environment; functions of states or observations are given those of it."""
        if name.startswith("__") or name == "backward_step":
            raise AttributeError(name)
        found = getattr(self.inner, name)
        if name == "action_mask":
            return lambda obs: found(self.observation_space.observed(obs))
        if name in ("render", "info"):
            return lambda state, params: found(state.inner, params)
        return found

    @cached_property
    def observation_space(self) -> AccruedSpace:
        return AccruedSpace(self.inner.observation_space, len(self.inner.objectives))

    def reset(self, key: jax.Array, params: Any) -> tuple[AccruedState, jax.Array]:
        """Start an episode, with nothing accrued."""
        inner, obs = widths.reset(self.inner, key, params)
        state = AccruedState(inner, jnp.zeros(len(self.inner.objectives), jnp.float32), jnp.int32(0))
        return state, self._observe(obs, state)

    def step(
        self, key: jax.Array, state: AccruedState, action: jax.Array, params: Any
    ) -> tuple[AccruedState, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Advance one step, and add the discounted reward."""
        inner, obs, reward, terminated, truncated, info = widths.step(self.inner, key, state.inner, action, params)
        discount = jnp.float32(self.gamma) ** state.steps.astype(jnp.float32)
        following = AccruedState(inner, state.accrued + discount * reward, state.steps + 1)
        return following, self._observe(obs, following), reward, terminated, truncated, info

    def _observe(self, obs: Any, state: AccruedState) -> jax.Array:
        limit = self.inner.max_episode_steps or LONG
        time = state.steps.astype(jnp.float32)[None] / limit
        return jnp.concatenate([jnp.ravel(obs).astype(jnp.float32), state.accrued, time])
