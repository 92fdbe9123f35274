"""Estimates of other policies, and the policy gradient of each objective, by a rollout of the policy that acted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax

from morl.agents.ppo import losses
from morl.agents.ppo.losses import SurrogateEstimate
from morl.agents.ppo.types import ActorParams, Params, ProcessedRollout
from morl.ops.masking import mask_logits, masked_mean

if TYPE_CHECKING:
    from morl.agents.ppo.algorithm import PPO


def objective_gradients(learner: PPO, params: Params, rollout: ProcessedRollout, advantage: jax.Array) -> ActorParams:
    """Return the policy gradient of each objective before any sum, as a pytree (R, ...) of actor and ``log_std``.

    For the policy that acted the probability ratio is 1 and nothing is clipped, so the preference-weighted sum of
    these gradients is that of the first step on L^CLIP. :func:`morl.ops.gradients.gram_matrix` gives their inner
    products.

    Args:
        learner: with the distribution of actions.
        params: parameters of the policy that acted.
        rollout: result of :meth:`morl.agents.ppo.algorithm.PPO.process_rollout`.
        advantage: (T, B, R); centred here.
    """
    estimate = surrogate_estimate(learner, params, rollout, advantage)
    gradients: ActorParams = jax.jacrev(lambda actor: estimate(actor).gains)((params.actor, params.log_std))
    return gradients


def surrogate_estimate(
    learner: PPO, params: Params, rollout: ProcessedRollout, advantage: jax.Array
) -> Callable[[ActorParams], SurrogateEstimate]:
    """Return a function that estimates other actors by a rollout of ``params`` and advantages (T, B, R)."""
    before = mask_logits(params.actor(rollout.inputs), rollout.mask)

    def estimate(other: ActorParams) -> SurrogateEstimate:
        actor, log_std = other
        output = mask_logits(actor(rollout.inputs), rollout.mask)
        log_ratio = learner.actions.log_prob(output, log_std, rollout.action) - rollout.log_prob
        divergence = learner.actions.divergence(before, params.log_std, output, log_std)
        return SurrogateEstimate(
            gains=losses.objective_surrogates(log_ratio, advantage, rollout.weight),
            divergence=masked_mean(divergence, rollout.weight),
        )

    return estimate
