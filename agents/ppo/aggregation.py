"""Aggregation of the objectives in PPO: weights found anew at each update, instead of the preference alone.

The weights are computed once an update, for the policy that acted, where no probability ratio is clipped. They are then
weights of the advantages, and all passes of the update maximise PPO's ordinary loss of the weighted sum. Entropy bonus
and critic stay outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.surrogates import objective_gradients
from morl.agents.ppo.types import Params, ProcessedRollout
from morl.ops.aggregation import advantages
from morl.ops.aggregation.named import Options, aggregate
from morl.ops.gradients import gram_matrix
from morl.ops.masking import masked_mean, standardise
from morl.types import LearnerState, Metrics, Transition

STEPWISE = {"pama": advantages.pama, "unanimous": advantages.unanimous}
"""Aggregators of the advantages of each step, by name; the others weigh objectives over the whole rollout."""

WITHOUT_PREFERENCE = ("mgda", "mgda-normalised", "advantage-mgda")


@dataclass(frozen=True)
class AggregatingPPO(PPO):
    """PPO learner that weighs the objectives by ``aggregator``."""

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B), for the preference of its first step."""
        key_fit, key_weights = jax.random.split(key)
        units, preference = self.preference_scale(state.learning.return_stats), batch.preference[0, 0]
        state, rollout = self.process_rollout(state, batch)
        advantage = rollout.advantage * units[None, None]
        if self.config.aggregator in STEPWISE:
            scalar, metrics = stepwise_advantage(self.config.aggregator, advantage, preference, rollout.weight)
        else:
            weights, metrics = objective_weights(self, state.params, rollout, advantage, preference, key_weights)
            scalar = advantages.weighted_sum(advantage, weights, rollout.weight)
        state, more = self.fit(state, rollout, scalar, key_fit)
        return state, {**more, **metrics}


def stepwise_advantage(
    name: str, advantage: jax.Array, preference: jax.Array, weight: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Return one advantage (T, B) for each step, with a mean square of 1, and the share of steps that have any.

    It is not centred: a step on which the objectives do not agree is not to be learnt from.
    """
    each = jax.vmap(standardise, in_axes=(-1, None), out_axes=-1)(advantage, weight)
    found = STEPWISE[name](each, preference)
    return advantages.scale_to_unit(found, weight), {"agreement": masked_mean(found != 0, weight)}


def objective_weights(
    learner: PPO,
    params: Params,
    rollout: ProcessedRollout,
    advantage: jax.Array,
    preference: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Return weights (R,) of the objectives' advantages, whose sizes have a sum of 1, and metrics.

    The metric ``least_cosine`` is the smallest cosine between two objectives' gradients: below 0 they conflict.

    Args:
        learner: with the settings.
        params: of the policy that acted.
        rollout: its experience.
        advantage: (T, B, R), in the units that the preference weighs.
        preference: (R,).
        key: of what is random.
    """
    c = learner.config
    if c.aggregator == "advantage-mgda":
        mean = masked_mean(advantage, rollout.weight[..., None], (0, 1))
        return advantages.advantage_mgda(advantage - mean[None, None], rollout.weight), {}
    gram = gram_matrix(objective_gradients(learner, params, rollout, advantage))
    options = Options(radius=c.cagrad_radius, fairness=c.fairgrad_alpha)
    norm = jnp.sqrt(jnp.diag(gram))
    product = norm[:, None] * norm[None]
    cosines = jnp.where(product > 0, gram / jnp.where(product > 0, product, 1.0), 0.0)
    return aggregate(c.aggregator, gram, preference, key, options), {"least_cosine": jnp.min(cosines)}
