"""Networks conditioned on a preference, with ``outputs`` numbers for each of A actions.

Their inputs are features (..., F) or rows of features for each action (..., A, F), and preferences (..., R). Their
outputs are (..., A, outputs).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from morl.networks.bodies import BatchNormMLP, BodyKind, LayerNormMLP, Moments, ResidualMLP, body
from morl.networks.images import Image, ImageNetwork, convolutions
from morl.networks.mlp import ACTIVATIONS, MLP, Linear, linear, mlp
from morl.ops.masking import masked_mean


class FlatNetwork(eqx.Module):
    """Network of features (..., F) and preferences (..., R), fully connected."""

    body: MLP | LayerNormMLP | ResidualMLP | BatchNormMLP | ImageNetwork
    num_actions: int = eqx.field(static=True)

    def __call__(self, features: jax.Array, preference: jax.Array) -> jax.Array:
        out = self.body(jnp.concatenate([features, preference], axis=-1))
        return out.reshape(*out.shape[:-1], self.num_actions, -1)

    def of_batch(
        self, features: jax.Array, preference: jax.Array, weight: jax.Array
    ) -> tuple[jax.Array, tuple[Moments, ...]]:
        """Return the outputs of a batch (N, ...), normalised by its own statistics, and these.

        ``weight`` (N,) is 1 for rows that count in the statistics. Only for the body ``batch_norm``.
        """
        body: Any = self.body
        out, moments = body.of_batch(jnp.concatenate([features, preference], axis=-1), weight)
        return out.reshape(*out.shape[:-1], self.num_actions, -1), moments


def flat_network(
    rng: np.random.Generator,
    num_features: int,
    num_objectives: int,
    num_actions: int,
    outputs: int,
    hidden: tuple[int, ...],
    kind: BodyKind = "mlp",
    image: Image | None = None,
) -> FlatNetwork:
    """Return a :class:`FlatNetwork` of hidden layers with the ``hidden`` widths, of a kind of :mod:`.bodies`.

    The first features are an ``image`` if there is one, which goes through convolutions.
    """

    def behind(size: int) -> Any:
        return body(rng, kind, (size, *hidden, num_actions * outputs), output_scale=0.01)

    size = num_features + num_objectives
    if image is None:
        return FlatNetwork(behind(size), num_actions)
    network = ImageNetwork(convolutions(rng, image), behind(size - image.size + image.num_features))
    return FlatNetwork(network, num_actions)


class RowNetwork(eqx.Module):
    """Network with the same weights for every action's row (..., A, F), which sees the other rows by their mean.

    No weight belongs to one action, so neither the number of actions nor their order matters. Rows that do not exist
    (``exists`` (..., A) of 0 and 1) are left out of the mean. A linear layer leads from the features to the outputs
    directly: an action's immediate reward is most of its value and is often among the features.
    """

    first: MLP
    second: MLP
    direct: Linear

    def __call__(self, rows: jax.Array, preference: jax.Array, exists: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(_behind_first(self.first, rows, preference))
        mean = masked_mean(hidden, exists[..., None].astype(hidden.dtype), axis=-2)
        return _behind_first(self.second, hidden, mean) + self.direct(rows)


def _behind_first(network: MLP, rows: jax.Array, shared: jax.Array) -> jax.Array:
    """Return the outputs (..., A, n) of a network for rows (..., A, F), each followed by shared numbers (..., S).

    The first layer is applied to both apart, so that what is shared is neither copied into each row nor multiplied
    again for each.
    """
    first, size = network.layers[0], rows.shape[-1]
    weight = jnp.asarray(first.weight)
    part = Linear(weight[size:], first.bias)(shared)
    x = rows @ weight[:size] + part[..., None, :]
    for layer in network.layers[1:]:
        x = layer(ACTIVATIONS[network.activation](x))
    return x


def row_network(
    rng: np.random.Generator,
    num_features: int,
    num_objectives: int,
    outputs: int,
    hidden: tuple[int, ...],
    output_scale: float = 0.01,
) -> RowNetwork:
    """Return a :class:`RowNetwork` whose two halves have the ``hidden`` widths each.

    ``output_scale`` is the gain of the last layer and of the direct one; with 0 the outputs are 0.
    """
    first = mlp(rng, (num_features + num_objectives, *hidden), "relu", output_scale=2**0.5)
    second = mlp(rng, (2 * hidden[-1], *hidden, outputs), "relu", output_scale=output_scale)
    return RowNetwork(first, second, linear(rng, num_features, outputs, output_scale))


class ConvolutionNetwork(eqx.Module):
    """Network of 1x1 convolutions with residual blocks over the rows, then an MLP of all rows and the preference.

    It is the published one of Yang et al. (2025), section V. A 1x1 convolution over rows is the same affine layer for
    each of them. Rows that do not exist (``exists`` (..., A) of 0 and 1) are 0 for the MLP.
    """

    stem: Linear
    blocks: tuple[tuple[Linear, Linear], ...]
    head: FlatNetwork

    def __call__(self, rows: jax.Array, preference: jax.Array, exists: jax.Array) -> jax.Array:
        relu = ACTIVATIONS["relu"]
        hidden = relu(self.stem(rows))
        for one, two in self.blocks:
            hidden = relu(hidden + two(relu(one(hidden))))
        flat = (hidden * exists[..., None].astype(hidden.dtype)).reshape(*hidden.shape[:-2], -1)
        return self.head(flat, preference)


def convolution_network(
    rng: np.random.Generator,
    num_features: int,
    num_objectives: int,
    num_actions: int,
    outputs: int,
    channels: int,
    blocks: int,
    hidden: tuple[int, ...],
) -> ConvolutionNetwork:
    """Return a :class:`ConvolutionNetwork` of ``blocks`` residual blocks, with the ``hidden`` widths of its MLP."""
    return ConvolutionNetwork(
        stem=linear(rng, num_features, channels, 2**0.5),
        blocks=tuple(
            (linear(rng, channels, channels, 2**0.5), linear(rng, channels, channels, 0.1)) for _ in range(blocks)
        ),
        head=flat_network(rng, num_actions * channels, num_objectives, num_actions, outputs, hidden),
    )
