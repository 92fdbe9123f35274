"""Observations at the border: what environments and users give, and what agents see of it.

JAX computes with 32 bits. One rule: nothing is cut or wrapped without a word. Observations of 64 bits, and whole
numbers that float32 does not hold, become float32 numbers. Where what changes of one would be lost in that, a fixed
origin is subtracted first, exactly; :meth:`Observations.find_origin` says where. Features are made of what agents see
by :func:`morl.networks.encoders.encoder`, whose name is here too, for code that imported it from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.lazy import lazy_names

__getattr__ = lazy_names(__name__, {"encoder": "morl.networks.encoders:encoder"})

MOST_CELLS = 512  # largest number of values in all for which a vector of integers is one-hot
EXACT = 2**24  # whole numbers up to here are exact in float32
CLOSE = 2.0**-12  # range of a feature as a share of its size below which float32 has too few steps for it
_INT32 = np.iinfo(np.int32)

Origin = Mapping[int, int | float]
Array = NDArray[Any]


def value_counts(space: Space[Any]) -> tuple[list[int], list[int]] | None:
    """Return the number of values of each part of a vector whose parts are one-hot, and their least values, or None.

    Those are the parts of ``Discrete`` and ``MultiDiscrete``, as long as float32 can count their values, and those of
    an integer ``Box`` of one axis with at most ``MOST_CELLS`` values in all: cells of a grid, whose numbers have no
    order that rewards follow.
    """
    if isinstance(space, spaces.Discrete):
        sizes, starts, most = [int(space.n)], [int(space.start)], EXACT
    elif isinstance(space, spaces.MultiDiscrete):
        sizes, starts, most = [*map(int, space.nvec.ravel())], [*map(int, space.start.ravel())], EXACT
    elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer) and len(space.shape) == 1:
        starts = [*map(int, space.low)]  # Python's numbers: a count of 64 bits overflows NumPy's
        sizes = [int(high) - low + 1 for high, low in zip(space.high, starts, strict=True)]
        most = MOST_CELLS
    else:
        return None
    return (sizes, starts) if sum(sizes) <= most else None


@dataclass(frozen=True, eq=False)
class Observations:
    """Observations of one environment.

    Attributes:
        space: space of one observation, of an array.
        id: the environment's name, for errors.
        given: the same as Gymnasium gives it: ``Dict`` or ``Tuple`` where ``space`` is flattened; a ``Dict`` of the
            array, under ``key``, and the mask of actions.
        key: name of the array in ``given``, if it is one of its parts.
        converted: they come from Python, with types that JAX may not have; else JAX gives them, and they stay as they
            are.
        origin: number that is subtracted from a part, by the part's place in the flat observation.
        mask_size: number of parts at the end that are a mask of actions, and have no origin.
    """

    space: Space[Any]
    id: str = "the environment"
    given: Space[Any] | None = None
    key: str | None = None
    converted: bool = True
    origin: Origin | None = None
    mask_size: int = 0

    @cached_property
    def seen(self) -> Space[Any]:
        """Space of what agents see of one observation; its shape is the same."""
        if not self.converted or self.space.shape is None or self.space.dtype is None:
            return self.space
        found = value_counts(self.space)
        dtype: Any = np.dtype(self.space.dtype)
        if found is not None:
            sizes, starts = found
            ends = [start + size - 1 for start, size in zip(starts, sizes, strict=True)]
            if _INT32.min <= min(starts) and max(ends) <= _INT32.max:
                starts = [0] * len(sizes)  # no need to count from 0
            low = np.array(found[1], object) - np.array(starts, object)
            if isinstance(self.space, spaces.Discrete):
                return spaces.Discrete(sizes[0], start=int(low[0]))
            if isinstance(self.space, spaces.MultiDiscrete):
                shape = self.space.shape
                counts, first = np.array(sizes).reshape(shape), low.astype(np.int32).reshape(shape)
                return spaces.MultiDiscrete(counts, dtype=np.int32, start=first)
            high = low + np.array(sizes, object) - 1
            kept = dtype if dtype.itemsize < 4 else np.int32
            return spaces.Box(low.astype(kept), high.astype(kept), dtype=kept)
        number = spaces.Box(-np.inf, np.inf, self.space.shape, np.float32)
        if isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete):
            return number
        if not isinstance(self.space, spaces.Box):
            return self.space
        if dtype.kind == "f":
            return number if dtype.itemsize > 4 else self.space
        if dtype.kind not in "iu" or dtype.itemsize < 4:
            return self.space
        if self.space.low.size and (int(self.space.low.min()) < -EXACT or int(self.space.high.max()) > EXACT):
            return number
        return spaces.Box(self.space.low.astype(np.int32), self.space.high.astype(np.int32), dtype=np.int32)

    @property
    def may_have_origin(self) -> bool:
        """Whether agents see float32 numbers in place of others."""
        return self.seen.dtype == np.float32 and self.space.dtype != np.float32

    @cached_property
    def offset(self) -> Array | None:
        """Array (*shape) that is subtracted from observations, in their own type, or None where nothing is."""
        if not self.converted or self.space.shape is None:
            return None
        if self.origin:
            dense = np.zeros(math.prod(self.space.shape), self.space.dtype)
            dense[list(self.origin)] = list(self.origin.values())
            return dense.reshape(self.space.shape)
        found, left = value_counts(self.space), value_counts(self.seen)
        if found is None or left is None or found[1] == left[1]:
            return None
        return np.array(found[1], self.space.dtype).reshape(self.space.shape)

    def __call__(self, obs: ArrayLike) -> Array:
        """Return observations (..., *shape), as the environment gives them, as agents see them."""
        array = np.asarray(obs)
        dtype = self.seen.dtype
        if not self.converted or dtype is None or (array.dtype == dtype and self.offset is None):
            return array
        if self.offset is not None:
            array = _difference(array, self.offset)
        with np.errstate(over="ignore"):  # becomes infinite, which is told of as such
            return array.astype(dtype)

    def find_origin(self, samples: Array) -> dict[int, int | float]:
        """Return the origin by observations (N, *shape) of a first few steps.

        A part has one, its first value, where its values lie closer together than 2**-12 of their size: fewer than
        4096 steps of float32 apart, or not at all. So the rule is the same in any unit, and a part that changes by
        more is left as it is.
        """
        if not self.may_have_origin or not len(samples):
            return {}
        flat = np.asarray(samples, self.space.dtype).reshape(len(samples), -1)
        numbers = flat.astype(np.float64)
        finite = np.asarray(np.isfinite(numbers).all(axis=0))
        numbers = np.where(finite[None], numbers, 0.0)
        size = np.abs(numbers).max(axis=0)
        finite &= np.arange(len(size)) < len(size) - self.mask_size
        close = finite & (size > 0) & (numbers.max(axis=0) - numbers.min(axis=0) < CLOSE * size)
        return {int(i): flat[0, i].item() for i in np.flatnonzero(close)}

    def with_origin(self, origin: Any, source: str) -> Observations:
        """Return these observations with an origin that was read from a file.

        Raises:
            UserError: not a mapping of places to finite numbers.
        """
        if not origin:
            return self
        size = math.prod(self.space.shape or ())
        try:
            good = isinstance(origin, dict) and all(
                type(i) is int and 0 <= i < size and type(x) in (int, float) and math.isfinite(x)
                for i, x in origin.items()
            )
            found = replace(self, origin=dict(origin)) if good and self.may_have_origin else None
            if found is not None and found.offset is not None:
                return found
        except (OverflowError, ValueError):  # a number that the space's type does not have
            pass
        raise UserError(f"{source}: origin {str(origin)[:60]} is not of numbers of {self.id}'s observations")

    def read(self, obs: Any) -> tuple[Array, bool]:
        """Check an observation, or a batch of them, of a user; return them as agents see them, and whether a batch.

        Args:
            obs: of the shape and structure that the environment's space says, as Gymnasium gives it; a batch has one
                leading axis more in every array.

        Returns:
            Observations (B, *shape), where B is 1 for a single one.

        Raises:
            UserError: another shape, structure or kind; a whole number outside of the space; or not a number.
        """
        if self.key is not None and isinstance(obs, Mapping):
            obs = self._part(obs, self.key)
        elif isinstance(self.given, spaces.Dict | spaces.Tuple) and isinstance(obs, Mapping | tuple):
            return self._flattened(obs)
        array, batch = _checked(self.space, obs, f"{self.id}: observation")
        return self(array if batch else array[None]), batch

    def _part(self, obs: Mapping[str, Any], key: str) -> Any:
        known = set(self.given.spaces) if isinstance(self.given, spaces.Dict) else {key}
        if key not in obs or not set(obs) <= known:
            raise UserError(f"{self.id}: observation with {', '.join(map(str, obs))}; allowed: {', '.join(known)}")
        return obs[key]

    def _flattened(self, obs: Any) -> tuple[Array, bool]:
        given: Any = self.given
        rows, batch = _rows(given, obs, f"{self.id}: observation")
        flat: list[Any] = [spaces.flatten(given, row) for row in rows]
        return self(np.stack(flat)), batch


def _difference(array: Array, offset: Array) -> Array:
    """Return ``array - offset`` of one type; of whole numbers exactly, up to where float64 rounds them anyway."""
    if array.dtype.kind not in "iu" or offset.dtype.kind not in "iu":
        return array.astype(np.result_type(array, offset, np.float64)) - offset
    exact = (array.astype(np.uint64) - offset.astype(np.uint64)).astype(np.int64)  # modulo 2**64
    about = array.astype(np.float64) - offset.astype(np.float64)
    return exact if (np.abs(about) < 2.0**62).all() else np.where(np.abs(about) < 2.0**62, exact, about)


def _rows(space: Space[Any], value: Any, where: str) -> tuple[list[Any], bool]:
    """Return the rows of an observation of a structure of spaces, or of a batch of them, and whether it is a batch.

    Raises:
        UserError: see :meth:`Observations.read`.
    """
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        if space.shape is None:
            if not space.contains(value):
                raise UserError(f"{where}: {str(value)[:60]!r} is not in {_one_line(space)}")
            return [value], False
        array, batch = _checked(space, value, where)
        return [row for row in (array if batch else array[None])], batch
    parts: Mapping[Any, Space[Any]]
    if isinstance(space, spaces.Dict):
        parts, right = space.spaces, isinstance(value, Mapping) and set(value) == set(space.spaces)
        allowed = f"a mapping of {', '.join(map(str, parts))}"
    else:
        parts = dict(enumerate(space.spaces))
        right = isinstance(value, tuple) and len(value) == len(parts)
        allowed = f"a tuple of {len(parts)}"
    if not right:
        given = f"mapping of {', '.join(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__
        raise UserError(f"{where}: {given}; allowed: {allowed}, as its space says")
    found = {name: _rows(part, value[name], f"{where}, part {name}") for name, part in parts.items()}
    kinds = {(len(rows), batch) for rows, batch in found.values()}
    if len(kinds) > 1:
        raise UserError(f"{where}: its parts are batches of different sizes, or not all of them batches")
    ((number, batch),) = kinds or {(1, False)}
    each = [{name: rows[i] for name, (rows, _) in found.items()} for i in range(number)]
    return (each if isinstance(space, spaces.Dict) else [tuple(row.values()) for row in each]), batch


def _checked(space: Space[Any], value: Any, where: str) -> tuple[Array, bool]:
    """Return an array of a space, or a batch of them, in the space's type, and whether it is a batch.

    Raises:
        UserError: see :meth:`Observations.read`.
    """
    shape: tuple[int, ...] = space.shape  # type: ignore[assignment]
    batched = ", ".join(["B", *map(str, shape)]) + ("" if shape else ",")
    allowed = f"shape {shape}, or ({batched}) for a batch, of {_one_line(space)}"
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise UserError(f"{where} is no array; allowed: {allowed}") from error
    if array.dtype.kind not in "biuf":
        raise UserError(f"{where} of {type(value).__name__} is not of numbers; allowed: {allowed}")
    batch = array.ndim == len(shape) + 1
    if array.shape[batch:] != shape or (batch and not len(array)):
        raise UserError(f"{where} of shape {array.shape}; allowed: {allowed}")
    cast, outside = array_in(space, array)
    if outside.any():
        raise UserError(f"{where}: {array[outside].ravel()[0]} is not in {_one_line(space)}")
    return cast, batch


def array_in(space: Space[Any], array: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return numbers (..., *shape) in a space's type, and where they are outside of it, (..., *shape) bool.

    Whole numbers are outside where the type or the bounds do not have them; other numbers only where they are NaN, as
    environments leave their bounds by rounding.
    """
    dtype: Any = space.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if np.dtype(dtype).kind == "f":
        return cast, np.isnan(cast)
    outside = cast != array
    if isinstance(space, spaces.Box):
        outside |= (cast < space.low) | (cast > space.high)
    elif isinstance(space, spaces.Discrete):
        outside |= (cast < space.start) | (cast - space.start >= space.n)
    elif isinstance(space, spaces.MultiDiscrete):
        outside |= (cast < space.start) | (cast - space.start >= space.nvec)
    elif isinstance(space, spaces.MultiBinary):
        outside |= cast > 1
    return cast, outside


def _one_line(space: Space[Any]) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"a {type(space).__name__} of shape {space.shape} and {space.dtype}"
