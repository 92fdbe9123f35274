"""Behaviour that logs are of: policies of a front that sample or act greedily, explore, or take turns by episode.

Where a policy is drawn for each episode, what is written is the probability of an action given the episode so far,
whichever policy was drawn: Σ_k p(k | history) π_k(a | s). Their product is the probability of the episode under the
mixture, so that the weight of no policy among K exceeds K: the balance heuristic of multiple importance sampling (Veach
and Guibas, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.analysis.offline.policies import ActionModel
from morl.types import PyTree


class Acting(NamedTuple):
    """State of B episodes that a behaviour acts in.

    Attributes:
        drawn: (B,) int32, the policy that acts.
        log_likelihood: (K, B) of the actions so far under each policy.
    """

    drawn: jax.Array
    log_likelihood: jax.Array


@dataclass(frozen=True)
class Behaviour:
    """Behaviour of K policies, one drawn for each episode.

    Attributes:
        model: their distributions.
        epsilon: share of actions that are uniform over the allowed ones.
    """

    model: ActionModel
    epsilon: float = 0.0

    def start(self, number: int, episodes: int, key: jax.Array) -> Acting:
        """Return the state of B ``episodes`` of which each has one of ``number`` policies."""
        drawn = jax.random.randint(key, (episodes,), 0, number, jnp.int32)
        return Acting(drawn, jnp.zeros((number, episodes), jnp.float32))

    def act(
        self, params: PyTree, preferences: jax.Array, acting: Acting, obs: jax.Array, key: jax.Array
    ) -> tuple[Acting, jax.Array, jax.Array]:
        """Return the state, actions (B, *shape) and the logarithms (B,) of their probabilities.

        Args:
            params: of K policies, stacked.
            preferences: (K, R).
            acting: state.
            obs: (B, ...).
            key: of the draws.
        """
        key_policy, key_uniform, key_which = jax.random.split(key, 3)
        each = jax.vmap(self.model.describe, (0, None, 0))(params, obs, preferences)
        rows = jnp.arange(len(obs), dtype=jnp.int32)
        own = jax.tree.map(lambda x: x[acting.drawn, rows], each)
        uniform = self.model.uniform(obs)
        exploring = jax.random.uniform(key_which, rows.shape, dtype=jnp.float32) < self.epsilon
        action = jax.tree.map(
            lambda one, other: jnp.where(exploring.reshape(-1, *[1] * (one.ndim - 1)), other, one),
            self.model.sample(own, key_policy),
            self.model.sample(uniform, key_uniform),
        )
        log_prob = jax.vmap(self.model.log_prob, (0, None))(each, action)
        if self.epsilon:
            share = jnp.log(jnp.float32(self.epsilon))
            rest = jnp.log1p(-jnp.float32(self.epsilon))
            log_prob = jnp.logaddexp(rest + log_prob, share + self.model.log_prob(uniform, action)[None])
        after = acting.log_likelihood + log_prob
        before = jax.nn.logsumexp(acting.log_likelihood, axis=0)
        return acting._replace(log_likelihood=after), action, jax.nn.logsumexp(after, axis=0) - before
