"""Policies over an action space: categorical for integers of few values, tanh-squashed normal for reals.

The losses need expectations over the actions of a policy. :class:`PolicyActions` gives them in one form for both kinds:
an exact sum over all actions of ``Discrete``, a sample of one action otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.errors import UserError
from morl.ops.actions import MOST_VALUES, Integers, Reals, integers_of, reals_of
from morl.ops.batching import with_leading_axes
from morl.ops.masking import MASKED_LOGIT
from morl.ops.spaces import check_action_space

MIN_STD = 1e-3


class PolicyActions(NamedTuple):
    """Actions of a policy for observations (...): all K actions of ``Discrete``, or one sample, where K is 1.

    Attributes:
        action: (..., n) the sample, which depends on the policy's parameters; None for all actions, in their order.
        probability: (..., K) weights of an expectation: exact probabilities, or 1 for a sample.
        log_prob: (..., K) logarithm of the probability, or of the density of a sample as it is recorded.
        target_entropy: (...) entropy to aim at.
    """

    action: jax.Array | None
    probability: jax.Array
    log_prob: jax.Array
    target_entropy: jax.Array

    def expectation(self, values: jax.Array) -> jax.Array:
        """Return E[values] (...), of values (..., K) of the actions."""
        return jnp.sum(self.probability * values, axis=-1)

    @property
    def entropy(self) -> jax.Array:
        """Return the entropy (...), exact or estimated by the sample."""
        return -self.expectation(self.log_prob)


class ActionSpace(Protocol):
    """Family of policies over one action space.

    Attributes:
        num_outputs: outputs of the actor that describe one policy; ``output`` is (..., num_outputs).
        num_values: actions that a critic has values of in one call: A, or 1 where an action is among its inputs.
        action_size: numbers of an action among the critic's inputs; 0 where a critic has values of all actions.
        recorded: shape and dtype of one action as it is recorded.
    """

    @property
    def num_outputs(self) -> int: ...
    @property
    def num_values(self) -> int: ...
    @property
    def action_size(self) -> int: ...
    @property
    def recorded(self) -> jax.ShapeDtypeStruct: ...

    def sample(self, output: jax.Array, key: jax.Array) -> jax.Array:
        """Return one action for each policy, as it is recorded."""
        ...

    def mode(self, output: jax.Array) -> jax.Array:
        """Return the greedy action of each policy, as it is recorded."""
        ...

    def policy_actions(self, output: jax.Array, key: jax.Array, target_share: float) -> PolicyActions:
        """Return the actions that expectations under each policy are over.

        Args:
            output: (..., num_outputs).
            key: of a sample.
            target_share: share that sets the target entropy, in (0, 1).
        """
        ...

    def value_of(self, values: jax.Array, action: jax.Array) -> jax.Array:
        """Return the values (..., R) of recorded actions among those of a critic (..., num_values, R)."""
        ...

    def difference(self, output: jax.Array, action: jax.Array) -> jax.Array:
        """Return how far each policy's greedy action (...) is from being a recorded one, at least 0."""
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Messages for the user about how actions are chosen, where that is not plain from their space."""
        ...


@dataclass(frozen=True)
class DiscreteActions:
    """Categorical policies over A actions; an actor's outputs are logits, recorded actions count from 0.

    Attributes:
        num_actions: A.
        start: the environment's number of the first action.
        parts: an array of integers, whose combinations are the actions; None where an action is one integer.
    """

    num_actions: int
    start: int = 0
    parts: Integers | None = None

    @property
    def num_outputs(self) -> int:
        return self.num_actions

    @property
    def num_values(self) -> int:
        return self.num_actions

    @property
    def action_size(self) -> int:
        return 0

    @property
    def recorded(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((), jnp.int32)

    def sample(self, output: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, output).astype(jnp.int32)

    def mode(self, output: jax.Array) -> jax.Array:
        return jnp.argmax(output, axis=-1).astype(jnp.int32)

    def policy_actions(self, output: jax.Array, key: jax.Array, target_share: float) -> PolicyActions:
        """Return all A actions; the target is a share of log A', the entropy of A' allowed actions at random."""
        num_allowed = jnp.sum(output > MASKED_LOGIT / 2, axis=-1, dtype=jnp.int32).astype(output.dtype)
        return PolicyActions(
            action=None,
            probability=jax.nn.softmax(output),
            log_prob=jax.nn.log_softmax(output),
            target_entropy=target_share * jnp.log(num_allowed),
        )

    def value_of(self, values: jax.Array, action: jax.Array) -> jax.Array:
        # one-hot and not a gather: its gradient is a scatter, which XLA's CPU backend runs one element at a time
        taken = jax.nn.one_hot(action, self.num_actions, dtype=jnp.float32)
        return jnp.sum(values * with_leading_axes(taken[..., None], values.ndim), axis=-2)

    def difference(self, output: jax.Array, action: jax.Array) -> jax.Array:
        """Return the negative logarithm of the action's probability."""
        taken = jax.nn.one_hot(action, self.num_actions, dtype=output.dtype)
        return -jnp.sum(taken * jax.nn.log_softmax(output), axis=-1)

    def to_env(self, action: jax.Array) -> jax.Array:
        return action + self.start if self.parts is None else self.parts.to_env(self.parts.split(action))

    @property
    def notes(self) -> tuple[str, ...]:
        if self.parts is None:
            return ()
        sizes = " x ".join(map(str, self.parts.sizes))
        return (f"actions are the {self.num_actions} combinations of {sizes} values, one choice among all of them",)


@dataclass(frozen=True)
class SquashedGaussian:
    """Diagonal normal policies, squashed by tanh into a bounded ``Box`` of n numbers.

    An actor's outputs are n means and n parameters of standard deviations, softplus(x) + 0.001, before squashing.
    Recorded actions are in [-1, 1], in the units of :class:`~morl.ops.actions.Reals`: a number without bounds is kept
    within 1 of 0, and one with one bound within 2 of it.
    """

    box: Reals

    @property
    def num_outputs(self) -> int:
        return 2 * self.box.size

    @property
    def num_values(self) -> int:
        return 1

    @property
    def action_size(self) -> int:
        return self.box.size

    @property
    def recorded(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.box.size,), jnp.float32)

    def sample(self, output: jax.Array, key: jax.Array) -> jax.Array:
        return self.sample_with_log_prob(output, key)[0]

    def sample_with_log_prob(self, output: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return actions a (..., n) in [-1, 1] and the log density (...) of b + h a, the environment's actions.

        With a = tanh(u), the half range h and the middle b of the box, and μ the normal density of u,

            log π(b + h a) = log μ(u) - Σ_i log(1 - tanh²(u_i)) - Σ_i log h_i

        (Haarnoja et al., 2018, arXiv 1812.05905, appendix C; the last sum is the correction for the affine scale).
        """
        mean, raw_std = jnp.split(output, 2, axis=-1)
        std = jax.nn.softplus(raw_std) + MIN_STD
        noise = jax.random.normal(key, mean.shape, dtype=jnp.float32)
        u = mean + std * noise
        log_normal = -0.5 * noise**2 - jnp.log(std) - 0.5 * jnp.log(jnp.float32(2 * jnp.pi))
        log_slope = 2 * (jnp.log(jnp.float32(2.0)) - u - jax.nn.softplus(-2 * u))  # log(1 - tanh²(u)), finite for any u
        log_half_range = with_leading_axes(jnp.log(self._half_range), u.ndim)
        return jnp.tanh(u), jnp.sum(log_normal - log_slope - log_half_range, axis=-1)

    def mode(self, output: jax.Array) -> jax.Array:
        """Return the action of the mean before squashing."""
        return jnp.tanh(output[..., : self.box.size])

    def policy_actions(self, output: jax.Array, key: jax.Array, target_share: float) -> PolicyActions:
        """Return a sample; the target is the entropy of uniform actions from that share of each number's range.

        Densities are those of actions from -1 to 1: in the environment's units, a change of units would change the
        entropy, which counts as a reward. A share of exp(-1/2) / 2 = 0.30 is the target of Brax, minus half the number
        of dimensions, and 0.18 that of Haarnoja et al. (2018), minus this number.
        """
        action, log_prob = self.sample_with_log_prob(output, key)
        log_prob = log_prob + jnp.sum(jnp.log(self._half_range))
        return PolicyActions(
            action=action,
            probability=jnp.ones((*log_prob.shape, 1), jnp.float32),
            log_prob=log_prob[..., None],
            target_entropy=jnp.full_like(log_prob, self.action_size * jnp.log(jnp.float32(2 * target_share))),
        )

    def value_of(self, values: jax.Array, action: jax.Array) -> jax.Array:
        return values[..., 0, :]

    def difference(self, output: jax.Array, action: jax.Array) -> jax.Array:
        """Return half the squared distance of the greedy action."""
        return 0.5 * jnp.sum((self.mode(output) - action) ** 2, axis=-1)

    def to_env(self, action: jax.Array) -> jax.Array:
        return self.box.to_env(action)

    @property
    def notes(self) -> tuple[str, ...]:
        none, one = self.box.unbounded()
        notes = []
        if none:
            notes.append(f"{none} of {self.box.size} numbers of an action have no bounds: kept from -1 to 1")
        if one:
            notes.append(f"{one} of {self.box.size} numbers of an action have one bound: kept within 2 of it")
        if notes:
            notes.append("give bounds to the numbers of an action where others are needed")
        return (*notes, *self.box.rounding_notes())

    @property
    def _half_range(self) -> jax.Array:
        half = self.box.half_range
        return jnp.asarray(np.where(half > 0, half, 1.0), jnp.float32)  # of one value: any length, for its density


def for_space(space: Space[Any]) -> ActionSpace:
    """Return the policies over an action space.

    Raises:
        UserError: a space of another kind (:func:`morl.ops.spaces.check_action_space`), or too many combinations.
    """
    check_action_space(space)
    if isinstance(space, spaces.Discrete):
        return DiscreteActions(int(space.n), int(space.start))
    parts = integers_of(space)
    number = math.prod(parts.sizes) if parts else 0
    if parts and number <= MOST_VALUES:
        return DiscreteActions(number, parts=parts)
    if isinstance(space, spaces.Box):
        return SquashedGaussian(reals_of(space))
    raise UserError(
        f"action space {' '.join(str(space).split())} has {number} combinations; this agent takes at most"
        f" {MOST_VALUES}, as one choice (ppo and cmorl choose each part by itself)"
    )
