"""Networks as typed pytrees whose leaves are arrays only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.ops.batching import with_leading_axes
from morl.ops.initial import AbstractGenerator, zeros

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "silu": jax.nn.silu}


class Linear(eqx.Module):
    """Affine layer on the last axis, from (..., in) to (..., out)."""

    weight: jax.Array | NDArray[np.float32]
    bias: jax.Array | NDArray[np.float32]

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x @ jnp.asarray(self.weight)
        return y + with_leading_axes(jnp.asarray(self.bias), y.ndim)


class MLP(eqx.Module):
    """Fully connected network on the last axis, with a linear last layer."""

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


def mlp(rng: np.random.Generator, sizes: Sequence[int], activation: str, *, output_scale: float) -> MLP:
    """Return an MLP with orthogonal weights and zero biases, as NumPy arrays.

    It is made on the host: batched QR under ``vmap`` deadlocks jaxlib 0.10.2 on two cores, and compiles for seconds.

    Args:
        rng: random generator of the weights.
        sizes: widths of the inputs, the hidden layers and the outputs.
        activation: a name of :data:`ACTIVATIONS`.
        output_scale: gain of the last layer's weights; those before have √2.
    """
    layers = []
    for i, (size_in, size_out) in enumerate(itertools.pairwise(sizes)):
        layers.append(linear(rng, size_in, size_out, output_scale if i == len(sizes) - 2 else 2**0.5))
    return MLP(tuple(layers), activation)


def linear(rng: np.random.Generator, size_in: int, size_out: int, gain: float) -> Linear:
    """Return an affine layer with orthogonal weights times ``gain`` and zero biases, as NumPy arrays."""
    return Linear(gain * _orthogonal(rng, size_in, size_out), zeros((size_out,), np.float32))


def _orthogonal(
    rng: np.random.Generator | AbstractGenerator, rows: int, columns: int
) -> NDArray[np.float32] | jax.Array:
    """Draw a uniformly distributed (semi-)orthogonal matrix (rows, columns) (Saxe et al., 2014)."""
    if isinstance(rng, AbstractGenerator):
        return rng.standard_normal((rows, columns))
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    return np.ascontiguousarray(q.T if rows < columns else q, dtype=np.float32)
