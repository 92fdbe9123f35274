"""P policies as the leading axis of arrays: split over devices, and on the host without what only fills those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from morl.types import Metrics, PyTree, Sums


class Placement:
    """``number`` policies over ``devices``: rounded up to a multiple of them by spare copies, which nobody reads.

    Attributes:
        number: P.
        spare: copies, of the first policies.
        mesh, sharding: of the leading axis.
    """

    def __init__(self, number: int, devices: Sequence[jax.Device] | None = None) -> None:
        devices = list(devices or jax.devices())[:number]
        self.number = number
        self.spare = -number % len(devices)
        self.mesh = Mesh(np.asarray(devices), ("policies",))
        self.sharding = NamedSharding(self.mesh, PartitionSpec("policies"))

    def own(self, tree: PyTree) -> Any:
        """Of the P policies, on the host."""
        return jax.tree.map(lambda x: np.asarray(x)[: self.number], tree)

    def placed(self, tree: PyTree) -> Any:
        """Of the P policies, on the devices."""
        filled = jax.tree.map(lambda x: jnp.concatenate([x, x[: self.spare]]), tree) if self.spare else tree
        return jax.device_put(filled, self.sharding)

    def saved(self, state: PyTree) -> Any:
        """A state on the devices as NumPy arrays of the P policies, keys as the numbers they are made of."""
        return self.own(jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state))

    def restored(self, fresh: PyTree, saved: PyTree) -> Any:
        """The state that was saved, of the structure of a fresh one."""

        def made(like: jax.Array, data: Any) -> Any:
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like)) if _is_key(like) else data

        return self.placed(jax.tree.map(made, fresh, saved))

    def zeros(self, metrics: Metrics) -> Sums:
        """No updates added up yet, of metrics of these shapes."""
        sums = {name: np.zeros((self.number, *x.shape), x.dtype) for name, x in metrics.items()}
        placed: Sums = self.placed(Sums(jnp.zeros(self.number), sums))  # type: ignore[arg-type]
        return placed


def single(state: PyTree) -> PyTree:
    """The shapes of one policy's part of a state."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), state)


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
