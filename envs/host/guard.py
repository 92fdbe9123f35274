"""Wrapper of every host environment: it calls the user's code under guard, and checks rewards and observations.

Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

import re
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from morl.envs.gymnasium.masked import MASK
from morl.errors import UserError, user_code, user_code_error

RESET = "allowed: def reset(self, *, seed=None, options=None)"


class Guard(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Check and copy each reward and observation, since some environments reuse their arrays.

    Infos are dropped: nothing reads them, and they cost more than the step of a small environment.

    Raises:
        UserCodeError: in every method, naming it and the step, for whatever the environment raises but Ctrl-C.
        UserError: in ``reset`` and ``step``, for a reward or observation of another shape, one that is not finite, or
            an observation that the type of its space does not have; for a mask of actions that has not joined the
            observation.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], reward_shape: tuple[int, ...], id: str, finite: bool) -> None:
        super().__init__(env)
        self._reward_shape = reward_shape
        self._id = id
        self._finite = finite
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._step = 0
        obs, _ = guarded_reset(self.env, self._id, seed=seed, options=options)
        return self._checked(obs), {}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        self._step += 1
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
            terminated, truncated = bool(terminated), bool(truncated)
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise user_code_error(self._id, f"step {self._step} of an episode", error) from error
        where = f"{self._id}, step {self._step} of an episode"
        if info and MASK in info:
            raise UserError(
                f"{where}: an {MASK} in the info; allowed: one in every info from the reset on, of Discrete actions"
            )
        checked_reward(reward, self._reward_shape, where, self._finite)
        # a copy as it came: that float32 loses differences of rewards is told of by who collects them
        vector: Any = np.array(reward, np.float64)
        return self._checked(obs), vector, terminated, truncated, {}

    def render(self) -> Any:
        with user_code(self._id, f"render after {self._step} steps"):
            return super().render()

    def close(self) -> None:
        with user_code(self._id, "close"):
            super().close()

    def _checked(self, raw: Any) -> NDArray[Any]:
        space = self.observation_space
        try:
            given = np.asarray(raw)
            given = given if given.dtype.kind in "biuf" else given.astype(space.dtype)
        except (TypeError, ValueError) as error:  # rows of different lengths, or not numbers
            where = f"{self._id}, step {self._step} of an episode"
            raise UserError(f"{where}: observation {str(raw)[:60]!r} is not an array: {error}") from error
        if given.shape != space.shape:
            where = f"{self._id}, step {self._step} of an episode"
            raise UserError(f"{where}: observation of shape {given.shape}, not {space.shape}")
        if given.dtype == space.dtype:
            return np.array(given)
        with np.errstate(over="ignore", invalid="ignore"):
            obs: NDArray[Any] = given.astype(space.dtype)
        if obs.dtype.kind != "f" and not np.array_equal(obs, given):
            where = f"{self._id}, step {self._step} of an episode"
            lost = given[obs != given].ravel()[0]
            raise UserError(f"{where}: observation {lost} is no {space.dtype}, which its observation_space has")
        return obs


def guarded_reset(env: gymnasium.Env[Any, Any], id: str, **how: Any) -> tuple[Any, dict[str, Any]]:
    """Reset a user's environment.

    Raises:
        UserCodeError: whatever it raises but Ctrl-C.
    """
    try:
        return env.reset(**how)
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        hint = RESET if re.search("unexpected keyword argument '(seed|options)'", str(error)) else ""
        raise user_code_error(id, "reset", error, hint) from error


def checked_reward(raw: Any, shape: tuple[int, ...], where: str, must_be_finite: bool) -> NDArray[np.float32]:
    """Return a float32 copy of a vector reward, or of a batch of them.

    Raises:
        UserError: another shape, or a value that is not finite where it must be.
    """
    try:
        found = np.shape(raw)
        with np.errstate(over="ignore"):  # becomes infinite
            reward = np.asarray(raw).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: reward {str(raw)[:60]!r} is not an array of numbers: {error}") from error
    if found != shape:
        raise UserError(f"{where}: reward of shape {found}, not {shape} as its reward_space says")
    finite = np.isfinite(reward).all(axis=-1)
    if must_be_finite and not finite.all():
        raise UserError(f"{where}: reward {reward[~finite].reshape(-1, shape[-1])[0].tolist()} is not finite")
    return reward
