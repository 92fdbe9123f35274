"""Generalised policy improvement with the critics of a soft actor-critic, for greedy actions.

The policies of several preferences w' are compared by what the critics say they are worth to the preference w that is
acted for (Barreto et al., 2017, arXiv 1606.05312; Alegre et al., 2023, arXiv 2301.07784). The result is at least as
good as each of them, where the critics are right.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.agents.gpi_ls.losses import gpi_action, gpi_policy
from morl.agents.sac import losses
from morl.agents.sac.action_space import ActionSpace
from morl.agents.sac.networks import NetworkInput, Networks
from morl.agents.sac.types import Policy
from morl.ops.preferences import equally_spaced_weights


def improved_action(
    networks: Networks, actions: ActionSpace, policy: Policy, inputs: NetworkInput, preference: jax.Array, number: int
) -> jax.Array:
    """Return greedy actions (B, ...), the best of those for the preference and for ``number`` spread ones.

    Discrete: argmax_a max_{w'} w·Q(s, a, w'). Continuous: the mode a' of π(·|s, w') with the largest w·Q(s, a', w').

    Args:
        networks, actions, policy: act.
        inputs: of B observations.
        preference: (B, R) w.
        number: of the w' beside w.
    """
    spread = equally_spaced_weights(preference.shape[-1], number)
    shape = (len(spread), *preference.shape)
    others = jnp.broadcast_to(jnp.asarray(spread, jnp.float32)[:, None], shape)
    members = jnp.concatenate([others, preference[None]])

    def of_member(member: jax.Array) -> tuple[jax.Array | None, jax.Array]:
        """Return the action (B, n) of a preference (B, R), None if there are values of all, and values (B, A, R)."""
        action = None
        if actions.action_size:
            action = actions.mode(networks.actor_output(policy.actor, inputs, member))
        twins = jax.vmap(networks.critic_values, (0, None, None, None))(policy.critics, inputs, action, member)
        return action, losses.least_by_worth(twins, lambda values: jnp.sum(values * preference[:, None], axis=-1))

    action, values = jax.vmap(of_member)(members)
    values = jnp.moveaxis(values, 0, 1)
    if action is None:
        return gpi_action(values, preference, inputs.mask if networks.mask_actions else None)
    chosen = gpi_policy(values[:, :, 0], preference)
    return jnp.sum(jnp.moveaxis(action, 0, 1) * chosen[..., None], axis=1)
