"""Action distributions, chosen by action space: categorical for integers of few values, diagonal normal for reals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.ops.actions import Integers, Reals, integers_of, reals_of
from morl.ops.batching import with_leading_axes
from morl.ops.masking import mask_logits
from morl.ops.spaces import check_action_space

INITIAL_LOG_STD = -0.5


class ActionDistribution(Protocol):
    """Family of distributions over one action space.

    A distribution is given by the actor network's ``output`` (..., num_outputs) and a trainable ``log_std``, which is
    () for families without one. Actions are (...) or (..., n); numbers of a distribution are (...).
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
        """Return sampled actions as the environment takes them, (..., *action shape)."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Messages for the user about how actions are chosen, where that is not plain from their space."""
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
        return jnp.zeros((), jnp.float32)

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

    @property
    def notes(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class MultiCategorical:
    """Independent categorical distributions over the n parts of an array of integers.

    ``output`` holds the logits of each part, n rows of as many as the largest part has values; those of values that a
    smaller part does not have are masked. Sampled actions (..., n) count from 0.
    """

    parts: Integers

    @property
    def num_outputs(self) -> int:
        return len(self.parts.sizes) * max(self.parts.sizes)

    def initial_log_std(self) -> jax.Array:
        return jnp.zeros((), jnp.float32)

    def sample(self, output: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, self.logits(output)).astype(jnp.int32)

    def mode(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        return jnp.argmax(self.logits(output), axis=-1).astype(jnp.int32)

    def log_prob(self, output: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
        one_hot = jax.nn.one_hot(action, max(self.parts.sizes), dtype=output.dtype)  # for the reason above
        return jnp.sum(one_hot * jax.nn.log_softmax(self.logits(output)), axis=(-2, -1))

    def entropy(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        log_prob = jax.nn.log_softmax(self.logits(output))
        return -jnp.sum(jnp.exp(log_prob) * log_prob, axis=(-2, -1))

    def divergence(
        self, output: jax.Array, log_std: jax.Array, other: jax.Array, other_log_std: jax.Array
    ) -> jax.Array:
        log_prob, other_log_prob = (jax.nn.log_softmax(self.logits(each)) for each in (output, other))
        return jnp.sum(jnp.exp(log_prob) * (log_prob - other_log_prob), axis=(-2, -1))

    def to_env(self, action: jax.Array) -> jax.Array:
        return self.parts.to_env(action)

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def logits(self, output: jax.Array) -> jax.Array:
        """Return the logits (..., n, largest size) of the parts."""
        sizes, most = np.asarray(self.parts.sizes), max(self.parts.sizes)
        logits = output.reshape(*output.shape[:-1], len(sizes), most)
        there = np.arange(most) < sizes[:, None]
        return logits if there.all() else mask_logits(logits, jnp.asarray(there, jnp.float32))


@dataclass(frozen=True)
class DiagonalNormal:
    """Diagonal normal distribution over a ``Box``, with ``output`` as the mean.

    Sampled actions (..., n) are in the units of :class:`~morl.ops.actions.Reals`, where bounds are -1 and 1. The
    environment gets them clipped to the bounds; their likelihood is that of the unclipped ones.
    """

    box: Reals

    @property
    def num_outputs(self) -> int:
        return self.box.size

    def initial_log_std(self) -> jax.Array:
        # of a weak type it would compile again after the first update
        return jnp.full(self.box.size, INITIAL_LOG_STD, jnp.float32)

    def sample(self, output: jax.Array, log_std: jax.Array, key: jax.Array) -> jax.Array:
        return output + with_leading_axes(jnp.exp(log_std), output.ndim) * jax.random.normal(
            key, output.shape, dtype=jnp.float32
        )

    def mode(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        return output

    def log_prob(self, output: jax.Array, log_std: jax.Array, action: jax.Array) -> jax.Array:
        log_std = with_leading_axes(log_std, output.ndim)
        z = (action - output) * jnp.exp(-log_std)
        return jnp.sum(-0.5 * z**2 - log_std - 0.5 * jnp.log(jnp.float32(2 * jnp.pi)), axis=-1)

    def entropy(self, output: jax.Array, log_std: jax.Array) -> jax.Array:
        per_axis = log_std + 0.5 * jnp.log(jnp.float32(2 * jnp.pi * jnp.e))
        return jnp.broadcast_to(jnp.sum(per_axis), output.shape[:-1])

    def divergence(
        self, output: jax.Array, log_std: jax.Array, other: jax.Array, other_log_std: jax.Array
    ) -> jax.Array:
        log_std, other_log_std = (with_leading_axes(each, output.ndim) for each in (log_std, other_log_std))
        variance, other_variance = jnp.exp(2 * log_std), jnp.exp(2 * other_log_std)
        squares = (variance + (output - other) ** 2) / (2 * other_variance)
        return jnp.sum(other_log_std - log_std + squares - 0.5, axis=-1)

    def to_env(self, action: jax.Array) -> jax.Array:
        return self.box.to_env(action)

    @property
    def notes(self) -> tuple[str, ...]:
        none, one = self.box.unbounded()
        start = f"from a normal distribution that begins with deviation {np.exp(INITIAL_LOG_STD):.1f}"
        notes = []
        if none:
            notes.append(f"{none} of {self.box.size} numbers of an action have no bounds: drawn {start} about 0")
        if one:
            notes.append(
                f"{one} of {self.box.size} numbers of an action have one bound: drawn {start}, 1 away from the bound,"
                " and clipped at it"
            )
        if notes:
            notes.append(
                "numbers of an action without two bounds are in the environment's units: give bounds where others fit"
            )
        return (*notes, *self.box.rounding_notes())


def for_space(space: Space[Any]) -> ActionDistribution:
    """Return the family of distributions for an action space.

    Raises:
        UserError: a space of another kind, see :func:`morl.ops.spaces.check_action_space`.
    """
    check_action_space(space)
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n), int(space.start))
    parts = integers_of(space)
    if parts is not None:
        return MultiCategorical(parts)
    return DiagonalNormal(reals_of(cast(spaces.Box, space)))
