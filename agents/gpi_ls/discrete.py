"""GPI-LS on discrete actions: Q(s, ·, w) as by DQN (Alegre et al., 2023, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from morl.agents.gpi_ls import losses
from morl.agents.gpi_ls.config import GPILSConfig
from morl.agents.gpi_ls.networks import NetworkInput, Networks
from morl.agents.gpi_ls.types import Batch, Params, Policy
from morl.agents.sac.action_space import DiscreteActions
from morl.ops.masking import MASKED_LOGIT
from morl.types import PyTree


@dataclass(frozen=True)
class DiscreteControl:
    """Parts of the algorithm that depend on how actions are chosen.

    Attributes:
        config: settings.
        networks: applied.
        actions: A actions, recorded from 0 on.
    """

    config: GPILSConfig
    networks: Networks
    actions: DiscreteActions

    delay = 1  # critics' gradient steps for one of the policy

    def act(self, policy: Policy, inputs: NetworkInput, members: jax.Array, scalar: jax.Array) -> jax.Array:
        """Return the best actions (B,) by the policies of K preferences ``members`` (B, K, R)."""
        each = jax.vmap(self.networks.values, (0, None, None))
        values = each(policy.critics, inputs.features[:, None], members)
        least = losses.least_by_worth(values, scalar[:, None, None])
        return losses.gpi_action(least, scalar, inputs.mask)

    def explore(self, policy: Policy, action: jax.Array, inputs: NetworkInput, key: jax.Array) -> jax.Array:
        """Return actions (B,), a share of them random ones of those allowed."""
        key_which, key_action = jax.random.split(key)
        chances = jnp.zeros((len(action), self.actions.num_actions), jnp.float32)
        if inputs.mask is not None:
            chances = jnp.where(inputs.mask > 0, chances, MASKED_LOGIT)
        randomly = jax.random.categorical(key_action, chances).astype(jnp.int32)
        chosen = jax.random.uniform(key_which, action.shape, dtype=jnp.float32) < policy.exploration
        return jnp.where(chosen, randomly, action)

    def values(self, critics: PyTree, batch: Batch) -> jax.Array:
        """Return Q(s, a, w), (C, N, R), of the actions taken."""
        found = self._all(critics, batch.inputs, batch.preference)
        return self.actions.value_of(found, batch.action)

    def next_value(self, params: Params, targets: Params, batch: Batch, key: jax.Array) -> jax.Array:
        """Return Q(s', a', w), (N, R), of the best next action a' for each transition's preference."""
        scalar = batch.preference[:, None]
        least = losses.least_by_worth(self._all(targets.critics, batch.next_inputs, batch.preference), scalar)
        judged = least
        if self.config.double_q:
            ours = self._all(params.critics, batch.next_inputs, batch.preference)
            judged = losses.least_by_worth(ours, scalar)
        worth = losses.masked(jnp.sum(judged * scalar, axis=-1), batch.next_inputs.mask)
        return self.actions.value_of(least, jnp.argmax(worth, axis=-1))

    def actor_loss(self, actor: PyTree, params: Params, batch: Batch) -> jax.Array:
        """Return 0: discrete actions have no actor."""
        return jnp.zeros((), jnp.float32)

    def _all(self, critics: PyTree, inputs: NetworkInput, preference: jax.Array) -> jax.Array:
        """Return (C, N, A, R) of all actions."""
        found: jax.Array = jax.vmap(self.networks.values, (0, None, None))(critics, inputs.features, preference)
        return found
