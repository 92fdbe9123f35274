"""Functions over a whole batch that code for one environment may call under ``vmap``.

``vmap`` turns a branch into both branches, and a loop into one that selects everything it carries. Some code is only
fast if it sees the batch: it skips what no element needs, or loops as often as the slowest element. Here such code is
written for one leading axis, and any number of ``vmap`` around it is folded into that axis.
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
    """Return a function of single elements from a function of batches.

    Args:
        function: takes and returns pytrees of arrays (B, ...), with the same B throughout.
    """
    call = batched_with(lambda _shared, _axis, *args: function(*args))
    return lambda *args: call((), *args)


def batched_with(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of single elements, as :func:`batched` does, whose first argument the elements share.

    Args:
        function: called as ``function(shared, axis, *args)``. ``axis`` is None where ``shared`` is one for the whole
            batch, and 0 where ``vmap`` went over it too, so that it is (B, ...): the value that ``in_axes`` takes.
    """

    def over_batch(axis: int | None) -> Callable[..., Any]:
        @jax.jit  # traced once for each shape and not at each level of the transformations around it
        def over_whole_batch(shared: Any, *args: Any) -> Any:
            return function(shared, axis, *args)

        @custom_vmap
        def call(shared: Any, *args: Any) -> Any:
            return over_whole_batch(shared, *args)

        @call.def_vmap
        def _(axis_size: int, in_batched: Any, shared: Any, *args: Any) -> Any:
            width = jax.tree.leaves(args)[0].shape[1 if jax.tree.leaves(in_batched[1:])[0] else 0]

            def fold(x: jax.Array, is_batched: bool) -> jax.Array:
                x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])  # -1 fails where there are no elements

            def repeat_shared(x: jax.Array, is_batched: bool) -> jax.Array:
                """Repeat the shared argument along the folded batch axis, or fold the axis that it has already."""
                if axis == 0:
                    return fold(x, is_batched)
                x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                return jnp.repeat(x, width, axis=0)

            following: Callable[..., Any] = call
            if axis == 0 or any(jax.tree.leaves(in_batched[0])):
                shared = jax.tree.map(repeat_shared, shared, in_batched[0])
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
    """Return ``call(wanted, value, *args)``: ``function(value, *args)`` where ``wanted`` is true, else ``value``.

    For work that few elements of a batch need: it is done for these alone, ``width`` of them at a time.

    Args:
        function: takes one element's ``value`` and ``args``; returns a new ``value`` of the same shapes.
        width: number of elements that are computed together.
    """

    def over_batch(wanted: jax.Array, value: Any, *args: Any) -> Any:
        number = len(wanted)
        few = min(width, number)

        def some(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
            left, value = carry
            # jnp.nonzero compiles to three times the code
            place = jnp.where(left, jnp.cumsum(left, dtype=jnp.int32) - 1, few)
            chosen = jnp.full(few, number, jnp.int32).at[place].set(jnp.arange(number, dtype=jnp.int32), mode="drop")
            new = jax.vmap(function)(*jax.tree.map(lambda x: x.at[chosen].get(mode="clip"), (value, *args)))
            value = jax.tree.map(lambda x, y: x.at[chosen].set(y, mode="drop"), value, new)
            return left.at[chosen].set(False, mode="drop"), value

        return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), some, (wanted, value))[1]

    return batched(over_batch)
