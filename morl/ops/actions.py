"""Actions in the units of learners, and as an environment takes them: reals between -1 and 1, and parts from 0 on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from morl.ops.batching import with_leading_axes
from morl.ops.spaces import bounds_within, narrow

MOST_VALUES = 512  # largest number of values in all for which integers are choices; more are rounded reals
ENDLESS = 1e30  # a bound beyond it is none
RESOLUTION = 1000  # float32 numbers between two bounds below which it is worth a note


@dataclass(frozen=True)
class Integers:
    """Array of integers, each of which has a few values; learners count each from 0 on.

    Attributes:
        sizes, starts: number of values, and the first one, of each of n parts.
        shape, dtype: of the space.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    def to_env(self, parts: jax.Array) -> jax.Array:
        """Convert parts (..., n) that count from 0 to the environment's integers (..., *shape)."""
        starts = with_leading_axes(jnp.asarray(self.starts, jnp.int32), parts.ndim)
        value = (parts + starts).astype(narrow(self.dtype))
        return _shaped(value, self.shape)

    def split(self, joint: jax.Array) -> jax.Array:
        """Return the parts (..., n) of a joint number (...), in which the last part counts fastest."""
        strides = [math.prod(self.sizes[i + 1 :]) for i in range(len(self.sizes))]
        each = jnp.broadcast_to(joint[..., None], (*joint.shape, len(self.sizes)))
        stride, size = (
            jnp.broadcast_to(with_leading_axes(jnp.asarray(x, jnp.int32), each.ndim), each.shape)
            for x in (strides, self.sizes)
        )
        return jax.lax.rem(jax.lax.div(each, stride), size)

    def join(self, parts: jax.Array) -> jax.Array:
        """Return the joint number (...) of parts (..., n), the inverse of :meth:`split`."""
        strides = [math.prod(self.sizes[i + 1 :]) for i in range(len(self.sizes))]
        return jnp.sum(parts * with_leading_axes(jnp.asarray(strides, jnp.int32), parts.ndim), axis=-1, dtype=jnp.int32)


@dataclass(frozen=True)
class Reals:
    """``Box`` of n numbers, in units where its bounds are -1 and 1.

    With one bound a unit is the environment's own, and the bound is -1 or 1; with none a unit is the environment's
    own, and 0 is 0. Integers are rounded.

    Attributes:
        low, high: bounds of the n numbers in the space; infinite, or the type's limits, where there is none.
        low_within, high_within: the same in float32, rounded inwards.
        bounded_below, bounded_above: whether a number has that bound.
        shape, dtype: of the space.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    low_within: tuple[float, ...]
    high_within: tuple[float, ...]
    bounded_below: tuple[bool, ...]
    bounded_above: tuple[bool, ...]
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Return n."""
        return len(self.low)

    @property
    def half_range(self) -> NDArray[np.float32]:
        """Return the environment's units in one unit here, (n,)."""
        return self._affine[1].astype(np.float32)

    @property
    def _affine(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what -1 is in the environment, and the length of a unit, (n,) each."""
        low, high = np.asarray(self.low, float), np.asarray(self.high, float)
        below, above = np.asarray(self.bounded_below), np.asarray(self.bounded_above)
        with np.errstate(invalid="ignore"):
            half = np.where(below & above, (high - low) / 2, 1.0)
        return np.where(below, low, np.where(above, high - 2.0, -1.0)), half

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert actions (..., n) to the environment's (..., *shape); beyond a bound they are the bound itself.

        Integers that JAX's type cannot hold stay float32, for :func:`morl.ops.spaces.to_space` to round.
        """
        below, above = np.asarray(self.bounded_below), np.asarray(self.bounded_above)
        units = (np.where(below, -1.0, -np.inf), np.where(above, 1.0, np.inf))
        lowest, highest, start, half, low, high = (
            with_leading_axes(jnp.asarray(x, jnp.float32), action.ndim)
            for x in (*units, *self._affine, self.low_within, self.high_within)
        )
        unit = jnp.clip(action, lowest, highest)
        value = start + (unit + 1.0) * half
        if self._meets_bounds:
            return _shaped(value, self.shape)
        dtype = self._jax_dtype
        value = jnp.clip(value, low, high)
        if np.issubdtype(self.dtype, np.integer):
            value = jnp.round(value)
        bounds = (self.low_within, self.high_within) if dtype == np.float32 else (self.low, self.high)
        low, high = (with_leading_axes(jnp.asarray(np.asarray(x, dtype)), action.ndim) for x in bounds)
        value = jnp.where(unit <= lowest, low, jnp.where(unit >= highest, high, value.astype(dtype)))
        return _shaped(value, self.shape)

    def to_units(self, value: jax.Array) -> jax.Array:
        """Convert the environment's actions (..., *shape) within their bounds to (..., n), the inverse of to_env."""
        value = value.reshape(*value.shape[: value.ndim - len(self.shape)], self.size).astype(jnp.float32)
        start, half = (with_leading_axes(jnp.asarray(x, jnp.float32), value.ndim) for x in self._affine)
        return (value - start) / jnp.where(half > 0, half, 1.0) - 1.0

    @property
    def _meets_bounds(self) -> bool:
        """Return whether the affine map, rounded, gives exactly the bounds, so that nothing can lie beyond them."""
        if self._jax_dtype != np.float32 or self.dtype != "float32":
            return False
        start, half = (x.astype(np.float32) for x in self._affine)
        below, above = np.asarray(self.bounded_below), np.asarray(self.bounded_above)
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        return bool(((~below | (start == low)) & (~above | (start + 2 * half == high))).all())

    @property
    def _jax_dtype(self) -> np.dtype[Any]:
        dtype = narrow(self.dtype)
        if dtype.kind in "iu" and not (np.iinfo(dtype).min <= min(self.low) and max(self.high) <= np.iinfo(dtype).max):
            return np.dtype(np.float32)
        return dtype

    def unbounded(self) -> tuple[int, int]:
        """Return how many of the n numbers have no bound, and how many have one."""
        number = np.asarray(self.bounded_below).astype(int) + np.asarray(self.bounded_above)
        return int((number == 0).sum()), int((number == 1).sum())

    def rounding_notes(self) -> tuple[str, ...]:
        """Describe integers that are rounded, and bounds too close together for float32."""
        notes = []
        if np.issubdtype(self.dtype, np.integer):
            notes.append("actions are integers of too many values to be choices: real numbers, rounded")
        low, high = (np.asarray(x, np.float32) for x in (self.low_within, self.high_within))
        both = np.asarray(self.bounded_below) & self.bounded_above & (np.asarray(self.low) < self.high)
        spacing = np.spacing(np.maximum(np.abs(low), np.abs(high)))
        coarse = both & (high - low < RESOLUTION * spacing)
        if coarse.any() and not np.issubdtype(self.dtype, np.integer):
            notes.append(
                f"{int(coarse.sum())} of {self.size} numbers of an action have bounds so close together that float32"
                f" has fewer than {RESOLUTION} numbers between them: let actions be relative to a bound"
            )
        return tuple(notes)


def integers_of(space: Space[Any]) -> Integers | None:
    """Return a space as integers of a few values: MultiDiscrete, MultiBinary, or a ``Box`` of integers; else None."""
    sizes: Any
    starts: Any
    if isinstance(space, spaces.MultiDiscrete):
        sizes, starts = np.asarray(space.nvec), np.asarray(space.start)
    elif isinstance(space, spaces.MultiBinary):
        sizes, starts = np.full(space.shape, 2), np.zeros(space.shape, int)
    elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer):
        sizes = space.high.astype(object) - space.low.astype(object) + 1
        starts = space.low
        if (
            not space.is_bounded()
            or sizes.max() * sizes.size > MOST_VALUES
            or np.abs(starts.astype(object)).max() > 2**30
        ):
            return None
    else:
        return None
    sizes, starts = (tuple(int(x) for x in np.ravel(part)) for part in (sizes, starts))
    return Integers(sizes, starts, tuple(space.shape), str(space.dtype))


def reals_of(space: spaces.Box) -> Reals:
    """Return a ``Box`` as real numbers; an integer without a bound has that of 32 bits, where it can."""
    inner = space
    if np.issubdtype(space.dtype, np.integer):
        least, most = space.low.astype(object), space.high.astype(object)
        least = np.where(~space.bounded_below & (most > -(2**31)), np.maximum(least, -(2**31)), least)
        most = np.where(~space.bounded_above & (least < 2**31 - 1), np.minimum(most, 2**31 - 1), most)
        inner = spaces.Box(least.astype(space.dtype), most.astype(space.dtype), dtype=space.dtype.type)
    low, high = inner.low.ravel(), inner.high.ravel()
    real = np.issubdtype(space.dtype, np.floating)
    with np.errstate(over="ignore"):
        near = [np.abs(x.astype(float)) < ENDLESS if real else np.ones(x.shape, bool) for x in (low, high)]
    low_within, high_within = (x.ravel().astype(float) for x in bounds_within(inner, np.float32))
    return Reals(
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        low_within=tuple(low_within.tolist()),
        high_within=tuple(high_within.tolist()),
        bounded_below=tuple((space.bounded_below.ravel() & near[0]).tolist()),
        bounded_above=tuple((space.bounded_above.ravel() & near[1]).tolist()),
        shape=tuple(space.shape),
        dtype=str(space.dtype),
    )


def _shaped(value: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return (..., n) as (..., *shape)."""
    return value if len(shape) == 1 else value.reshape(*value.shape[:-1], *shape)
