"""Action spaces of soft actor-critics: the policies and critics over them that the losses are written for.

A policy is looked at through K candidate actions for each of N observations. Discrete policies show all their actions
with their probabilities, so that expectations are exact. Continuous policies show one sampled action of probability 1,
through which gradients flow (the reparameterisation trick).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.agents.sac.inputs import Inputs, Seen
from morl.errors import UserError
from morl.ops.masking import MASKED_LOGIT, mask_logits
from morl.types import PyTree

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


class Candidates(NamedTuple):
    """Candidate actions of a policy for N observations.

    Attributes:
        action: (N, D) sampled actions of a continuous policy; None where the candidates are all A actions.
        probability: (N, K) probabilities of the candidates.
        log_probability: (N, K) their logarithms, or log-densities.
        entropy: (N,) of the policy, estimated by -log π(a|s) where it is continuous.
    """

    action: jax.Array | None
    probability: jax.Array
    log_probability: jax.Array
    entropy: jax.Array


class ActionSpace(Protocol):
    """Policy and critic networks over a space of actions."""

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of one recorded action."""
        ...

    def init(self, rng: np.random.Generator, num_objectives: int) -> tuple[PyTree, list[PyTree]]:
        """Make an actor and two critics, which give a value for each of R objectives."""
        ...

    def act(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return recorded actions (N, ...) for preferences (N, R)."""
        ...

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        ...

    def candidates(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array) -> Candidates:
        """Return candidate actions of the policy."""
        ...

    def taken_values(
        self, critic: Any, seen: Seen, preference: jax.Array, action: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        """Return values (N, R) of recorded actions, and those of all actions (N, A, R) where they come with them."""
        ...

    def candidate_values(self, critic: Any, seen: Seen, preference: jax.Array, candidates: Candidates) -> jax.Array:
        """Return values (N, K, R) of candidates."""
        ...

    def target_entropy(self, share: float, candidates: Candidates) -> jax.Array:
        """Return the entropy (N,) or () that an adapted temperature aims at, from the setting ``target_entropy``."""
        ...


def action_space(inputs: Inputs, mask_actions: bool) -> ActionSpace:
    """Return the action space of a Gymnasium space.

    Raises:
        UserError: neither ``Discrete`` nor a bounded, one-dimensional ``Box`` of floats.
    """
    space: Space[Any] = inputs.action_space
    if isinstance(space, spaces.Discrete):
        return DiscreteActions(inputs, int(space.n), int(space.start), mask_actions)
    real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if isinstance(space, spaces.Box) and real and len(space.shape) == 1 and space.is_bounded():
        bounds = (np.asarray(space.low, float), np.asarray(space.high, float))
        return SquashedGaussian(inputs, *(tuple(bound.tolist()) for bound in bounds))
    raise UserError(
        f"action space {space} is not supported; allowed: Discrete, or a bounded Box of floats of shape (n,)"
    )


@dataclass(frozen=True)
class DiscreteActions:
    """Categorical policies over A actions; actor and critics have R outputs for each action.

    The logit of an action is the preference-weighted sum of its R outputs. The mask forbids actions unless
    ``mask_actions`` is off.
    """

    inputs: Inputs
    num_actions: int
    start: int
    mask_actions: bool = True

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((), jnp.int32)

    def init(self, rng: np.random.Generator, num_objectives: int) -> tuple[PyTree, list[PyTree]]:
        actor, *critics = (
            self.inputs.network_by_action(rng, self.num_actions, num_objectives, num_objectives) for _ in range(3)
        )
        return actor, critics

    def logits(self, actor: Any, seen: Seen, preference: jax.Array) -> jax.Array:
        """Return the logits (N, A); without a shown preference all objectives weigh the same."""
        shown = self.inputs.show_preference
        weights = preference if shown else jnp.full_like(preference, 1 / preference.shape[-1])
        outputs = self.inputs.apply_by_action(actor, seen, preference)
        logits = jnp.sum(outputs * weights[..., None, :], axis=-1)
        return mask_logits(logits, seen.mask) if self.mask_actions else logits

    def act(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        logits = self.logits(actor, seen, preference)
        chosen = jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)
        return chosen.astype(jnp.int32)

    def to_env(self, action: jax.Array) -> jax.Array:
        return action + self.start

    def candidates(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array) -> Candidates:
        logits = self.logits(actor, seen, preference)
        probability, log = jax.nn.softmax(logits), jax.nn.log_softmax(logits)
        entropy = -jnp.sum(probability * jnp.where(probability > 0, log, 0.0), axis=-1)
        return Candidates(None, probability, log, entropy)

    def taken_values(
        self, critic: Any, seen: Seen, preference: jax.Array, action: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        values = self.inputs.apply_by_action(critic, seen, preference)
        taken = jax.nn.one_hot(action, self.num_actions)  # not a gather: its gradient is a scatter, slow on CPU
        return jnp.sum(values * taken[..., None], axis=-2), values

    def candidate_values(self, critic: Any, seen: Seen, preference: jax.Array, candidates: Candidates) -> jax.Array:
        return self.inputs.apply_by_action(critic, seen, preference)

    def target_entropy(self, share: float, candidates: Candidates) -> jax.Array:
        """Return that share of the entropy of a uniform choice among the allowed actions."""
        allowed = jnp.sum(candidates.log_probability > MASKED_LOGIT / 2, axis=-1)
        return share * jnp.log(allowed)


@dataclass(frozen=True)
class SquashedGaussian:
    """Diagonal normal policies squashed by tanh over a bounded box (Haarnoja et al., 2018b, appendix C).

    Actions are recorded in units where the bounds are -1 and 1; densities and entropies are per such units.
    """

    inputs: Inputs
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((len(self.low),), jnp.float32)

    def init(self, rng: np.random.Generator, num_objectives: int) -> tuple[PyTree, list[PyTree]]:
        size = len(self.low)
        actor = self.inputs.network(rng, num_objectives, 0, 2 * size)
        return actor, [self.inputs.network(rng, num_objectives, size, num_objectives) for _ in range(2)]

    def distribution(self, actor: Any, seen: Seen, preference: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and log standard deviation (N, D) of the normal distribution before tanh."""
        mean, log_std = jnp.split(self.inputs.apply(actor, seen, preference), 2, axis=-1)
        return mean, MIN_LOG_STD + 0.5 * (MAX_LOG_STD - MIN_LOG_STD) * (jnp.tanh(log_std) + 1.0)

    def act(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        mean, log_std = self.distribution(actor, seen, preference)
        noise = 0.0 if greedy else jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return jnp.tanh(mean + noise)

    def to_env(self, action: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        return low + (action + 1.0) / 2.0 * (high - low)

    def candidates(self, actor: Any, seen: Seen, preference: jax.Array, key: jax.Array) -> Candidates:
        mean, log_std = self.distribution(actor, seen, preference)
        noise = jax.random.normal(key, mean.shape)
        raw = mean + jnp.exp(log_std) * noise
        log_density = squashed_log_density(raw, noise, log_std)
        return Candidates(jnp.tanh(raw), jnp.ones((len(mean), 1)), log_density[:, None], -log_density)

    def taken_values(
        self, critic: Any, seen: Seen, preference: jax.Array, action: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        return self.inputs.apply(critic, seen, preference, action), None

    def candidate_values(self, critic: Any, seen: Seen, preference: jax.Array, candidates: Candidates) -> jax.Array:
        assert candidates.action is not None  # noqa: S101  # a continuous policy has sampled it
        return self.inputs.apply(critic, seen, preference, candidates.action)[:, None]

    def target_entropy(self, share: float, candidates: Candidates) -> jax.Array:
        """Return the entropy of a uniform policy over that share of each axis' range, D log(2 share)."""
        return jnp.asarray(len(self.low) * np.log(2.0 * share), jnp.float32)


def squashed_log_density(raw: jax.Array, noise: jax.Array, log_std: jax.Array) -> jax.Array:
    """Return log π(tanh u) (N,) for u = mean + std * noise (Haarnoja et al., 2018b, equation 21).

        log π(a|s) = Σ_i log N(u_i) - log(1 - tanh(u_i)²)

    The last term is computed as 2 (log 2 - u - softplus(-2u)), which does not overflow.
    """
    normal = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
    squash = 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    density: jax.Array = jnp.sum(normal - squash, axis=-1)
    return density
