"""Functions of many rows, evaluated part by part: only rows that count are computed, and only as many as there are.

How many rows count is known at run time only. One program takes as many of them as it has room for, and runs as often
as it has to: it is compiled once, whatever the number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.types import PyTree

OfRows = Callable[[PyTree, PyTree, jax.Array], jax.Array]


class Room(NamedTuple):
    """Size of a part.

    Attributes:
        rows: most rows.
        tokens: most tokens of all its rows together; no row may have more.
    """

    rows: int
    tokens: int


class _Sorted(NamedTuple):
    """Rows with those that count first, and ``Room.rows`` empty ones behind them.

    Attributes:
        rows: (M + Room.rows, ...).
        ends: (M + Room.rows,) int32 tokens of a row and of all before it.
        number: () int32 rows that count.
    """

    rows: PyTree
    ends: jax.Array
    number: jax.Array


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_parts(of: OfRows, room: Room, params: PyTree, rows: PyTree, tokens: jax.Array, counts: jax.Array) -> jax.Array:
    """Compute ``of(params, rows, counts)`` (M, outputs) part by part, 0 for rows that do not count.

    It is differentiable in ``params`` alone. The gradient computes each part again, so that nothing of the size of all
    rows is kept for it.

    Args:
        of: function of rows (R, ...) and of which of them count (R,), R = ``room.rows``; each row by itself.
        room: size of a part.
        params: parameters of ``of``.
        rows: arrays (M, ...).
        tokens: (M,) int32 tokens of each row, at least 1.
        counts: (M,) bool.
    """
    return _forward(of, room, params, rows, tokens, counts)[0]


def _forward(
    of: OfRows, room: Room, params: PyTree, rows: PyTree, tokens: jax.Array, counts: jax.Array
) -> tuple[jax.Array, tuple[PyTree, _Sorted, jax.Array]]:
    order = jnp.argsort(~counts, stable=True)
    ordered = _Sorted(
        jax.tree.map(partial(_padded, room, order), rows),
        jnp.cumsum(_padded(room, order, jnp.where(counts, tokens, 0)), dtype=jnp.int32),
        counts.sum(dtype=jnp.int32),
    )

    def part(begin: jax.Array, found: jax.Array) -> tuple[jax.Array, jax.Array]:
        cut, taken = _part(room, ordered, begin)
        found = jax.lax.dynamic_update_slice_in_dim(found, of(params, cut, taken), begin, 0)
        return begin + taken.sum(dtype=jnp.int32), found

    shape = jax.eval_shape(of, params, *jax.eval_shape(partial(_part, room, ordered), jnp.int32(0)))
    start = jnp.zeros((len(ordered.ends), *shape.shape[1:]), shape.dtype)
    found = _all_parts(ordered, part, start)
    place = jnp.cumsum(counts, dtype=jnp.int32) - 1
    return jnp.where(counts[:, None], found[place], 0.0), (params, ordered, order)


def _backward(
    of: OfRows, room: Room, saved: tuple[PyTree, _Sorted, jax.Array], gradient: jax.Array
) -> tuple[PyTree, None, None, None]:
    params, ordered, order = saved
    gradient = _padded(room, order, gradient)

    def part(begin: jax.Array, total: PyTree) -> tuple[jax.Array, PyTree]:
        cut, taken = _part(room, ordered, begin)
        _, pull = jax.vjp(lambda params: of(params, cut, taken), params)
        (more,) = pull(jnp.where(taken[:, None], _cut(room, begin, gradient), 0.0))
        return begin + taken.sum(dtype=jnp.int32), jax.tree.map(jnp.add, total, more)

    return _all_parts(ordered, part, jax.tree.map(jnp.zeros_like, params)), None, None, None


in_parts.defvjp(_forward, _backward)


def _all_parts(ordered: _Sorted, part: Callable[[jax.Array, Any], tuple[jax.Array, Any]], start: Any) -> Any:
    """Call ``part`` from the first row on, with the row that it begins with, until no row is left."""
    return jax.lax.while_loop(lambda at: at[0] < ordered.number, lambda at: part(*at), (jnp.int32(0), start))[1]


def _part(room: Room, ordered: _Sorted, begin: jax.Array) -> tuple[PyTree, jax.Array]:
    """Return the rows from ``begin`` on (R, ...), and which of them there is room for (R,) bool: the first ones."""
    before = jnp.where(begin > 0, ordered.ends[jnp.maximum(begin - 1, 0)], 0)
    fits = _cut(room, begin, ordered.ends) - before <= room.tokens
    there = begin + jnp.arange(room.rows, dtype=jnp.int32) < ordered.number
    return jax.tree.map(partial(_cut, room, begin), ordered.rows), fits & there


def _padded(room: Room, order: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.pad(x[order], [(0, room.rows)] + [(0, 0)] * (x.ndim - 1))


def _cut(room: Room, begin: jax.Array, x: jax.Array) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(x, begin, room.rows)
