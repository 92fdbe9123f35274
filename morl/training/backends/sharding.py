"""Sharding of P policies, the leading axis of arrays, over devices, and of each one's batches over two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from morl.training.backends.devices import devices_each
from morl.types import Learner, Metrics, MetricSums, PyTree, SharesBatches

BATCHES = "batches"
"""Axis of the two devices that halves of a policy's batches are on."""


class Sharding:
    """``number`` policies over ``devices``, rounded up to a multiple of them by spare copies that nobody reads.

    A learner that shares its batches (:class:`morl.types.SharesBatches`) is on two devices where there are as many for
    each policy. Both do the same but for the halves of its batches.

    Attributes:
        number: P.
        spare: copies, of the first policies.
        mesh, sharding: of the leading axis.
    """

    def __init__(
        self, number: int, devices: Sequence[jax.Device] | None = None, learner: Learner | None = None
    ) -> None:
        devices = list(devices or jax.devices())
        self._halves = devices_each(learner, number, len(devices))
        devices = devices[: self._halves * number]
        self.number = number
        self.spare = -number % (len(devices) // self._halves)
        self.mesh = Mesh(np.asarray(devices).reshape(-1, self._halves), ("policies", BATCHES))
        self.sharding = NamedSharding(self.mesh, PartitionSpec("policies"))

    def updating(self, learner: Learner) -> Learner:
        """Return the learner for updates on these devices."""
        if self._halves == 2 and isinstance(learner, SharesBatches):
            return learner.with_batch_axis(BATCHES)
        return learner

    def to_host(self, tree: PyTree) -> Any:
        """Gather a pytree of P policies as NumPy arrays, without the spare copies."""
        return jax.tree.map(lambda x: np.asarray(x)[: self.number], tree)

    def shard(self, tree: PyTree) -> Any:
        """Put a pytree of P policies on the devices, with spare copies."""
        filled = jax.tree.map(lambda x: jnp.concatenate([x, x[: self.spare]]), tree) if self.spare else tree
        return jax.device_put(filled, self.sharding)

    def saved(self, state: PyTree) -> Any:
        """Convert a state on the devices to NumPy arrays of the P policies, keys to their data."""
        return self.to_host(jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state))

    def restored(self, fresh: PyTree, saved: PyTree) -> Any:
        """Convert saved arrays back to a state of the structure of a fresh one."""

        def made(like: jax.Array, data: Any) -> Any:
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like)) if _is_key(like) else data

        return self.shard(jax.tree.map(made, fresh, saved))

    def zeros(self, metrics: Metrics) -> MetricSums:
        """Return sums over no update, of metrics of these shapes, (P and the spare copies, ...)."""
        number = np.zeros(self.number + self.spare, np.float32)
        sums = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), metrics)
        sharded: MetricSums = jax.device_put(MetricSums(number, sums), self.sharding)  # type: ignore[arg-type]
        return sharded


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
