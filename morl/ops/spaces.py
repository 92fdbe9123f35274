"""Spaces as agents see them: which kinds they know, and actions in the number type that an environment takes.

NumPy only, so that environments can use it without JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import DTypeLike, NDArray

from morl.errors import UserError

ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
FLATTENED = (spaces.Dict, spaces.Tuple, spaces.OneOf)
OBSERVATIONS = "one of arrays: Box, Discrete, MultiDiscrete, MultiBinary, and Dict, Tuple and OneOf of these or of Text"
ACTIONS = "one array: Discrete, MultiDiscrete, MultiBinary or Box"

Bounds = tuple[NDArray[Any], NDArray[Any]]


# --- Kinds ------------------------------------------------------------------------------------------------------------


def check_observation_space(space: Space[Any], id: str = "the environment") -> None:
    """Check that an observation space can be encoded as numbers.

    Args:
        space: of one environment.
        id: name of the environment, for the message.

    Raises:
        UserError: a space, or a part of it, that cannot, by its kind and its place, such as ["mission"]; an empty one.
    """
    found = _unknown_part(space, "")
    if found is None:
        if spaces.flatdim(space) == 0:
            raise UserError(f"{id} has the observation space {space}, which holds no numbers")
        return
    place, part = found
    which = f" at {place}" if place else ""
    raise UserError(
        f"{id} has a {type(part).__name__} observation space{which}; allowed: {OBSERVATIONS}"
        " (leave it out, or encode it, with a gymnasium.ObservationWrapper)"
    )


def _unknown_part(space: Space[Any], place: str) -> tuple[str, Space[Any]] | None:
    """Return place and space of the first part that is not known, or None."""
    parts: list[tuple[str, Space[Any]]] = []
    if isinstance(space, spaces.Dict):
        parts = [(f"{place}[{name!r}]", part) for name, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple | spaces.OneOf):
        parts = [(f"{place}[{i}]", part) for i, part in enumerate(space.spaces)]
    elif not isinstance(space, (*ARRAYS, spaces.Text) if place else ARRAYS):
        return place, space
    return next((found for where, part in parts if (found := _unknown_part(part, where))), None)


def check_action_space(space: Space[Any], id: str = "the environment") -> None:
    """Check that actions are one array of numbers that agents can choose.

    Args:
        space: of one environment.
        id: name of the environment, for the message.

    Raises:
        UserError: another kind of space, an empty one, or integers that JAX's 32 bits cannot hold.
    """
    if not isinstance(space, ARRAYS):
        raise UserError(f"{id} has a {type(space).__name__} action space; allowed: {ACTIONS}")
    if 0 in (space.shape or ()):
        raise UserError(f"{id} has the action space {space}, which holds no numbers")
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes = space.n if isinstance(space, spaces.Discrete) else space.nvec
        first, last = np.min(space.start), np.max(np.asarray(space.start) + sizes - 1)
        if first < -(2**31) or last > 2**31 - 1:
            told = " ".join(str(space).split())
            raise UserError(f"{id} has the action space {told}, with integers beyond 32 bits: let it start at 0")


# --- Actions ----------------------------------------------------------------------------------------------------------


def bounds_within(space: spaces.Box, dtype: DTypeLike) -> Bounds:
    """Return the bounds of a ``Box`` as the outermost numbers of a floating type that lie within them.

    Where the type has none between a low and a high bound, they are the nearest ones.
    """
    low, high = (np.asarray(bound) for bound in (space.low, space.high))
    with np.errstate(over="ignore"):
        near_low, near_high = low.astype(dtype), high.astype(dtype)
    within_low = np.where(_less(near_low, low), np.nextafter(near_low, near_low.dtype.type(np.inf)), near_low)
    within_high = np.where(_less(high, near_high), np.nextafter(near_high, near_high.dtype.type(-np.inf)), near_high)
    crossed = within_low > within_high
    return np.where(crossed, near_low, within_low), np.where(crossed, near_high, within_high)


def to_space(space: Space[Any], action: Any) -> NDArray[Any]:
    """Return actions (..., *shape) in the number type of their space.

    JAX computes in 32 bits. A number that is the float32 next to a bound, on either side of it, becomes the bound.
    Whole numbers become integers. What does not fit is returned as it is, for a check to refuse.

    Args:
        space: of one action, or of a batch of them.
        action: array; leading axes are batches.
    """
    array = np.asarray(action)
    if array.dtype == space.dtype or array.dtype.kind not in "biuf" or space.dtype is None:
        return array
    if isinstance(space, spaces.Box) and array.dtype.kind == "f":
        return _reals_to_box(space, array)
    if array.dtype.kind == ("b" if isinstance(space, spaces.Box) else "f"):
        return array
    cast = array.astype(space.dtype)
    return cast if (cast == array).all() else array


def all_inside(space: Space[Any], actions: NDArray[Any]) -> bool:
    """Return whether each of a batch of actions (B, *shape) is in its space; faster than one after another."""
    kind = actions.dtype.kind
    if isinstance(space, spaces.Box):
        fits = kind in ("iuf" if np.issubdtype(space.dtype, np.floating) else "iu")
        return fits and bool(((actions >= space.low) & (actions <= space.high)).all())
    if isinstance(space, spaces.Discrete):
        return kind in "iu" and bool(((actions >= space.start) & (actions < space.start + space.n)).all())
    if isinstance(space, spaces.MultiDiscrete):
        return kind in "iu" and bool(((actions >= space.start) & (actions - space.start < space.nvec)).all())
    if isinstance(space, spaces.MultiBinary):
        return kind in "iub" and bool(((actions == 0) | (actions == 1)).all())
    return all(space.contains(action) for action in actions)


def narrow(dtype: Any) -> np.dtype[Any]:
    """Return the type of 32 bits for one of 64 bits, any other as it is: the types of actions and constants."""
    given: np.dtype[Any] = np.dtype(dtype)
    shorter: Any = {"f8": "f4", "i8": "i4", "u8": "u4"}.get(given.str[1:])
    return given if shorter is None else np.dtype(shorter)


def to_jax(space: Space[Any], action: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return actions of a space in a type of JAX's, which may have fewer bits: within the bounds of the space."""
    cast = action.astype(dtype)
    if isinstance(space, spaces.Box) and cast.dtype.kind == "f" and cast.dtype != action.dtype:
        cast = np.clip(cast, *bounds_within(space, cast.dtype))
    return cast


def _reals_to_box(space: spaces.Box, array: NDArray[Any]) -> NDArray[Any]:
    """Return real numbers in the type of a ``Box`` of floats or integers."""
    low, high = bounds_within(space, array.dtype)
    with np.errstate(over="ignore"):
        at_low = (array == low) | (array == space.low.astype(array.dtype))
        at_high = (array == high) | (array == space.high.astype(array.dtype))
    inside = (array >= low) & (array <= high)
    if not (inside | at_low | at_high).all():  # NaN too
        return array
    between = np.where(inside & ~at_low & ~at_high, array, low)
    if np.issubdtype(space.dtype, np.integer) and (np.rint(between) != between).any():
        return array
    with np.errstate(invalid="ignore"):  # an absent bound at which the cast would overflow is replaced below
        cast = between.astype(space.dtype)
    return np.where(at_low, space.low, np.where(at_high, space.high, cast)).astype(space.dtype)


def _less(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    """Compare exactly, integers with floats too."""
    if one.dtype.kind == two.dtype.kind == "f":
        return np.asarray(one < two)
    return np.asarray([a < b for a, b in zip(one.ravel().tolist(), two.ravel().tolist(), strict=True)], bool).reshape(
        one.shape
    )
