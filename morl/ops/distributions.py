"""Action distributions, chosen by action space: categorical for ``Discrete``, diagonal normal for ``Box``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.errors import UserError
from morl.ops.batching import with_leading_axes


class ActionDistribution(Protocol):
    """Family of distributions over one action space.

    A distribution is given by the actor network's ``output`` (..., num_outputs) and a trainable ``log_std``, which is
    () for families without one. Actions are (..., *action shape); numbers of a distribution are (...).
    """

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the actor network."""
        ...

    def initial_log_std(self) -> jax.Array:
        """Return ``log_std`` before training."""
        ...

    def sample(self, output: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
        """Draw actions."""
        ...

    def mode(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        """Return the most likely actions."""
        ...

    def log_prob(self, output: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
        """Return the logarithm of the probability (density) of actions as they were sampled."""
        ...

    def entropy(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        """Return the entropy in nats."""
        ...

    def divergence(
        self, output: jax.Array, log_std: jax.Array, other: jax.Array, other_log_std: jax.Array
    ) -> jax.Array:
        """Return the Kullback-Leibler divergence KL(this || other) in nats."""
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """Return sampled actions as the environment takes them."""
        ...


@dataclass(frozen=True)
class Categorical:
    """Categorical distribution over ``Discrete``; ``output`` holds the logits."""

    num_actions: int
    start: int = 0

    @property
    def num_outputs(self) -> int:
        return self.num_actions

    def initial_log_std(self) -> jax.Array:
        return jnp.zeros(())

    def sample(self, output: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, output).astype(jnp.int32)

    def mode(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        return jnp.argmax(output, axis=-1).astype(jnp.int32)

    def log_prob(self, output: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
        # one-hot and not a gather: the gradient of a gather is a scatter, which XLA runs element by element on CPU
        one_hot = jax.nn.one_hot(action, self.num_actions, dtype=output.dtype)
        return jnp.sum(one_hot * jax.nn.log_softmax(output), axis=-1)

    def entropy(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        log_prob = jax.nn.log_softmax(output)
        return -jnp.sum(jnp.exp(log_prob) * log_prob, axis=-1)

    def divergence(
        self, output: jax.Array, log_std: jax.Array, other: jax.Array, other_log_std: jax.Array
    ) -> jax.Array:
        log_prob = jax.nn.log_softmax(output)
        return jnp.sum(jnp.exp(log_prob) * (log_prob - jax.nn.log_softmax(other)), axis=-1)

    def to_env(self, action: jax.Array) -> jax.Array:
        return action + self.start


@dataclass(frozen=True)
class DiagonalNormal:
    """Diagonal normal distribution over a bounded ``Box``, with ``output`` as the mean.

    Sampled actions are in units where the bounds are -1 and 1. The environment gets them clipped to the bounds; their
    likelihood is that of the unclipped ones.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def num_outputs(self) -> int:
        return len(self.low)

    def initial_log_std(self) -> jax.Array:
        return jnp.full(
            len(self.low), -0.5, jnp.float32
        )  # of a weak type it would compile again after the first update

    def sample(self, output: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
        return output + with_leading_axes(jnp.exp(log_std), output.ndim) * jax.random.normal(key, output.shape)

    def mode(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        return output

    def log_prob(self, output: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
        log_std = with_leading_axes(log_std, output.ndim)
        z = (action - output) * jnp.exp(-log_std)
        return jnp.sum(-0.5 * z**2 - log_std - 0.5 * jnp.log(2 * jnp.pi), axis=-1)

    def entropy(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        per_axis = log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)
        return jnp.broadcast_to(jnp.sum(per_axis), output.shape[:-1])

    def divergence(
        self, output: jax.Array, log_std: jax.Array, other: jax.Array, other_log_std: jax.Array
    ) -> jax.Array:
        log_std, other_log_std = (with_leading_axes(each, output.ndim) for each in (log_std, other_log_std))
        variance, other_variance = jnp.exp(2 * log_std), jnp.exp(2 * other_log_std)
        squares = (variance + (output - other) ** 2) / (2 * other_variance)
        return jnp.sum(other_log_std - log_std + squares - 0.5, axis=-1)

    def to_env(self, action: jax.Array) -> jax.Array:
        low, high = (with_leading_axes(jnp.asarray(bound), action.ndim) for bound in (self.low, self.high))
        return low + (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0 * (high - low)


def for_space(space: Space[Any]) -> ActionDistribution:
    """Return the family of distributions for an action space.

    Raises:
        UserError: neither ``Discrete`` nor a bounded, one-dimensional ``Box`` of floats.
    """
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n), int(space.start))
    real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if isinstance(space, spaces.Box) and real and len(space.shape) == 1 and space.is_bounded():
        bounds = (np.asarray(space.low, float), np.asarray(space.high, float))
        return DiagonalNormal(*(tuple(bound.tolist()) for bound in bounds))
    raise UserError(
        f"action space {space} is not supported; allowed: Discrete, or a bounded Box of floats of shape (n,)"
    )
