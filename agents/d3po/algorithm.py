"""D3PO (Ambadkar et al., 2026, arXiv 2602.07764): PPO with one policy π(a|s, w) and critic V(s, w) for all preferences.

Each environment acts for a preference w of its own, drawn for each episode. An update reads from top to bottom:
:meth:`D3PO.update` estimates and standardises an advantage for each objective, passes over the rollout as PPO does, and
:meth:`D3PO.actor_loss` clips each objective's surrogate before its weight counts, and keeps policies as far apart as
their preferences are. The parts of the loss are in :mod:`.losses`; all else is :class:`morl.agents.ppo.algorithm.PPO`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.d3po import losses
from morl.agents.d3po.config import D3POConfig
from morl.agents.d3po.networks import RowInput, row_actor, row_critic
from morl.agents.ppo import schedules
from morl.agents.ppo.aggregation import objective_weights
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.types import Minibatch, Params, ProcessedRollout
from morl.errors import UserError
from morl.networks.conditioning import ConditionedInput, conditioned_network
from morl.ops.batching import with_leading_axes
from morl.ops.masking import mask_logits, masked_mean
from morl.ops.preferences import dirichlet_and_corners
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, Transition
from morl.validation import check_number_of_scales


@dataclass(frozen=True)
class D3PO(PPO):
    """PPO learner whose networks take the preference.

    Attributes:
        action_features, action_rewards: as in :class:`morl.types.Task`; for network rows.

    Raises:
        UserError: a space it cannot work with, concentrations or scales of another number of objectives, or an
            environment without the features or rewards of actions that the settings ask for.
    """

    config: D3POConfig
    action_features: Features | None = None
    action_rewards: Features | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        c = self.config
        c.concentration(self.num_objectives)
        schedules.check_floor(c, self.num_objectives)
        check_number_of_scales(c.objective_scales, self.num_objectives)
        if c.network == "rows" and self.action_features is None:
            raise UserError(
                "network rows needs features of each action, which this environment does not have; allowed: flat"
            )
        if c.prior_scale and self.action_rewards is None:
            raise UserError(
                "prior_scale needs observations that tell the rewards of each action, which this environment's do not; "
                "those of mec-offloading-v0 do with --env-kwargs marginals True"
            )

    def networks(self, rng: np.random.Generator) -> tuple[Any, Any]:
        """Return a fresh actor π(a|s, w) and critic V(s, w) of R values."""
        c = self.config
        if c.network == "rows" and self.action_features is not None:
            seen = jax.ShapeDtypeStruct(self.observation_space.shape or (), jnp.float32)
            num_features = int(jax.eval_shape(self.action_features, seen).shape[-1])
            sizes = num_features, self.num_objectives, c.hidden
            return row_actor(rng, *sizes, c.prior_scale), row_critic(rng, *sizes)

        def network(outputs: int, scale: float) -> Any:
            def behind(size: int) -> Any:
                return conditioned_network(
                    rng,
                    c.conditioning,
                    size,
                    self.num_objectives,
                    c.hidden,
                    outputs,
                    c.activation,
                    embedding_size=c.embedding_size,
                    output_scale=scale,
                )

            return self.encoder.in_front(rng, behind)

        return network(self.actions.num_outputs, 0.01), network(self.num_objectives, 1.0)

    def inputs(self, obs_stats: RunningStats, obs: jax.Array, preference: jax.Array) -> ConditionedInput | RowInput:
        """Return the networks' inputs for observations (..., *space.shape) and preferences (..., R) or (R,).

        Features of actions are of the order of 1 and not normalised.
        """
        if self.config.network == "flat" or self.action_features is None:
            return ConditionedInput(self.features(obs_stats, obs), preference)
        features, mask = self.action_features(obs), self._mask(obs)
        exists = jnp.ones(features.shape[:-1], jnp.float32) if mask is None else mask.astype(jnp.float32)
        rewards = None
        if self.action_rewards is not None and self.objective_scales is not None and self.config.prior_scale:
            rewards = self.action_rewards(obs)
            rewards = rewards * with_leading_axes(self.objective_scales, rewards.ndim)
        return RowInput(features, preference, exists, rewards)

    def reward_scale(self, return_stats: RunningStats) -> jax.Array:
        """Return the divisor (R,) of the rewards: of ``objective_scales``, or as in PPO."""
        scales = self.objective_scales
        return super().reward_scale(return_stats) if scales is None else 1.0 / scales

    @property
    def objective_scales(self) -> jax.Array | None:
        """Return the factors (R,) of the rewards, where they are given."""
        if self.config.objective_scales is None:
            return None
        return jnp.broadcast_to(jnp.asarray(self.config.objective_scales, jnp.float32), (self.num_objectives,))

    def draw_preference(self, key: jax.Array) -> jax.Array:
        """Draw the preference (R,) of an episode."""
        c = self.config
        return dirichlet_and_corners(key, c.concentration(self.num_objectives), c.corner_share)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B), for the preference (T, B, R) of each step."""
        key_fit, key_others = jax.random.split(key)
        # 1. estimate an advantage for each objective, under the preference of the step
        state, rollout = self.process_rollout(state, batch)
        # 2. standardise
        if self.config.normalise_advantages == "each":
            advantage = losses.standardise_each(rollout.advantage, rollout.weight)
        else:
            units = self.preference_scale(state.learning.return_stats)
            advantage = losses.standardise_together(
                rollout.advantage * units[None, None], batch.preference, rollout.weight
            )
        state, advantage, metrics = self.weigh_objectives(state, rollout, batch.preference, advantage, key_others)
        if self.config.pareto_selection != "none":  # among episodes for preferences of the same largest weight
            group = jnp.argmax(batch.preference, axis=-1).astype(jnp.int32)
            factor, more = schedules.selection(self, batch, rollout, group)
            advantage, metrics = factor[..., None] * advantage, {**metrics, **more}
        # 3. draw a preference w' to differ from at each step
        keys = jax.random.split(key_others, batch.reward.shape[:2])
        others = jax.vmap(jax.vmap(self.draw_preference))(keys)
        # 4. pass over the rollout
        state, more = self.fit(state, rollout, advantage, key_fit, extra=others)
        return state, {**more, **metrics}

    def weigh_objectives(
        self,
        state: LearnerState,
        rollout: ProcessedRollout,
        preference: jax.Array,
        advantage: jax.Array,
        key: jax.Array,
    ) -> tuple[LearnerState, jax.Array, Metrics]:
        """Return advantages (T, B, R) whose objectives are weighed by an aggregator or a schedule, and metrics.

        The weights are beside the preferences (T, B, R): an objective's own gradient is that of its weighted surrogate.
        """
        c, size = self.config, self.num_objectives
        if c.aggregator == "linear" and c.weight_schedule != "gradient":
            return state, advantage, schedules.step_metrics(state)
        even, key_weights = jnp.full(size, 1 / size, jnp.float32), jax.random.fold_in(key, 1)
        own = preference * advantage
        if c.weight_schedule == "gradient":
            state, weights, metrics = schedules.follow_gradients(self, state, rollout, own, even, even)
        else:
            weights, metrics = objective_weights(self, state.params, rollout, own, even, key_weights)
        return state, size * weights[None, None] * advantage, metrics

    def actor_loss(
        self, params: Params, output: jax.Array, log_ratio: jax.Array, batch: Minibatch
    ) -> tuple[jax.Array, Metrics]:
        """Return -Σ_i w_i L_i^CLIP + λ L^div and metrics of its parts; see :meth:`PPO.actor_loss`."""
        c, preference, other = self.config, batch.inputs.preference, batch.extra
        surrogate = losses.late_weighted_surrogate_loss(
            log_ratio, batch.advantage, preference, batch.weight, c.clip_eps
        )
        if c.diversity_coefficient == 0:
            return surrogate, {}
        elsewhere = mask_logits(params.actor(batch.inputs._replace(preference=other)), batch.mask)
        divergence = self.actions.divergence(output, params.log_std, elsewhere, params.log_std)
        bound = c.diversity_target == "bound"
        diversity = losses.diversity_loss(divergence, preference, other, batch.weight, c.diversity_scale, bound=bound)
        loss = surrogate + jnp.float32(c.diversity_coefficient) * diversity
        metrics = {"diversity_loss": diversity, "preference_kl": masked_mean(divergence, batch.weight)}
        return loss, metrics
