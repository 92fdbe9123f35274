"""Masks of actions of Gymnasium environments, which agents see at the end of the observation.

A mask is the entry ``action_mask`` of a ``Dict`` observation or of the info, as in Gymnasium and PettingZoo. It joins
the observation where an environment is made, so that vector environments, worker processes, replays and policies need
no second channel for it. Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from morl.errors import UserError

MASK = "action_mask"  # its name in observations and infos
AnyEnv = gymnasium.Env[Any, Any]
Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]


@dataclass(frozen=True)
class MaskAtEnd:
    """Function from observations (..., F) to the masks (..., size) at their end, int8; of NumPy's or JAX's arrays."""

    size: int

    def __call__(self, obs: Any) -> Any:
        return (obs[..., -self.size :] > 0).astype("int8")


def mask_of(obs: Any, info: Any) -> Any:
    """Return the mask beside an observation, or the one in the info, as it was given; None if there is none."""
    if isinstance(obs, dict) and MASK in obs:
        return obs[MASK]
    return info.get(MASK) if isinstance(info, dict) else None


def checked_mask(mask: Any, space: Space[Any], where: str) -> NDArray[np.int8]:
    """Return a mask (n,) of 0 and 1 as an int8 array.

    Raises:
        UserError: another shape or value, nothing allowed, or a space other than ``Discrete``.
    """
    if not isinstance(space, spaces.Discrete):
        raise UserError(f"{where}: an {MASK} for actions {space}; allowed: masks of Discrete actions")
    array = np.asarray(mask)
    if array.shape != (space.n,) or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise UserError(f"{where}: {MASK} {mask!r}; allowed: {space.n} numbers 0 or 1, one for each action")
    if not array.any():
        raise UserError(f"{where}: {MASK} allows no action; allowed: at least one while an episode goes on")
    return array.astype(np.int8)


def allowed_action(action: Any, mask: Any, space: Space[Any]) -> Any:
    """Return the action, or another one that the mask allows in place of one that it forbids.

    Of uniformly drawn actions the results are uniform as well, up to the rounding of the number of allowed ones.
    """
    if mask is None or not isinstance(space, spaces.Discrete):
        return action
    index, allowed = int(action) - int(space.start), np.flatnonzero(mask)
    if index in allowed or not len(allowed):
        return action
    return space.start + allowed[index % len(allowed)]


class MaskIntoInfo(Wrapper):
    """Move the mask of a ``Dict`` observation into the info; an observation of one other entry becomes that entry."""

    def __init__(self, env: AnyEnv) -> None:
        super().__init__(env)
        space: Any = env.observation_space
        others = {name: part for name, part in space.items() if name != MASK}
        if not others:
            raise UserError(f"{env}: observations hold nothing but {MASK}; allowed: one beside the mask at least")
        self._only = next(iter(others)) if len(others) == 1 else None
        self.observation_space = spaces.Dict(others) if self._only is None else others[self._only]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does."""
        return self._moved(*self.env.reset(seed=seed, options=options))

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step as Gymnasium does."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        obs, info = self._moved(obs, info)
        return obs, reward, terminated, truncated, info

    def _moved(self, obs: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rest = {name: part for name, part in obs.items() if name != MASK}
        return rest if self._only is None else rest[self._only], {**info, MASK: obs[MASK]}


class MaskIntoObservation(Wrapper):
    """Join the observation, of one array, and the mask in the info to one vector with the mask at its end.

    After the end of an episode, where nothing is to be chosen, a mask may be missing or empty: it then allows all.
    Infos are dropped.

    Raises:
        UserError: in ``reset`` and ``step``, a mask that is missing or wrong; see :func:`checked_mask`.
    """

    def __init__(self, env: AnyEnv, id: str) -> None:
        super().__init__(env)
        self._id = id
        self._step = 0
        self.observation_space = joined_space(env.observation_space, env.action_space, id)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        return self._joined(obs, info, False), {}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step as Gymnasium does."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._step += 1
        return self._joined(obs, info, bool(terminated or truncated)), reward, terminated, truncated, {}

    def _joined(self, obs: Any, info: dict[str, Any], ended: bool) -> NDArray[Any]:
        space: Any = self.env.action_space
        mask, where = info.get(MASK), f"{self._id}, step {self._step} of an episode"
        if ended and (mask is None or not np.any(mask)):
            mask = np.ones(space.n, np.int8)
        if mask is None:
            raise UserError(f"{where}: no {MASK} in the info, which other steps have; allowed: one at every step")
        return joined(obs, checked_mask(mask, space, where), self.observation_space)


def joined_space(space: Space[Any], actions: Space[Any], id: str) -> Space[Any]:
    """Return the space of observations of ``space``, flattened, with a mask of ``actions`` at their end.

    It is a ``Box`` of the same type, or ``MultiDiscrete`` for whole numbers without an order, which stay one-hot.

    Raises:
        UserError: actions other than ``Discrete``, or observations other than one array.
    """
    if not isinstance(actions, spaces.Discrete):
        raise UserError(f"{id} gives an {MASK} for actions {actions}; allowed: masks of Discrete actions")
    number = int(actions.n)
    if isinstance(space, spaces.Box):
        low, high = np.zeros(number, space.dtype), np.ones(number, space.dtype)
        lows, highs = np.concatenate([space.low.ravel(), low]), np.concatenate([space.high.ravel(), high])
        return spaces.Box(lows, highs, dtype=space.dtype.type)
    if isinstance(space, spaces.Discrete):
        sizes, starts = np.array([space.n]), np.array([space.start])
    elif isinstance(space, spaces.MultiDiscrete):
        sizes, starts = space.nvec.ravel(), space.start.ravel()
    elif isinstance(space, spaces.MultiBinary):
        sizes, starts = np.full(math.prod(space.shape), 2), np.zeros(math.prod(space.shape), int)
    else:
        raise UserError(f"{id} has a {type(space).__name__} observation space; allowed: one of arrays")
    return spaces.MultiDiscrete(
        np.concatenate([sizes, np.full(number, 2)]), start=np.concatenate([starts, np.zeros(number, int)])
    )


def joined(obs: Any, mask: NDArray[Any], space: Space[Any]) -> NDArray[Any]:
    """Return one or more observations (..., *shape) and their masks (..., n) as vectors (..., F) of ``space``."""
    shape = mask.shape[:-1]
    dtype: Any = space.dtype
    flat = np.asarray(obs, dtype).reshape(*shape, -1)
    return np.concatenate([flat, mask.astype(dtype)], axis=-1)


@dataclass(frozen=True)
class MaskJoin:
    """Function from observations as an environment gives them, and their masks, to what agents see.

    Attributes:
        rest: space of one observation without the mask.
        space: space of what agents see of it.
        size: n, the number of actions.
        id: name of the environment, for errors.
    """

    rest: Space[Any]
    space: Space[Any]
    size: int
    id: str

    def __call__(self, obs: Any, mask: Any = None) -> NDArray[Any]:
        """Return one observation, or a batch of them, with the masks at their end, (F,) or (B, F).

        Args:
            obs: as the environment gives it, with or without the mask in a dictionary; or what agents see already.
            mask: (n,) or (B, n), where it is not in ``obs``: that of the info.

        Raises:
            UserError: no mask, or one of another shape.
        """
        if isinstance(obs, Mapping) and MASK in obs:
            mask, obs = obs[MASK], {name: part for name, part in obs.items() if name != MASK}
            if not isinstance(self.rest, spaces.Dict):
                (obs,) = obs.values()
        if mask is None:
            if not isinstance(obs, Mapping) and np.shape(obs)[-1:] == self.space.shape:
                return np.asarray(obs)
            raise UserError(f"{self.id} masks actions: give the mask in its info too, policy(obs, mask=...)")
        allowed = np.asarray(mask)
        if allowed.ndim not in (1, 2) or allowed.shape[-1] != self.size:
            raise UserError(f"{self.id}: mask of shape {allowed.shape}; allowed: ({self.size},), or (B, {self.size})")
        if isinstance(self.rest, spaces.Dict | spaces.Tuple):
            parts = [obs] if allowed.ndim == 1 else iterate(batch_space(self.rest, len(allowed)), obs)
            rows: list[Any] = [spaces.flatten(self.rest, part) for part in parts]
            flat = np.stack(rows)
            obs = flat[0] if allowed.ndim == 1 else flat
        return joined(obs, allowed, self.space)
