"""PPO (Schulman et al., 2017, arXiv 1707.06347) with a vector critic: one value and one advantage an objective.

A learner has one preference at a time. The actor's advantage is the preference-weighted sum of the objectives'
advantages (Liu et al., 2025, C-MORL, section 4.1), standardised over the rollout. An update reads from top to bottom:
:meth:`PPO.update` weighs the objectives, :meth:`PPO.process_rollout` estimates advantages, :meth:`PPO.fit` passes over
the rollout in minibatches, and :meth:`PPO.loss` is equation 9. The parts of the loss are in :mod:`.losses`.

A kind of PPO with other networks or another loss of the actor overrides :meth:`PPO.networks`, :meth:`PPO.inputs`,
:meth:`PPO.update` and :meth:`PPO.actor_loss`, as :class:`morl.agents.d3po.algorithm.D3PO` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.ppo import losses
from morl.agents.ppo.config import PPOConfig
from morl.agents.ppo.types import Minibatch, Params, Policy, PPOLearning, ProcessedRollout
from morl.networks.images import ObservationEncoder, observation_encoder
from morl.ops import distributions, running_statistics
from morl.ops.initial import generator
from morl.ops.masking import mask_logits, masked_mean, standardise
from morl.ops.optimisers import in_float32
from morl.ops.returns import episode_over, gae, partial_returns, td_errors
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, PyTree, Transition
from morl.validation import schedule_length


@dataclass(frozen=True)
class PPO:
    """PPO learner; its state is of :class:`Params`, :class:`PPOLearning` and (B, R) partial returns for the episode.

    Attributes:
        config: settings.
        observation_space, action_space: of one environment.
        num_objectives: R.
        gamma: discount it learns at.
        total_updates: number of updates, which the learning rate is annealed over.
        action_mask: function from observations to allowed actions; those it forbids have probability 0.

    Raises:
        UserError: a space it cannot work with.
    """

    config: PPOConfig
    observation_space: Space[Any]
    action_space: Space[Any]
    num_objectives: int
    gamma: float
    total_updates: int
    action_mask: Features | None = None

    def __post_init__(self) -> None:
        distributions.for_space(self.action_space)
        _ = self.encoder

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    @property
    def actions(self) -> distributions.ActionDistribution:
        return distributions.for_space(self.action_space)

    @property
    def encoder(self) -> ObservationEncoder:
        return observation_encoder(self.observation_space, self.config.encoder)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        steps = self.total_updates * c.epochs * c.minibatches
        rate = optax.linear_schedule(c.learning_rate, 0.0, schedule_length(steps)) if c.anneal else c.learning_rate
        return in_float32(optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(rate, eps=1e-5)))

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner. Not to be called under ``jit``: its networks are NumPy's."""
        actor, critic = self.networks(generator(key))
        fresh = Policy(
            actor=actor,
            log_std=self.actions.initial_log_std(),
            obs_stats=self.encoder.init_stats(),
            critic=critic,
            return_stats=running_statistics.init(self.num_objectives),
        )
        return self.begin(fresh)

    def networks(self, rng: np.random.Generator) -> tuple[Any, Any]:
        """Return a fresh actor and critic, functions of :meth:`inputs`."""
        c = self.config
        network = partial(self.encoder.mlp, rng, c.hidden, activation=c.activation)
        return network(self.actions.num_outputs, output_scale=0.01), network(self.num_objectives, output_scale=1.0)

    def begin(self, policy: Policy) -> LearnerState:
        """Return a learner that starts from the policy of another one."""
        params, schedule = Params(policy.actor, policy.log_std, policy.critic), self.config.weight_schedule
        learning = PPOLearning(
            opt_state=self._optimiser.init(params),
            obs_stats=policy.obs_stats,
            return_stats=policy.return_stats,
            updates=jnp.int32(0),
            # low at the start, as a policy of little entropy is soon moved too far; it rises within an update
            kl_step_scale=None if self.config.target_kl is None else jnp.float32(0.1),
            step_factor=jnp.float32(1.0) if schedule == "hypervolume" else None,
            objective_weights=jnp.zeros(self.num_objectives, jnp.float32) if schedule == "gradient" else None,
        )
        return LearnerState(params, learning, episode=jnp.zeros((self.num_envs, self.num_objectives), jnp.float32))

    def policy(self, state: LearnerState) -> Policy:
        """Extract the acting and warm-start parameters."""
        actor, log_std, critic = state.params
        return Policy(actor, log_std, state.learning.obs_stats, critic, state.learning.return_stats)

    def with_step_factor(self, state: LearnerState, factor: jax.Array) -> LearnerState:
        """Return the learner with another factor () of the actor's steps, or learners (P, ...) with factors (P,)."""
        return state._replace(learning=state.learning._replace(step_factor=factor))

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B, ...) for observations (B, ...) and preferences (R,) or (B, R)."""
        output = self.output(policy, obs, preference)
        if greedy:
            return self.actions.mode(output, policy.log_std)
        return self.actions.sample(output, policy.log_std, key)

    def output(self, policy: Policy, obs: jax.Array, preference: jax.Array) -> jax.Array:
        """Return the actor's outputs (B, A) for observations (B, ...): means, or logits that are masked."""
        return self.masked(policy.actor(self.inputs(policy.obs_stats, obs, preference)), obs)

    def masked(self, output: jax.Array, obs: jax.Array) -> jax.Array:
        """Return logits with those of the actions that are forbidden at observations (B, ...) low."""
        return mask_logits(output, self._mask(obs))

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to those of the environment."""
        return self.actions.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B), for the preference (T, B, R) of each step."""
        weights = batch.preference * self.preference_scale(state.learning.return_stats)[None, None]
        state, rollout = self.process_rollout(state, batch)
        advantage = standardise(jnp.sum(weights * rollout.advantage, axis=-1), rollout.weight)
        return self.fit(state, rollout, advantage, key)

    def process_rollout(self, state: LearnerState, batch: Transition) -> tuple[LearnerState, ProcessedRollout]:
        """Estimate the advantages of a rollout (T, B), and update the running statistics.

        The likelihoods are by the statistics before the update, with which the policy acted.
        """
        learning: PPOLearning = state.learning
        # 1. scale the rewards by the deviation of the returns
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        carried, returns = partial_returns(batch.reward, over, self.gamma, state.episode)
        return_stats = running_statistics.update(learning.return_stats, returns, batch.valid)
        reward = batch.reward / self.reward_scale(return_stats)[None, None]
        # 2. estimate an advantage for each objective
        value, next_value = self.values(self.policy(state), batch)
        discount = jnp.where(batch.terminated, 0.0, jnp.float32(self.gamma))
        delta = jnp.where(batch.valid[..., None], td_errors(reward, discount, next_value, value), 0.0)
        # 3. recall the policy that acted
        inputs, mask = self.inputs(learning.obs_stats, batch.obs, batch.preference), self._mask(batch.obs)
        output = mask_logits(state.params.actor(inputs), mask)
        rollout = ProcessedRollout(
            inputs=inputs,
            action=batch.action,
            mask=mask,
            log_prob=self.actions.log_prob(output, state.params.log_std, batch.action),
            delta=delta,
            advantage=gae(delta, over, self.gamma, self.config.gae_lambda),
            value=value,
            weight=batch.valid.astype(jnp.float32),
        )
        obs_stats = self.encoder.update_stats(learning.obs_stats, batch.obs, batch.valid)
        learning = learning._replace(obs_stats=obs_stats, return_stats=return_stats, updates=learning.updates + 1)
        return state._replace(learning=learning, episode=carried), rollout

    def fit(
        self,
        state: LearnerState,
        rollout: ProcessedRollout,
        advantage: jax.Array,
        key: jax.Array,
        *,
        train_actor: bool = True,
        extra: PyTree = (),
    ) -> tuple[LearnerState, Metrics]:
        """Pass ``epochs`` times over a rollout in minibatches; return the learner and mean metrics.

        Args:
            state: the learner.
            rollout: result of :meth:`process_rollout`.
            advantage: (T, B, ...) as :meth:`actor_loss` takes it.
            key: of the order of the steps.
            train_actor: train actor and critic; else the critic alone.
            extra: arrays (T, B, ...) that :meth:`actor_loss` needs besides.
        """
        c = self.config
        target = rollout.advantage + rollout.value
        shared = {name: getattr(rollout, name) for name in ("inputs", "action", "mask", "log_prob", "weight")}
        steps = Minibatch(**shared, advantage=advantage, target=target, extra=extra)
        steps = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)

        Carry = tuple[Params, PyTree, jax.Array | None]

        def epoch(carry: Carry, inputs: tuple[jax.Array, jax.Array]) -> tuple[Carry, Metrics]:
            params, opt_state, scale = carry
            key_order, progress = inputs
            order = jax.random.permutation(key_order, steps.weight.shape[0]).reshape(c.minibatches, -1)
            factor = state.learning.step_factor if scale is None else scale  # never both
            step = partial(self._gradient_step, steps, factor, train_actor)
            (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), order)
            metrics = jax.tree.map(jnp.mean, metrics)
            if scale is not None and c.target_kl is not None:
                if train_actor:
                    scale = losses.next_kl_step_scale(scale, metrics["approx_kl"], c.target_kl * progress)
                metrics["kl_step_scale"] = scale
            return (params, opt_state, scale), metrics

        # share of the update at the middle of each epoch
        progress = (jnp.arange(c.epochs, dtype=jnp.float32) + 0.5) / c.epochs
        begin = state.params, state.learning.opt_state, state.learning.kl_step_scale
        (params, opt_state, scale), metrics = jax.lax.scan(epoch, begin, (jax.random.split(key, c.epochs), progress))
        learning = state.learning._replace(opt_state=opt_state, kl_step_scale=scale)
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics["explained_variance"] = losses.explained_variance(rollout.advantage, target, rollout.weight)
        return state._replace(params=params, learning=learning), metrics

    def _gradient_step(
        self,
        steps: Minibatch,
        actor_factor: jax.Array | None,
        train_actor: bool,
        carry: tuple[Params, PyTree],
        rows: jax.Array,
    ) -> tuple[tuple[Params, PyTree], Metrics]:
        """Take one step of Adam on the minibatch of these rows, the actor's ``actor_factor`` times as long."""
        params, opt_state = carry
        minibatch: Minibatch = jax.tree.map(lambda x: x[rows], steps)
        gradient, metrics = jax.grad(self.loss, has_aux=True)(params, minibatch, train_actor)
        updates: Any
        updates, opt_state = self._optimiser.update(gradient, opt_state, params)
        if actor_factor is not None:
            actor, log_std = jax.tree.map(lambda x: actor_factor * x, (updates.actor, updates.log_std))
            updates = updates._replace(actor=actor, log_std=log_std)
        return (optax.apply_updates(params, updates), opt_state), metrics

    def loss(self, params: Params, batch: Minibatch, train_actor: bool = True) -> tuple[jax.Array, Metrics]:
        """Return -L^CLIP + c_1 L^VF - c_2 S[π] (equation 9) and metrics; only c_1 L^VF without ``train_actor``."""
        c = self.config
        output = mask_logits(params.actor(batch.inputs), batch.mask)
        log_ratio = self.actions.log_prob(output, params.log_std, batch.action) - batch.log_prob
        actor_loss, parts = self.actor_loss(params, output, log_ratio, batch)
        critic_loss = losses.value_loss(params.critic(batch.inputs), batch.target, batch.weight)
        entropy = masked_mean(self.actions.entropy(output, params.log_std), batch.weight)
        loss = c.value_coefficient * critic_loss
        if train_actor:
            loss = loss + actor_loss - c.entropy_coefficient * entropy
        return loss, {
            "actor_loss": actor_loss,
            "critic_loss": critic_loss,
            "entropy": entropy,
            "approx_kl": losses.approximate_kl(log_ratio, batch.weight),
            "clip_fraction": masked_mean(jnp.abs(jnp.exp(log_ratio) - 1) > c.clip_eps, batch.weight),
            **parts,
        }

    def actor_loss(
        self, params: Params, output: jax.Array, log_ratio: jax.Array, batch: Minibatch
    ) -> tuple[jax.Array, Metrics]:
        """Return -L^CLIP (equation 7) of policies described by ``output`` (N, ...), and metrics of its parts."""
        return losses.clipped_surrogate_loss(log_ratio, batch.advantage, batch.weight, self.config.clip_eps), {}

    def values(self, policy: Policy, batch: Transition) -> tuple[jax.Array, jax.Array]:
        """Return the values (T, B, R) of the observations acted on and of the next ones, in scaled units."""
        inputs, following = (
            self.inputs(policy.obs_stats, obs, batch.preference) for obs in (batch.obs, batch.next_obs)
        )
        return policy.critic(inputs), policy.critic(following)

    def inputs(self, obs_stats: RunningStats, obs: jax.Array, preference: jax.Array) -> Any:
        """Return the networks' inputs for observations (..., *space.shape); the preference is none of them."""
        return self.features(obs_stats, obs)

    def features(self, obs_stats: RunningStats, obs: jax.Array) -> jax.Array:
        """Return observations (..., *space.shape) as features (..., F): encoded, and normalised unless one-hot."""
        features = self.encoder.encode(obs)
        if self.encoder.fixed or not self.config.normalise_observations:
            return features
        return running_statistics.normalise(obs_stats, features)

    def reward_scale(self, return_stats: RunningStats) -> jax.Array:
        """Return the divisor (R,) of the rewards: the deviation of the discounted returns, or 1.

        The mean is not subtracted: that would change what the length of an episode is worth.
        """
        if self.config.normalise_rewards:
            return running_statistics.deviation(return_stats)
        return jnp.ones_like(return_stats.mean)

    def preference_scale(self, return_stats: RunningStats) -> jax.Array:
        """Return the factor (R,) from a preference to weights of the scaled rewards' advantages."""
        if self.config.preference_units == "raw":
            return self.reward_scale(return_stats)
        return jnp.ones_like(return_stats.mean)

    def _mask(self, obs: jax.Array) -> jax.Array | None:
        return None if self.action_mask is None else self.action_mask(obs)
