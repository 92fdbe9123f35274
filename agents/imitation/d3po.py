"""D3PO that imitates a teacher: the actor learns what its policies do, the critic what they are worth.

In place of the surrogates the actor has the negative log-likelihood of the actions taken, by behaviour cloning
(Pomerleau, 1991). The critic and all statistics go on as in :class:`~morl.agents.d3po.algorithm.D3PO`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from morl.agents.d3po.algorithm import D3PO
from morl.agents.imitation.teacher import Teacher
from morl.agents.ppo.types import Minibatch, Params, Policy
from morl.ops.masking import masked_mean
from morl.types import Metrics

UNLIMITED_KL = 1e9  # no divergence is too large on the way to what is shown


@dataclass(frozen=True)
class ImitatingD3PO(D3PO):
    """D3PO learner that imitates.

    Attributes:
        teacher: acts.
    """

    teacher: Teacher = field(kw_only=True)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return the teacher's actions for observations (B, ...) and preferences (R,) or (B, R)."""
        stats = policy.return_stats
        units = self.preference_scale(stats) / self.reward_scale(stats)
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        return self.teacher.act(obs, preference * units[None], key)

    def actor_loss(
        self, params: Params, output: jax.Array, log_ratio: jax.Array, batch: Minibatch
    ) -> tuple[jax.Array, Metrics]:
        """Return the negative log-likelihood of the actions, of reals the squared error, and D3PO's metrics."""
        _, metrics = super().actor_loss(params, output, log_ratio, batch)
        likelihood = self.actions.log_prob(output, jnp.zeros_like(params.log_std), batch.action)
        return -masked_mean(likelihood, batch.weight), metrics


def imitating(learner: D3PO, teacher: Teacher) -> ImitatingD3PO:
    """Return a learner of the same state that imitates a teacher."""
    parts: dict[str, Any] = {each.name: getattr(learner, each.name) for each in dataclasses.fields(learner)}
    target = None if learner.config.target_kl is None else UNLIMITED_KL
    parts["config"] = dataclasses.replace(learner.config, entropy_coefficient=0.0, target_kl=target)
    return ImitatingD3PO(**parts, teacher=teacher)
