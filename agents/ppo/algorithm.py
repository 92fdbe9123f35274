"""PPO with a vector critic: one value and one advantage per objective, one preference per learner.

Schulman et al. (2017) for the clipped surrogate; the actor's advantage is the preference-weighted sum of the
objectives' advantages (Liu et al., 2025, C-MORL, section 4.1), normalised over the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.cmorl import trust_region
from morl.agents.ppo.config import PPOConfig
from morl.networks import encoders
from morl.networks.mlp import MLP, mlp
from morl.ops import distributions, running_statistics
from morl.ops.returns import discounted_sum, td_error, traced
from morl.ops.running_statistics import RunningStats
from morl.types import PyTree, Transition


class Policy(NamedTuple):
    """What a learner leaves: what acting needs, and what another learner needs beside that to go on from it."""

    actor: MLP
    log_std: jax.Array
    obs_stats: RunningStats
    critic: MLP
    return_stats: RunningStats


class Params(NamedTuple):
    """What the optimiser moves."""

    actor: MLP
    log_std: jax.Array
    critic: MLP


class PPOState(NamedTuple):
    """One learner.

    Attributes:
        params: networks.
        opt_state: Adam's moments.
        obs_stats: running statistics of the observation features.
        return_stats: running statistics of the discounted return of each objective, (R,).
        discounted_return: (B, R) discounted sum of rewards of the episodes under way.
        preference: (R,) weights of the objectives.
        updates: () int32.
        kl_step_scale: () what the actor's steps are multiplied by; None without ``target_kl``.
    """

    params: Params
    opt_state: PyTree
    obs_stats: RunningStats
    return_stats: RunningStats
    discounted_return: jax.Array
    preference: jax.Array
    updates: jax.Array
    kl_step_scale: jax.Array | None


class Batch(NamedTuple):
    """What one gradient step needs, (N, ...)."""

    features: jax.Array
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    target: jax.Array
    weight: jax.Array
    mask: jax.Array | None


class ProcessedRollout(NamedTuple):
    """A rollout as a learner sees it, (T, B, ...).

    Attributes:
        features, action, mask: what was acted on, and how.
        log_prob: (T, B) of the actions, by the policy that acted.
        delta, advantage, value: (T, B, R), in units of the rewards as the critic gets them.
        weight: (T, B), 0 for what must not be learnt from.
    """

    features: jax.Array
    action: jax.Array
    log_prob: jax.Array
    delta: jax.Array
    advantage: jax.Array
    value: jax.Array
    weight: jax.Array
    mask: jax.Array | None


@dataclass(frozen=True)
class PPO:
    """The learner of :class:`PPOState`, for spaces it is made for. ``total_updates`` is for annealing only.

    With an ``action_mask`` of observations, actions it forbids have no likelihood.
    """

    config: PPOConfig
    observation_space: Space[Any]
    action_space: Space[Any]
    gamma: float
    total_updates: int
    action_mask: Callable[[jax.Array], jax.Array] | None = None

    def __post_init__(self) -> None:
        distributions.for_space(self.action_space)
        encoders.encoder(self.observation_space)

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    @property
    def _actions(self) -> distributions.ActionDistribution:
        return distributions.for_space(self.action_space)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        steps = self.total_updates * c.epochs * c.minibatches
        rate = optax.linear_schedule(c.learning_rate, 0.0, steps) if c.anneal else c.learning_rate
        return optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(rate, eps=1e-5))

    def init(self, key: jax.Array, preference: jax.Array) -> PPOState:
        """A fresh learner for one preference (R,)."""
        c = self.config
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        size = encoders.encoder(self.observation_space).size
        num_objectives = preference.shape[0]
        fresh = Policy(
            actor=mlp(rng, (size, *c.hidden, self._actions.num_outputs), c.activation, output_scale=0.01),
            log_std=self._actions.initial_log_std(),
            obs_stats=running_statistics.init(size),
            critic=mlp(rng, (size, *c.hidden, num_objectives), c.activation, output_scale=1.0),
            return_stats=running_statistics.init(num_objectives),
        )
        return self.begin(fresh, preference)

    def begin(self, policy: Policy, preference: jax.Array) -> PPOState:
        """A learner that goes on from what another left, for a preference (R,)."""
        params = Params(policy.actor, policy.log_std, policy.critic)
        return PPOState(
            params=params,
            opt_state=self._optimiser.init(params),
            obs_stats=policy.obs_stats,
            return_stats=policy.return_stats,
            discounted_return=jnp.zeros((self.config.num_envs, preference.shape[0])),
            preference=preference,
            updates=jnp.int32(0),
            # it rises within an update where it can; a policy that is sure of itself is soon moved too far
            kl_step_scale=None if self.config.target_kl is None else jnp.float32(0.1),
        )

    def policy(self, state: PPOState) -> Policy:
        """What is left of a learner."""
        actor, log_std, critic = state.params
        return Policy(actor, log_std, state.obs_stats, critic, state.return_stats)

    def restarted(self, state: PPOState) -> PPOState:
        """Without the episodes under way."""
        return state._replace(discounted_return=jnp.zeros_like(state.discounted_return))

    def learnt(self, state: PPOState) -> Params:
        """What gradients move."""
        return state.params

    def undone(self, before: PPOState, after: PPOState) -> PPOState:
        """As before, but for the episodes under way, which went on."""
        return before._replace(discounted_return=after.discounted_return)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Actions for a batch of observations. The preference is not looked at: each policy was trained for its own."""
        output = _masked(policy.actor(self._features(policy.obs_stats, obs)), self._mask(obs))
        if greedy:
            return self._actions.mode(output, policy.log_std)
        return self._actions.sample(output, policy.log_std, key)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Actions as the environment takes them."""
        return self._actions.to_env(action)

    def values(self, policy: Policy, batch: Transition) -> tuple[jax.Array, jax.Array]:
        """Values (T, B, R) of what was acted on and of what followed, in units of rewards as the critic gets them."""
        features, next_features = (self._features(policy.obs_stats, obs) for obs in (batch.obs, batch.next_obs))
        return policy.critic(features), policy.critic(next_features)

    def update(
        self, state: PPOState, batch: Transition, key: jax.Array, weights: jax.Array | None = None
    ) -> tuple[PPOState, dict[str, jax.Array]]:
        """Learn from one rollout (T, B) by ``epochs`` passes over it; scalar metrics.

        Args:
            state: the learner.
            batch: the rollout.
            key: of the minibatches.
            weights: (R,) or (T, B, R) of the objectives' temporal differences in the actor's advantage; by default the
                preference.
        """
        state, look = self.look(state, batch)
        if weights is None:
            weights = state.preference * self.unit(state.return_stats) / self.preference_unit(state.return_stats)
        weighed = look.delta * weights
        actors = traced(weighed.sum(axis=-1, keepdims=True), _over(batch), self.gamma * self.config.gae_lambda)[..., 0]
        return self.fit(state, look, _standardise(actors, batch.valid), key)

    def unit(self, return_stats: RunningStats) -> jax.Array:
        """(R,) what the critic's rewards are divided by.

        A scale only: moving the mean of a reward would change what an episode's length is worth.
        """
        one = jnp.ones_like(return_stats.mean)
        return running_statistics.deviation(return_stats) if self.config.normalise_rewards else one

    def preference_unit(self, return_stats: RunningStats) -> jax.Array:
        """(R,) as much of each objective as a preference weighs as one."""
        unit = self.unit(return_stats)
        return jnp.ones_like(unit) if self.config.preference_units == "raw" else unit

    def look(self, state: PPOState, batch: Transition) -> tuple[PPOState, ProcessedRollout]:
        """A rollout (T, B) as the learner sees it, and the learner with its running statistics brought up to date."""
        c = self.config
        done = _over(batch)
        carried, returns = discounted_sum(batch.reward, done, state.discounted_return, self.gamma)
        return_stats = running_statistics.update(state.return_stats, returns, batch.valid)
        reward = batch.reward / self.unit(return_stats)
        value, next_value = self.values(self.policy(state), batch)
        delta = td_error(reward, value, next_value, batch.terminated, self.gamma)
        delta = jnp.where(batch.valid[..., None], delta, 0.0)
        features = self._features(state.obs_stats, batch.obs)
        mask = self._mask(batch.obs)
        output = _masked(state.params.actor(features), mask)
        look = ProcessedRollout(
            features=features,
            action=batch.action,
            log_prob=self._actions.log_prob(output, state.params.log_std, batch.action),
            delta=delta,
            advantage=traced(delta, done, self.gamma * c.gae_lambda),
            value=value,
            weight=batch.valid.astype(jnp.float32),
            mask=mask,
        )
        encode = encoders.encoder(self.observation_space).encode
        return state._replace(
            # only now, so that the likelihoods above are those of the policy that acted
            obs_stats=running_statistics.update(state.obs_stats, encode(batch.obs), batch.valid),
            return_stats=return_stats,
            discounted_return=carried,
            updates=state.updates + 1,
        ), look

    def outlook(
        self, params: Params, look: ProcessedRollout, advantage: jax.Array
    ) -> Callable[[tuple[MLP, jax.Array]], trust_region.SurrogateEstimate]:
        """What an actor and its ``log_std`` promise, by a rollout of ``params`` and its advantages (T, B, R)."""
        before = _masked(params.actor(look.features), look.mask)
        weight = look.weight[..., None]
        number = jnp.maximum(weight.sum(), 1.0)
        centred = (advantage - (advantage * weight).sum(axis=(0, 1)) / number) * weight

        def of(policy: tuple[MLP, jax.Array]) -> trust_region.SurrogateEstimate:
            actor, log_std = policy
            output = _masked(actor(look.features), look.mask)
            ratio = jnp.exp(self._actions.log_prob(output, log_std, look.action) - look.log_prob)
            divergence = self._actions.divergence(before, params.log_std, output, log_std)
            return trust_region.SurrogateEstimate(
                gains=(ratio[..., None] * centred).sum(axis=(0, 1)) / number,
                divergence=_mean(divergence, look.weight),
            )

        return of

    def fit(
        self, state: PPOState, look: ProcessedRollout, advantage: jax.Array, key: jax.Array, *, actor: bool = True
    ) -> tuple[PPOState, dict[str, jax.Array]]:
        """Passes over a rollout with an advantage (T, B) for the actor; without ``actor`` the critic learns alone."""
        c = self.config
        flat = jax.tree.map(
            lambda x: x.reshape(-1, *x.shape[2:]),
            Batch(
                features=look.features,
                action=look.action,
                log_prob=look.log_prob,
                advantage=advantage,
                target=look.advantage + look.value,
                weight=look.weight,
                mask=look.mask,
            ),
        )

        Carry = tuple[Params, PyTree, jax.Array | None]

        def epoch(carry: Carry, step: tuple[jax.Array, jax.Array]) -> tuple[Carry, dict[str, jax.Array]]:
            params, opt_state, kl_step_scale = carry
            key, share_done = step
            order = jax.random.permutation(key, flat.weight.shape[0]).reshape(c.minibatches, -1)
            (params, opt_state), metrics = jax.lax.scan(
                lambda carry, rows: self._minibatch(*carry, _take(flat, rows), actor, kl_step_scale),
                (params, opt_state),
                order,
            )
            metrics = jax.tree.map(jnp.mean, metrics)
            if kl_step_scale is not None and c.target_kl is not None:
                if actor:
                    kl_step_scale = next_kl_step_scale(kl_step_scale, metrics["approx_kl"], c.target_kl * share_done)
                metrics["kl_step_scale"] = kl_step_scale
            return (params, opt_state, kl_step_scale), metrics

        # by the middle of each, the share of the update that is done
        share_done = (jnp.arange(c.epochs) + 0.5) / c.epochs
        (params, opt_state, kl_step_scale), metrics = jax.lax.scan(
            epoch, (state.params, state.opt_state, state.kl_step_scale), (jax.random.split(key, c.epochs), share_done)
        )
        weight = look.weight[..., None]
        unexplained = _variance(look.advantage, weight) / (_variance(look.advantage + look.value, weight) + 1e-8)
        return state._replace(params=params, opt_state=opt_state, kl_step_scale=kl_step_scale), {
            **jax.tree.map(jnp.mean, metrics),
            "explained_variance": jnp.mean(jnp.maximum(1.0 - unexplained, -1.0)),
        }

    def _minibatch(
        self, params: Params, opt_state: PyTree, batch: Batch, actor: bool, kl_step_scale: jax.Array | None
    ) -> tuple[tuple[Params, PyTree], dict[str, jax.Array]]:
        """One step of Adam."""
        gradient, metrics = jax.grad(self._loss, has_aux=True)(params, batch, actor)
        updates: Any
        updates, opt_state = self._optimiser.update(gradient, opt_state, params)
        if kl_step_scale is not None:
            smaller = jax.tree.map(lambda x: kl_step_scale * x, (updates.actor, updates.log_std))
            updates = updates._replace(actor=smaller[0], log_std=smaller[1])
        return (optax.apply_updates(params, updates), opt_state), metrics

    def _loss(self, params: Params, batch: Batch, actor: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Clipped surrogate (Schulman et al., 2017, eq. 9) with a squared error for each objective's value."""
        c = self.config
        output = _masked(params.actor(batch.features), batch.mask)
        log_ratio = self._actions.log_prob(output, params.log_std, batch.action) - batch.log_prob
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - c.clip_eps, 1 + c.clip_eps)
        actor_loss = -_mean(jnp.minimum(ratio * batch.advantage, clipped * batch.advantage), batch.weight)
        error = params.critic(batch.features) - batch.target
        critic_loss = 0.5 * _mean(jnp.mean(error**2, axis=-1), batch.weight)
        entropy = _mean(self._actions.entropy(output, params.log_std), batch.weight)
        loss = c.value_coefficient * critic_loss
        if actor:
            loss = loss + actor_loss - c.entropy_coefficient * entropy
        return loss, {
            "actor_loss": actor_loss,
            "critic_loss": critic_loss,
            "entropy": entropy,
            "approx_kl": _mean(ratio - 1 - log_ratio, batch.weight),  # Schulman's k3 estimator
            "clip_fraction": _mean(jnp.abs(ratio - 1) > c.clip_eps, batch.weight),
        }

    def _mask(self, obs: jax.Array) -> jax.Array | None:
        return None if self.action_mask is None else self.action_mask(obs)

    def _features(self, stats: RunningStats, obs: jax.Array) -> jax.Array:
        encoder = encoders.encoder(self.observation_space)
        features = encoder.encode(obs)
        as_is = encoder.one_hot or not self.config.normalise_observations
        return features if as_is else running_statistics.normalise(stats, features)


def next_kl_step_scale(kl_step_scale: jax.Array, divergence: jax.Array, due: jax.Array) -> jax.Array:
    """What an actor's steps are multiplied by from here on, where they have come to a divergence and ``due`` was meant.

    By 1.5 more or less where it is not within a factor of 2, as in legged locomotion's PPO (Rudin et al., 2022), but
    within an update by the share of it that is due, and never above 1: the learning rate is the most there is.
    """
    factor = jnp.where(divergence > 2 * due, 1 / 1.5, jnp.where(divergence < due / 2, 1.5, 1.0))
    return jnp.clip(kl_step_scale * factor, 1e-3, 1.0)


def _over(batch: Transition) -> jax.Array:
    """(T, B), nothing later belongs to the same episode; a step that was lost belongs to none."""
    return batch.terminated | batch.truncated | ~batch.valid


def _masked(logits: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Logits that no softmax can tell from minus infinity where the mask is 0."""
    return logits if mask is None else jnp.where(mask > 0, logits, -1e9)


def _take(batch: Batch, rows: jax.Array) -> Batch:
    taken: Batch = jax.tree.map(lambda x: x[rows], batch)
    return taken


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def _variance(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Of each of R columns over (T, B)."""
    number = jnp.maximum(weight.sum(), 1.0)
    mean = (x * weight).sum(axis=(0, 1)) / number
    return ((x - mean) ** 2 * weight).sum(axis=(0, 1)) / number


def _standardise(x: jax.Array, valid: jax.Array) -> jax.Array:
    mean = _mean(x, valid)
    return (x - mean) / (jnp.sqrt(_mean((x - mean) ** 2, valid)) + 1e-8)
