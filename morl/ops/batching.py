"""Functions of a whole batch that per-environment code may call under ``vmap``.

``vmap`` turns a branch into both branches and lets a loop carry selects of all it holds. Code that only pays off when
it sees the batch (skip what no lane needs, loop as often as the busiest lane does) is written for one leading axis
here, and any number of ``vmap`` around it is folded into that axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def with_leading_axes(x: jax.Array, ndim: int) -> jax.Array:
    """Return ``x`` with axes of length 1 in front, ``ndim`` axes in all, to be broadcast against such an array."""
    return jnp.expand_dims(x, tuple(range(ndim - x.ndim)))


def batched(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of single lanes from one of a batch, whose arguments and results are pytrees of (B, ...) arrays."""
    call = batched_with(lambda _shared, _axis, *args: function(*args))
    return lambda *args: call((), *args)


def batched_with(function: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`batched`, where the lanes share the first argument.

    ``function(shared, axis, *args)`` gets it once, with ``axis`` None, or where ``vmap`` went over it too, (B, ...)
    with ``axis`` 0: what ``in_axes`` takes.
    """

    def over_batch(axis: int | None) -> Callable[..., Any]:
        @jax.jit  # traced once for each shape, and not at every level of the transformations around it
        def traced(shared: Any, *args: Any) -> Any:
            return function(shared, axis, *args)

        @custom_vmap
        def call(shared: Any, *args: Any) -> Any:
            return traced(shared, *args)

        @call.def_vmap
        def _(axis_size: int, in_batched: Any, shared: Any, *args: Any) -> Any:
            width = jax.tree.leaves(args)[0].shape[1 if jax.tree.leaves(in_batched[1:])[0] else 0]

            def fold(x: jax.Array, is_batched: bool) -> jax.Array:
                x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])  # -1 fails where there are no elements

            def spread(x: jax.Array, is_batched: bool) -> jax.Array:
                """Of each of the new axis' lanes, to each of the batch; what has its own axis already is folded."""
                if axis == 0:
                    return fold(x, is_batched)
                x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                return jnp.repeat(x, width, axis=0)

            following: Callable[..., Any] = call
            if axis == 0 or any(jax.tree.leaves(in_batched[0])):
                shared = jax.tree.map(spread, shared, in_batched[0])
                following = over_batch(0)
            out = following(shared, *jax.tree.map(fold, args, tuple(in_batched[1:])))
            out = jax.tree.map(lambda x: x.reshape(axis_size, len(x) // axis_size, *x.shape[1:]), out)
            return out, jax.tree.map(lambda _: True, out)

        return cast(Callable[..., Any], call)

    shared_by_all = over_batch(None)

    def single(shared: Any, *args: Any) -> Any:
        out = shared_by_all(shared, *jax.tree.map(lambda x: x[None], args))
        return jax.tree.map(lambda x: x[0], out)

    return single


def where_wanted(function: Callable[..., Any], width: int = 8) -> Callable[..., Any]:
    """``call(wanted, value, *args)``: ``function(value, *args)`` where ``wanted`` (a bool), else ``value``.

    For what few lanes need: it is run for those alone, ``width`` of them at a time.
    """

    def over_batch(wanted: jax.Array, value: Any, *args: Any) -> Any:
        num_lanes = len(wanted)
        few = min(width, num_lanes)

        def some(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
            left, value = carry
            place = jnp.where(left, jnp.cumsum(left) - 1, few)  # nonzero does the same with three times the code
            lanes = jnp.full(few, num_lanes).at[place].set(jnp.arange(num_lanes), mode="drop")
            new = jax.vmap(function)(*jax.tree.map(lambda x: x.at[lanes].get(mode="clip"), (value, *args)))
            value = jax.tree.map(lambda x, y: x.at[lanes].set(y, mode="drop"), value, new)
            return left.at[lanes].set(False, mode="drop"), value

        return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), some, (wanted, value))[1]

    return batched(over_batch)
