"""Observations, actions and infos of JAX-native environments in Gymnasium's form."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.envs.base import Environment
from morl.envs.gymnasium.masked import MASK
from morl.errors import UserError
from morl.ops.spaces import narrow, to_jax, to_space
from morl.spaces import Observations

INVALID = "invalid_action"  # flag in the info, that the mask forbade the action of the step
AnyEnv = Environment[Any, Any]
Array = NDArray[Any]


def checked_action(env: AnyEnv, space: Space[Any], action: Any) -> Array:
    """Return the action in JAX's type, within the bounds of its space.

    Raises:
        UserError: the action is not in ``space``.
    """
    array = np.asarray(action)
    real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if np.issubdtype(array.dtype, np.integer) or (real and np.issubdtype(array.dtype, np.floating)):
        cast = to_space(space, array)
        if cast.dtype != space.dtype and array.dtype.kind == "f":
            cast = array.astype(space.dtype)  # such as float64 that rounds to a bound of float32
        if space.contains(cast):
            return to_jax(space, cast, narrow(cast.dtype))
    if isinstance(space, spaces.Discrete):
        allowed = f"an integer from {space.start} to {space.start + space.n - 1}"
    else:
        allowed = f"a member of {space}".replace("\n", "")
    raise UserError(f"action {action} for {env.id}; allowed: {allowed}")


def _fresh(obs: Any, space: Space[Any]) -> Any:
    """Return an observation as a new array of NumPy, or as a number for ``Discrete``."""
    array = np.array(obs, space.dtype)
    return array[()] if isinstance(space, spaces.Discrete) else array


def presented_space(env: AnyEnv) -> Space[Any]:
    """Return the observation space in Gymnasium's form, with the mask of actions if the environment has one."""
    if not hasattr(env, "action_mask"):
        return env.observation_space
    mask = spaces.MultiBinary(int(env.action_space.n))  # type: ignore[attr-defined]
    return spaces.Dict({env.observation_key: env.observation_space, MASK: mask})  # type: ignore[attr-defined]


def observations_of(env: Any) -> Observations:
    """Return how observations of an environment, in JAX or on the host, are checked and turned into agents'."""
    if hasattr(env, "make_vector"):
        masks = env.action_mask.size if env.action_mask is not None else 0
        given = None if masks else env.given_space  # a mask has joined the observation already
        return Observations(env.observation_space, env.id, given, mask_size=masks)
    given = presented_space(env)
    key = env.observation_key if hasattr(env, "action_mask") else None
    return Observations(env.observation_space, env.id, given, key, converted=False)


def present(env: AnyEnv, obs: Any, space: Space[Any]) -> Any:
    """Return an observation, or a batch of them, in its :func:`presented_space`."""
    if not isinstance(space, spaces.Dict):
        return _fresh(obs, space)
    array = np.asarray(obs)
    mask = env.action_mask(array)  # type: ignore[attr-defined]
    return {name: _fresh(mask if name == MASK else array, part) for name, part in space.items()}


def mask_of(env: AnyEnv, obs: Any) -> Array | None:
    """Return a copy of the mask in a presented observation, which the caller may change, or None."""
    return obs[MASK].copy() if hasattr(env, "action_mask") else None


def heed_mask(
    env: AnyEnv, action: Array, mask: Array, strict: bool, rows: Any = True
) -> tuple[Array, NDArray[np.bool_]]:
    """Return actions (...) with the first allowed one for each that its mask (..., n) forbids, and which those were.

    Args:
        env: names itself in the error.
        action: (...) actions.
        mask: (..., n) of the observation acted on.
        strict: refuse forbidden actions.
        rows: (...) bool, False where an action has no effect.

    Raises:
        UserError: the mask forbids an action, and ``strict``.
    """
    forbidden = (np.take_along_axis(mask, action[..., None], axis=-1)[..., 0] == 0) & rows
    if strict and forbidden.any():
        first = np.argwhere(forbidden)[0]
        allowed = ", ".join(map(str, np.flatnonzero(mask[tuple(first)])))
        where = f" in environment {first[0]}" if len(first) else ""
        raise UserError(f"action {action[tuple(first)]} for {env.id} is masked{where}; allowed now: {allowed}")
    return np.where(forbidden, mask.argmax(axis=-1), action).astype(action.dtype), forbidden


def with_masks(info: dict[str, Any], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return batched infos in Gymnasium's form: zero where ``mask`` is False, and each key with its ``_key`` mask."""
    if not mask.any():
        return {}
    masked: dict[str, Any] = {}
    for name, value in info.items():
        if isinstance(value, dict):
            masked[name] = with_masks(value, mask)
        else:
            masked[name] = np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, np.zeros((), value.dtype))
        masked["_" + name] = mask.copy()
    return masked
