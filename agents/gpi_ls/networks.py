"""Networks of GPI-LS: critics Q(s, ·, w) or Q(s, a, w) of R values, and a deterministic policy π(s, w)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space

from morl.networks.encoders import Encoder, encoder
from morl.networks.mlp import Linear, linear
from morl.networks.transformer import Norm, norm
from morl.ops import running_statistics
from morl.ops.running_statistics import RunningStats
from morl.types import Features, PyTree

Conditioning = Literal["product", "concat"]
ALIVE = 0.1  # first biases of the embeddings that are multiplied


class NetworkInput(NamedTuple):
    """Batch of observations, as networks take them.

    Attributes:
        features: (..., F).
        mask: (..., A) 1 for allowed actions, 0 for others; None where all are.
    """

    features: jax.Array
    mask: jax.Array | None


class ConditionedMLP(eqx.Module):
    """MLP of features (..., F) and preferences (..., R), which broadcast against each other.

    With an embedding of the preference, the first hidden layer is relu(A x) * relu(B w), as published; else it is
    relu(A [x, w]). The layers behind it are normalised where there are norms.
    """

    first: Linear
    embedding: Linear | None
    layers: tuple[Linear, ...]
    norms: tuple[Norm, ...]
    head: Linear

    def __call__(self, features: jax.Array, preference: jax.Array) -> jax.Array:
        if self.embedding is not None:
            x = jax.nn.relu(self.first(features)) * jax.nn.relu(self.embedding(preference))
        else:
            shape = jnp.broadcast_shapes(features.shape[:-1], preference.shape[:-1])
            parts = [jnp.broadcast_to(each, (*shape, each.shape[-1])) for each in (features, preference)]
            x = jax.nn.relu(self.first(jnp.concatenate(parts, axis=-1)))
        for i, layer in enumerate(self.layers):
            x = layer(x)
            x = jax.nn.relu(self.norms[i](x) if self.norms else x)
        return self.head(x)


def conditioned_mlp(
    rng: np.random.Generator,
    kind: Conditioning,
    num_features: int,
    num_objectives: int,
    hidden: tuple[int, ...],
    num_outputs: int,
    *,
    layer_norm: bool,
) -> ConditionedMLP:
    """Return a network with outputs (..., num_outputs), as NumPy arrays."""
    gain = 2**0.5
    first = linear(rng, num_features + num_objectives * (kind == "concat"), hidden[0], gain)
    embedding = None
    if kind == "product":
        # a product of two zeros has no gradient: features that are all 0 would leave it so
        first, embedding = (
            Linear(each.weight, each.bias + np.float32(ALIVE))
            for each in (first, linear(rng, num_objectives, hidden[0], gain))
        )
    return ConditionedMLP(
        first=first,
        embedding=embedding,
        layers=tuple(linear(rng, *pair, gain) for pair in itertools.pairwise(hidden)),
        norms=tuple(norm(width) for width in hidden[1:]) if layer_norm else (),
        head=linear(rng, hidden[-1], num_outputs, 0.01),
    )


@dataclass(frozen=True)
class Networks:
    """Makes and applies the networks.

    Attributes:
        kind, hidden, layer_norm: as in the settings.
        num_objectives: R.
        num_actions: A of discrete actions; 0 for continuous ones.
        action_size: numbers of a continuous action; 0 for discrete ones.
        observation_space: of one environment.
        action_mask: as in :class:`morl.types.Task`; None to allow all.

    Raises:
        UserError: an observation space without an encoder.
    """

    kind: Conditioning
    hidden: tuple[int, ...]
    layer_norm: bool
    num_objectives: int
    num_actions: int
    action_size: int
    observation_space: Space[Any]
    action_mask: Features | None

    def __post_init__(self) -> None:
        _ = self._encoder  # checks the space

    @cached_property
    def _encoder(self) -> Encoder:
        return encoder(self.observation_space)

    def init_stats(self) -> RunningStats | None:
        """Return statistics of no features; None where they are one-hot, which are not normalised."""
        return None if self._encoder.one_hot else running_statistics.init(self._encoder.size)

    def update_stats(self, stats: RunningStats | None, obs: jax.Array, weight: jax.Array) -> RunningStats | None:
        """Add the features of observations (..., *shape), with weights (...), to the statistics."""
        return None if stats is None else running_statistics.update(stats, self._encoder.encode(obs), weight)

    def inputs(self, stats: RunningStats | None, obs: jax.Array) -> NetworkInput:
        """Convert observations (..., *shape) to what networks take."""
        features = self._encoder.encode(obs)
        mask = None if self.action_mask is None else self.action_mask(obs)
        return NetworkInput(features if stats is None else running_statistics.normalise(stats, features), mask)

    def init_critic(self, rng: np.random.Generator) -> PyTree:
        """Return a new critic."""
        outputs = max(self.num_actions, 1) * self.num_objectives
        return self._init(rng, self.action_size, outputs, layer_norm=self.layer_norm)

    def init_actor(self, rng: np.random.Generator) -> PyTree:
        """Return a new policy of continuous actions, () for discrete ones."""
        return self._init(rng, 0, self.action_size, layer_norm=False) if self.action_size else ()

    def _init(self, rng: np.random.Generator, more: int, outputs: int, *, layer_norm: bool) -> PyTree:
        size = self._encoder.size + more
        return conditioned_mlp(rng, self.kind, size, self.num_objectives, self.hidden, outputs, layer_norm=layer_norm)

    def values(self, critic: Any, features: jax.Array, preference: jax.Array) -> jax.Array:
        """Return the values of all discrete actions, (..., A, R), or of the one among the features, (..., 1, R)."""
        out: jax.Array = critic(features, preference)
        return out.reshape(*out.shape[:-1], -1, self.num_objectives)

    def action(self, actor: Any, features: jax.Array, preference: jax.Array) -> jax.Array:
        """Return the continuous actions (..., n) of a policy, from -1 to 1."""
        return jnp.tanh(actor(features, preference))
