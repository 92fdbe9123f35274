"""Fully connected networks with normalised hidden layers, in the place of a plain MLP.

- ``layer_norm``: layer normalisation (Ba et al., 2016, arXiv 1607.06450) before the activation of each hidden layer.
- ``residual``: SimBa (Lee et al., 2025, arXiv 2410.09754): x + W2 relu(W1 LN(x)) in each block, LN before the outputs.
- ``batch_norm``: batch normalisation (Ioffe and Szegedy, 2015, arXiv 1502.03167) of the inputs and after the activation
  of each hidden layer, as in CrossQ (Bhatt et al., 2024, arXiv 1902.05605), without batch renormalisation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.networks.mlp import Linear, linear, mlp
from morl.ops.batching import with_leading_axes
from morl.ops.initial import zeros
from morl.ops.masking import masked_mean, masked_variance

BodyKind = Literal["mlp", "layer_norm", "residual", "batch_norm"]

EXPANSION = 4  # width of a residual block's hidden layer, beside that of its stream (SimBa)
EPSILON = 1e-5  # added to the variances of layer normalisation
EPSILON_OF_BATCH = 1e-3  # added to those of batch normalisation (CrossQ)
MOMENTUM = 0.99  # share of a running statistic that a batch leaves (CrossQ)

Array = jax.Array | NDArray[np.float32]


class LayerNorm(eqx.Module):
    """Standardises the last axis of (..., n), then scales and shifts it by learnt numbers (n,)."""

    scale: Array
    shift: Array

    def __call__(self, x: jax.Array) -> jax.Array:
        centred = x - jnp.sum(x, axis=-1, keepdims=True) / x.shape[-1]
        variance = jnp.sum(centred * centred, axis=-1, keepdims=True) / x.shape[-1]
        scale, shift = (with_leading_axes(jnp.asarray(each), x.ndim) for each in (self.scale, self.shift))
        return centred / jnp.sqrt(variance + jnp.float32(EPSILON)) * scale + shift


class LayerNormMLP(eqx.Module):
    """MLP of relu(LN(W x + b)) and a linear last layer."""

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = jax.nn.relu(norm(layer(x)))
        return self.layers[-1](x)


class ResidualMLP(eqx.Module):
    """Residual blocks x + W2 relu(W1 LN(x)) between a linear first layer and a normalised linear last one."""

    first: Linear
    blocks: tuple[tuple[LayerNorm, Linear, Linear], ...]
    norm: LayerNorm
    last: Linear

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.first(x)
        for norm, widen, narrow in self.blocks:
            x = x + narrow(jax.nn.relu(widen(norm(x))))
        return self.last(self.norm(x))


class Moments(NamedTuple):
    """Mean and variance (n,) over a batch."""

    mean: jax.Array
    variance: jax.Array


class BatchNorm(eqx.Module):
    """Batch normalisation of (N, n), with its running statistics.

    Attributes:
        scale, shift: (n,) learnt.
        mean, variance: (n,) running statistics, which have no gradient: :func:`with_moments` moves them.
    """

    scale: Array
    shift: Array
    mean: Array
    variance: Array

    def __call__(self, x: jax.Array, moments: Moments | None = None) -> jax.Array:
        """Return ``x`` (..., n) standardised by the moments of its batch, or by the running statistics."""
        mean, variance = (self.mean, self.variance) if moments is None else moments
        parts = (mean, jnp.sqrt(jnp.asarray(variance) + jnp.float32(EPSILON_OF_BATCH)), self.scale, self.shift)
        mean, deviation, scale, shift = (with_leading_axes(jnp.asarray(each), x.ndim) for each in parts)
        return (x - mean) / deviation * scale + shift


class BatchNormMLP(eqx.Module):
    """MLP of BN(relu(W x + b)), of normalised inputs, and a linear last layer."""

    layers: tuple[Linear, ...]
    norms: tuple[BatchNorm, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return outputs for (..., n), by the running statistics."""
        for norm, layer in zip(self.norms[:-1], self.layers[:-1], strict=True):
            x = jax.nn.relu(layer(norm(x)))
        return self.layers[-1](self.norms[-1](x))

    def of_batch(self, x: jax.Array, weight: jax.Array) -> tuple[jax.Array, tuple[Moments, ...]]:
        """Return outputs for a batch (N, n) by its own statistics, and these statistics of each normalisation.

        Args:
            x: (N, n).
            weight: (N,) 1 for rows that count in the statistics, 0 for others.
        """
        seen = []
        for i, norm in enumerate(self.norms):
            if i > 0:
                x = jax.nn.relu(self.layers[i - 1](x))
            moments = Moments(masked_mean(x, weight[:, None], 0), masked_variance(x, weight[:, None], 0))
            x = norm(x, moments)
            seen.append(moments)
        return self.layers[-1](x), tuple(seen)


def with_moments(network: Any, moments: tuple[Moments, ...], norms: Callable[[Any], tuple[BatchNorm, ...]]) -> Any:
    """Return a network whose running statistics have moved towards those of a batch, by 1 - :data:`MOMENTUM`.

    Args:
        network: any pytree.
        moments: of each normalisation, as :meth:`BatchNormMLP.of_batch` gives them.
        norms: returns the normalisations of a network.
    """

    def statistics(network: Any) -> list[Any]:
        return [each for norm in norms(network) for each in (norm.mean, norm.variance)]

    new = [each for moment in moments for each in moment]
    moved = [
        jnp.float32(MOMENTUM) * old + jnp.float32(1 - MOMENTUM) * jax.lax.stop_gradient(batch)
        for old, batch in zip(statistics(network), new, strict=True)
    ]
    return eqx.tree_at(statistics, network, moved)


def body(rng: np.random.Generator, kind: BodyKind, sizes: Sequence[int], *, output_scale: float) -> Any:
    """Return a network on the last axis, with relu, orthogonal weights and zero biases, as NumPy arrays.

    Args:
        rng: random generator of the weights.
        kind: of hidden layers.
        sizes: widths of the inputs, the hidden layers and the outputs. Those of ``residual`` are all the same, one for
            each block.
        output_scale: gain of the last layer's weights.
    """
    if kind == "mlp":
        return mlp(rng, sizes, "relu", output_scale=output_scale)
    if kind == "residual":
        return _residual(rng, sizes[0], sizes[1], len(sizes) - 2, sizes[-1], output_scale)
    gains = [2**0.5] * (len(sizes) - 2) + [output_scale]
    layers = tuple(linear(rng, *pair, gain) for pair, gain in zip(itertools.pairwise(sizes), gains, strict=True))
    if kind == "layer_norm":
        return LayerNormMLP(layers, tuple(_layer_norm(size) for size in sizes[1:-1]))
    norms = (BatchNorm(_ones(n), zeros((n,), np.float32), zeros((n,), np.float32), _ones(n)) for n in sizes[:-1])
    return BatchNormMLP(layers, tuple(norms))


def _residual(
    rng: np.random.Generator, size_in: int, width: int, blocks: int, size_out: int, output_scale: float
) -> ResidualMLP:
    return ResidualMLP(
        first=linear(rng, size_in, width, 1.0),
        blocks=tuple(
            (
                _layer_norm(width),
                linear(rng, width, EXPANSION * width, 2**0.5),
                linear(rng, EXPANSION * width, width, 1.0),
            )
            for _ in range(blocks)
        ),
        norm=_layer_norm(width),
        last=linear(rng, width, size_out, output_scale),
    )


def _layer_norm(size: int) -> LayerNorm:
    return LayerNorm(_ones(size), zeros((size,), np.float32))


def _ones(size: int) -> Any:
    return zeros((size,), np.float32) + np.float32(1)
