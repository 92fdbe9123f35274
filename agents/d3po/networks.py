"""Actor and critic of rows of features, one for each action, with the preference.

The actor's logit of an action can be a residual on what is known of it: the preference-weighted rewards of each action
now, times ``prior_scale``, plus the network's output, which begins at 0 (residual policy learning: Silver et al., 2018,
arXiv 1812.06298). So the untrained policy is the myopic one.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from morl.networks.preference import RowNetwork, row_network
from morl.ops.masking import masked_mean


class RowInput(NamedTuple):
    """Input of :class:`RowActor` and :class:`RowCritic`.

    Attributes:
        features: (..., A, F) of each action.
        preference: (..., R) for each of them, or (R,) for all.
        exists: (..., A) float32, 1 for actions that are allowed.
        rewards: (..., A, R) scaled rewards of each action now; None without a prior.
    """

    features: jax.Array
    preference: jax.Array
    exists: jax.Array
    rewards: jax.Array | None


class RowActor(eqx.Module):
    """Logits (..., A) of :class:`RowInput`: the output of the network, plus the prior if there is one."""

    network: RowNetwork
    prior_scale: float = eqx.field(static=True)

    def __call__(self, inputs: RowInput) -> jax.Array:
        preference = _wide(inputs)
        logits: jax.Array = self.network(inputs.features, preference, inputs.exists)[..., 0]
        if inputs.rewards is not None:
            myopic = jnp.sum(inputs.rewards * preference[..., None, :], axis=-1)
            logits = logits + jnp.float32(self.prior_scale) * myopic
        return logits


class RowCritic(eqx.Module):
    """Values (..., R) of :class:`RowInput`: the mean of what the network says of each action that is allowed."""

    network: RowNetwork

    def __call__(self, inputs: RowInput) -> jax.Array:
        each = self.network(inputs.features, _wide(inputs), inputs.exists)
        return masked_mean(each, jnp.broadcast_to(inputs.exists[..., None], each.shape), axis=-2)


def row_actor(
    rng: np.random.Generator, num_features: int, num_objectives: int, hidden: tuple[int, ...], prior_scale: float
) -> RowActor:
    """Return an actor whose network has the ``hidden`` widths twice, and begins at 0 where there is a prior."""
    scale = 0.0 if prior_scale else 0.01
    return RowActor(row_network(rng, num_features, num_objectives, 1, hidden, output_scale=scale), prior_scale)


def row_critic(rng: np.random.Generator, num_features: int, num_objectives: int, hidden: tuple[int, ...]) -> RowCritic:
    """Return a critic whose network has the ``hidden`` widths twice."""
    return RowCritic(row_network(rng, num_features, num_objectives, num_objectives, hidden))


def _wide(inputs: RowInput) -> jax.Array:
    """Return the preferences (..., R) of all inputs."""
    shape = inputs.features.shape[:-2]
    return jnp.broadcast_to(inputs.preference, (*shape, inputs.preference.shape[-1]))
