"""Networks of features and a preference, conditioned in one of three ways, with the same inputs and outputs.

- ``concat``: an MLP of features and preference side by side.
- ``film``: an MLP of the features, each of whose hidden layers is scaled and shifted by an embedding f(w) of the
  preference (Perez et al., 2018, arXiv 1709.07871, equation 2, with the scale 1 + γ).
- ``hypernetwork``: an MLP of the features, each of whose parameters is an affine function of the embedding,
  θ = W f(w) + b (MORLAX, arXiv 2603.09237).
"""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.networks.mlp import ACTIVATIONS, MLP, Linear, linear, mlp
from morl.ops.batching import with_leading_axes
from morl.ops.initial import stacked

Conditioning = Literal["concat", "film", "hypernetwork"]
WIDTHS = (32,)  # hidden layer of the embedding
SENSITIVITY = 0.3  # gain of a hypernetwork's W beside that of its b


class ConditionedInput(NamedTuple):
    """Input of a conditioned network.

    Attributes:
        features: (..., F).
        preference: (..., R) for each of them, or (R,) for all.
    """

    features: jax.Array
    preference: jax.Array


class Concatenated(eqx.Module):
    """MLP of features and preference side by side."""

    body: MLP

    def __call__(self, inputs: ConditionedInput) -> jax.Array:
        features, preference = inputs
        wide = jnp.broadcast_to(preference, (*features.shape[:-1], preference.shape[-1]))
        return self.body(jnp.concatenate([features, wide], axis=-1))


class Modulated(eqx.Module):
    """MLP of the features, with activation(y (1 + γ) + β) for each hidden layer's y; γ and β are affine in f(w)."""

    body: MLP
    embedding: MLP
    modulations: tuple[Linear, ...]

    def __call__(self, inputs: ConditionedInput) -> jax.Array:
        x, embedded = inputs.features, jnp.tanh(self.embedding(inputs.preference))
        *hidden, last = self.body.layers
        for layer, modulation in zip(hidden, self.modulations, strict=True):
            y, both = layer(x), with_leading_axes(modulation(embedded), x.ndim)
            width = y.shape[-1]  # slices and not a split, which exported programs lack
            x = ACTIVATIONS[self.body.activation](y * (1 + both[..., :width]) + both[..., width:])
        return last(x)


class HyperLinear(eqx.Module):
    """Affine layer whose weights Σ_k f_k W_k + W_0 and bias Σ_k f_k b_k + b_0 depend on an embedding f (..., K).

    Attributes:
        weight: (K + 1, in, out), W_0 last.
        bias: (K + 1, out), b_0 last.
    """

    weight: jax.Array | NDArray[np.float32]
    bias: jax.Array | NDArray[np.float32]

    def __call__(self, x: jax.Array, embedded: jax.Array) -> jax.Array:
        with_one = jnp.concatenate([embedded, jnp.ones_like(embedded[..., :1])], axis=-1)
        weight, bias = jnp.asarray(self.weight), with_one @ jnp.asarray(self.bias)
        if embedded.ndim == 1:  # one preference for all features: its weights are made once
            y = x @ jnp.tensordot(with_one, weight, 1)
            return y + with_leading_axes(bias, y.ndim)
        # Σ_k f_k (x W_k) and not x (Σ_k f_k W_k): one matrix product instead of weights for each row
        parts = x @ jnp.swapaxes(weight, 0, 1).reshape(weight.shape[1], -1)
        parts = parts.reshape(*x.shape[:-1], weight.shape[0], weight.shape[2])
        return jnp.sum(parts * with_one[..., None], axis=-2) + bias


class Generated(eqx.Module):
    """MLP of the features, whose layers are those that a hypernetwork makes of the preference."""

    layers: tuple[HyperLinear, ...]
    embedding: MLP
    activation: str = eqx.field(static=True)

    def __call__(self, inputs: ConditionedInput) -> jax.Array:
        x, embedded = inputs.features, jnp.tanh(self.embedding(inputs.preference))
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x, embedded))
        return self.layers[-1](x, embedded)


ConditionedNetwork = Concatenated | Modulated | Generated


def conditioned_network(
    rng: np.random.Generator,
    kind: Conditioning,
    num_features: int,
    num_objectives: int,
    hidden: tuple[int, ...],
    num_outputs: int,
    activation: str,
    *,
    embedding_size: int,
    output_scale: float,
) -> ConditionedNetwork:
    """Return a network of :class:`ConditionedInput` with outputs (..., num_outputs), as NumPy arrays.

    Args:
        rng: random generator of the weights.
        kind: how the preference conditions it.
        num_features: F.
        num_objectives: R.
        hidden: widths of the hidden layers.
        num_outputs: number of outputs.
        activation: a name of :data:`morl.networks.mlp.ACTIVATIONS`.
        embedding_size: K numbers of the embedding f(w), a tanh MLP; none where the preference is concatenated.
        output_scale: gain of the last layer's weights.
    """
    if kind == "concat":
        sizes = (num_features + num_objectives, *hidden, num_outputs)
        return Concatenated(mlp(rng, sizes, activation, output_scale=output_scale))
    sizes = (num_features, *hidden, num_outputs)
    embedding = mlp(rng, (num_objectives, *WIDTHS, embedding_size), "tanh", output_scale=1.0)
    if kind == "film":
        body = mlp(rng, sizes, activation, output_scale=output_scale)
        return Modulated(body, embedding, tuple(linear(rng, embedding_size, 2 * width, 1.0) for width in hidden))
    gains = (*(2**0.5 for _ in hidden), output_scale)
    pairs = zip(itertools.pairwise(sizes), gains, strict=True)
    layers = tuple(_hyper_linear(rng, *pair, gain, embedding_size) for pair, gain in pairs)
    return Generated(layers, embedding, activation)


def _hyper_linear(
    rng: np.random.Generator, size_in: int, size_out: int, gain: float, embedding_size: int
) -> HyperLinear:
    """Return a layer of orthogonal W_k, small beside W_0, which has that gain."""
    parts = [linear(rng, size_in, size_out, SENSITIVITY * gain) for _ in range(embedding_size)]
    parts.append(linear(rng, size_in, size_out, gain))
    return HyperLinear(stacked(*(part.weight for part in parts)), stacked(*(part.bias for part in parts)))
