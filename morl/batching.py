"""Functions of a whole batch that per-environment code may call under ``vmap``.

``vmap`` turns a branch into both branches and lets a loop carry selects of all it holds. Code that only pays off when
it sees the batch (skip what no lane needs, loop as often as the busiest lane does) is written for one leading axis
here, and any number of ``vmap`` around it is folded into that axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def batched(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of single lanes from one of a batch, whose arguments and results are pytrees of (B, ...) arrays."""

    @custom_vmap
    def over_batch(*args: Any) -> Any:
        return function(*args)

    @over_batch.def_vmap
    def _(axis_size: int, in_batched: Any, *args: Any) -> Any:
        def merge(x: jax.Array, is_batched: bool) -> jax.Array:
            x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            return x.reshape(-1, *x.shape[2:])

        out = over_batch(*jax.tree.map(merge, args, tuple(in_batched)))
        out = jax.tree.map(lambda x: x.reshape(axis_size, -1, *x.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    def single(*args: Any) -> Any:
        out = over_batch(*jax.tree.map(lambda x: x[None], args))
        return jax.tree.map(lambda x: x[0], out)

    return single


def where_wanted(function: Callable[..., Any], width: int = 8) -> Callable[..., Any]:
    """``call(wanted, value, *args)``: ``function(value, *args)`` where ``wanted`` (a bool), else ``value``.

    For what few lanes need: it is run for those alone, ``width`` of them at a time.
    """

    def over_batch(wanted: jax.Array, value: Any, *args: Any) -> Any:
        num_lanes = len(wanted)

        def some(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
            left, value = carry
            lanes = jnp.nonzero(left, size=min(width, num_lanes), fill_value=num_lanes)[0]
            new = jax.vmap(function)(*jax.tree.map(lambda x: x.at[lanes].get(mode="clip"), (value, *args)))
            value = jax.tree.map(lambda x, y: x.at[lanes].set(y, mode="drop"), value, new)
            return left.at[lanes].set(False, mode="drop"), value

        return jax.lax.while_loop(lambda carry: jnp.any(carry[0]), some, (wanted, value))[1]

    return batched(over_batch)
