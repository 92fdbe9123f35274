"""GPI-LS on continuous actions: a deterministic policy π(s, w) as by TD3 (Fujimoto et al., 2018, arXiv 1802.09477)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from morl.agents.gpi_ls import losses
from morl.agents.gpi_ls.config import GPILSConfig
from morl.agents.gpi_ls.networks import NetworkInput, Networks
from morl.agents.gpi_ls.types import Batch, Params, Policy
from morl.agents.sac.action_space import SquashedGaussian
from morl.types import PyTree


@dataclass(frozen=True)
class ContinuousControl:
    """Parts of the algorithm that depend on how actions are chosen; actions are from -1 to 1.

    Attributes:
        config: settings.
        networks: applied.
        actions: the box, in units where its bounds are -1 and 1.
    """

    config: GPILSConfig
    networks: Networks
    actions: SquashedGaussian

    @property
    def delay(self) -> int:
        """Return the critics' gradient steps for one of the policy."""
        return self.config.policy_delay

    def act(self, policy: Policy, inputs: NetworkInput, members: jax.Array, scalar: jax.Array) -> jax.Array:
        """Return the best actions (B, n) by the policies of K preferences ``members`` (B, K, R)."""
        features = inputs.features[:, None]
        action = self.networks.action(policy.actor, features, members)
        if members.shape[1] == 1:
            return action[:, 0]
        each = jax.vmap(self._values, (0, None, None, None))
        values = losses.least_by_worth(each(policy.critics, features, action, members), scalar[:, None])
        chosen = losses.gpi_policy(values, scalar)
        return jnp.sum(action * chosen[..., None], axis=1)

    def explore(self, policy: Policy, action: jax.Array, inputs: NetworkInput, key: jax.Array) -> jax.Array:
        """Return actions (B, n) with noise; a share of them uniform ones."""
        key_noise, key_which, key_action = jax.random.split(key, 3)
        noisy = action + self.config.action_noise * jax.random.normal(key_noise, action.shape, dtype=jnp.float32)
        randomly = jax.random.uniform(key_action, action.shape, dtype=jnp.float32, minval=-1.0, maxval=1.0)
        chosen = jax.random.uniform(key_which, action.shape[:1], dtype=jnp.float32) < policy.exploration
        return jnp.where(chosen[:, None], randomly, jnp.clip(noisy, -1.0, 1.0))

    def values(self, critics: PyTree, batch: Batch) -> jax.Array:
        """Return Q(s, a, w), (C, N, R), of the actions taken."""
        return self._each(critics, batch.inputs, batch.action, batch.preference)

    def next_value(self, params: Params, targets: Params, batch: Batch, key: jax.Array) -> jax.Array:
        """Return Q(s', π(s', w) + ε, w), (N, R), of the target networks, with clipped noise ε (TD3, equation 14)."""
        c = self.config
        action = self.networks.action(targets.actor, batch.next_inputs.features, batch.preference)
        noise = jnp.float32(c.action_noise) * jax.random.normal(key, action.shape, dtype=jnp.float32)
        action = jnp.clip(action + jnp.clip(noise, -c.noise_clip, c.noise_clip), -1.0, 1.0)
        values = self._each(targets.critics, batch.next_inputs, action, batch.preference)
        return losses.least_by_worth(values, batch.preference)

    def actor_loss(self, actor: PyTree, params: Params, batch: Batch) -> jax.Array:
        """Return -E[w·Q(s, π(s, w), w)], (), of the mean over critics."""
        action = self.networks.action(actor, batch.inputs.features, batch.preference)
        values = self._each(params.critics, batch.inputs, action, batch.preference)
        worth = jnp.sum(jnp.mean(values, axis=0) * batch.preference, axis=-1)
        return -jnp.sum(worth * batch.weight) / jnp.maximum(jnp.sum(batch.weight), 1e-6)

    def _each(self, critics: PyTree, inputs: NetworkInput, action: jax.Array, preference: jax.Array) -> jax.Array:
        """Return (C, N, R) of one action for each transition."""
        found: jax.Array = jax.vmap(self._values, (0, None, None, None))(critics, inputs.features, action, preference)
        return found

    def _values(self, critic: PyTree, features: jax.Array, action: jax.Array, preference: jax.Array) -> jax.Array:
        """Return (..., R) of actions (..., n) for features (..., F), which broadcast to them."""
        wide = jnp.broadcast_to(features, (*action.shape[:-1], features.shape[-1]))
        both = jnp.concatenate([wide, action], axis=-1)
        return self.networks.values(critic, both, preference)[..., 0, :]
