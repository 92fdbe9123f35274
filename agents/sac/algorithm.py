"""Soft actor-critic with a vector critic and the preference as an input, for discrete or continuous actions.

Haarnoja et al. (2018, arXiv 1812.05905), and Christodoulou (2019, arXiv 1910.07207) for discrete actions; Yang et al.
(2025, arXiv 2509.10474) for one policy for all preferences. Critics have a value for each objective and are scalarised
outside, so that a transition can be learnt from for any preference. :meth:`SAC.update` stores a rollout and takes
gradient steps; :meth:`SAC.gradient_step` reads from top to bottom like the published algorithm. The losses are in
:mod:`.losses`, what differs between discrete and continuous actions in :mod:`.action_space`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.sac import losses
from morl.agents.sac.action_space import ActionSpace, PolicyActions, for_space
from morl.agents.sac.config import SACConfig
from morl.agents.sac.networks import NetworkInput, Networks
from morl.agents.sac.types import Batch, Params, Policy, ReplayRow, SACLearning
from morl.ops import replay, running_statistics, scalarisation
from morl.ops.initial import generator, stacked
from morl.ops.masking import masked_mean
from morl.ops.optimisers import in_float32
from morl.ops.preferences import dirichlet
from morl.ops.replay import Replay
from morl.ops.returns import at_last_step, episode_over, n_step_returns, partial_returns
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, PyTree, Transition
from morl.validation import schedule_length


@dataclass(frozen=True)
class SAC:
    """Soft actor-critic learner.

    Its state is of :class:`Params`, :class:`SACLearning`, (B, R) partial returns of the episodes, and a ring of
    :class:`ReplayRow`.

    Attributes:
        config: settings.
        observation_space, action_space: of one environment.
        num_objectives: R.
        gamma: discount it learns at.
        total_updates: number of updates, which the learning rate is annealed over.
        action_mask, action_features: as in :class:`morl.types.Task`.

    Raises:
        UserError: a space, or a kind of network, that it cannot work with.
    """

    config: SACConfig
    observation_space: Space[Any]
    action_space: Space[Any]
    num_objectives: int
    gamma: float
    total_updates: int
    action_mask: Features | None = None
    action_features: Features | None = None

    def __post_init__(self) -> None:
        _ = self.networks  # checks the spaces

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    @cached_property
    def actions(self) -> ActionSpace:
        """Return the family of policies."""
        return for_space(self.action_space)

    @cached_property
    def networks(self) -> Networks:
        """Return the networks of actor and critics."""
        c = self.config
        return Networks(
            kind=c.network,
            hidden=c.hidden,
            channels=c.channels,
            blocks=c.blocks,
            preference_input=c.preference_input,
            mask_actions=c.mask_actions,
            num_objectives=self.num_objectives,
            observation_space=self.observation_space,
            actions=self.actions,
            action_mask=self.action_mask,
            action_features=self.action_features,
        )

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        steps = self.total_updates * c.gradient_steps
        rate = optax.linear_schedule(c.learning_rate, 0.0, schedule_length(steps)) if c.anneal else c.learning_rate
        return in_float32(optax.chain(clip_each_by_norm(c.max_grad_norm), optax.adam(rate, eps=1e-5)))

    @property
    def replay_row(self) -> ReplayRow:
        """Return the shapes of one stored transition."""
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), self.observation_space.dtype)
        vector = jax.ShapeDtypeStruct((self.num_objectives,), jnp.float32)
        discount, flag = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_)
        return ReplayRow(obs, self.actions.recorded, vector, obs, flag, discount, flag, vector)

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner."""
        c = self.config
        rng = generator(key)
        actor = self.networks.init_actor(rng)
        twins = [self.networks.init_critic(rng) for _ in range(2)]
        critics = jax.tree.map(stacked, *twins)
        params = Params(actor, critics, jnp.float32(np.log(c.temperature)))
        learning = SACLearning(
            targets=jax.tree.map(lambda x: x.copy(), critics),
            opt_state=self._optimiser.init(params),
            obs_stats=self.networks.init_stats(),
            return_stats=running_statistics.init(self.num_objectives),
            utopia=jnp.full(self.num_objectives, -jnp.inf, jnp.float32),
            updates=jnp.int32(0),
        )
        partial_return = jnp.zeros((c.num_envs, self.num_objectives), jnp.float32)
        return LearnerState(params, learning, partial_return, replay.empty(c.replay_capacity, self.replay_row))

    def policy(self, state: LearnerState) -> Policy:
        """Extract the parameters that acting needs."""
        return Policy(state.params.actor, state.learning.obs_stats)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        inputs = self.networks.inputs(policy.obs_stats, obs)
        output = self.networks.actor_output(policy.actor, inputs, preference)
        return self.actions.mode(output) if greedy else self.actions.sample(output, key)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        return self.actions.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Store one rollout (T, B), and take gradient steps once ``learning_starts`` transitions are stored."""
        c = self.config
        state = self._store(state, batch)

        def step(carry: tuple[Params, SACLearning], key: jax.Array) -> tuple[tuple[Params, SACLearning], Metrics]:
            return self.gradient_step(*carry, state.replay, key)

        before = state.params, state.learning
        after, metrics = jax.lax.scan(step, before, jax.random.split(key, c.gradient_steps))
        ready = state.replay.filled >= min(c.learning_starts, c.replay_capacity)
        params, learning = jax.tree.map(partial(jnp.where, ready), after, before)
        return state._replace(params=params, learning=learning), jax.tree.map(jnp.mean, metrics)

    def _store(self, state: LearnerState, batch: Transition) -> LearnerState:
        """Add a rollout (T, B) to the replay, its observations and returns to the running statistics."""
        learning: SACLearning = state.learning
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        partial_return, returns = partial_returns(batch.reward, over, self.gamma, state.episode)
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), self.replay_rows(batch))
        learning = learning._replace(
            obs_stats=self.networks.update_stats(learning.obs_stats, batch.obs, batch.valid),
            return_stats=running_statistics.update(learning.return_stats, returns, batch.valid),
            updates=learning.updates + 1,
        )
        return LearnerState(state.params, learning, partial_return, replay.add(state.replay, rows))

    def replay_rows(self, batch: Transition) -> ReplayRow:
        """Return the transitions (T, B) of up to ``n_step`` steps that a rollout is stored as."""
        n = self.config.n_step
        sums = n_step_returns(batch.reward, batch.terminated, batch.truncated, batch.valid, self.gamma, n)
        next_obs, terminated = at_last_step((batch.next_obs, batch.terminated), sums.num_steps, n)
        return ReplayRow(
            obs=batch.obs,
            action=batch.action,
            reward=sums.returns,
            next_obs=next_obs,
            terminated=terminated,
            discount=sums.discount,
            valid=batch.valid,
            preference=batch.preference,
        )

    def gradient_step(
        self, params: Params, learning: SACLearning, stored: Replay, key: jax.Array
    ) -> tuple[tuple[Params, SACLearning], Metrics]:
        """Take one step of Adam for critics, actor and temperature, and move the target networks after the critics."""
        key_batch, key_next, key_action = jax.random.split(key, 3)
        batch = self._sample(learning, stored, key_batch)

        # 1. the target of both critics
        target = self._critic_target(params, learning, batch, key_next)

        # 2. the gradient of each loss for its own parameters, all at the parameters of before
        critic_loss, critic_gradient = jax.value_and_grad(self._critic_loss)(params.critics, batch, target)
        actor_loss_of = jax.value_and_grad(self._actor_loss, has_aux=True)
        (actor_loss, (policy, worth)), actor_gradient = actor_loss_of(params.actor, params, learning, batch, key_action)
        temperature_gradient = jnp.zeros_like(params.log_temperature)
        if self.config.learn_temperature:
            temperature_gradient = jax.grad(losses.temperature_loss)(params.log_temperature, policy, batch.weight)
        gradients = Params(actor_gradient, critic_gradient, temperature_gradient)

        # 3. one step of Adam for each, then of the target networks
        changes, opt_state = self._optimiser.update(gradients, learning.opt_state, params)
        after: Params = optax.apply_updates(params, changes)
        learning = learning._replace(
            targets=optax.incremental_update(after.critics, learning.targets, self.config.tau),
            opt_state=opt_state,
            utopia=next_utopia(learning.utopia, target, batch.weight),
        )
        metrics = {
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "entropy": masked_mean(policy.entropy, batch.weight),
            "temperature": jnp.exp(params.log_temperature),
            "value": masked_mean(policy.expectation(worth), batch.weight),
        }
        return (after, learning), metrics

    def _sample(self, learning: SACLearning, stored: Replay, key: jax.Array) -> Batch:
        """Return sampled transitions, half of them for random preferences where ``relabel_preferences`` is set."""
        c = self.config
        key_rows, key_preferences, key_relabelled = jax.random.split(key, 3)
        rows: ReplayRow = replay.sample(stored, key_rows, c.batch_size)
        preference = rows.preference
        if c.relabel_preferences:
            drawn = dirichlet(key_preferences, self.num_objectives, c.batch_size)
            relabelled = jax.random.bernoulli(key_relabelled, jnp.float32(0.5), (c.batch_size, 1))
            preference = jnp.where(relabelled, drawn, preference)
        return Batch(
            inputs=self.networks.inputs(learning.obs_stats, rows.obs),
            next_inputs=self.networks.inputs(learning.obs_stats, rows.next_obs),
            action=rows.action,
            reward=rows.reward * self.reward_scales(learning.return_stats)[None],
            discount=rows.discount,
            terminated=rows.terminated,
            weight=rows.valid.astype(jnp.float32),
            preference=preference,
        )

    def _critic_target(self, params: Params, learning: SACLearning, batch: Batch, key: jax.Array) -> jax.Array:
        """Return the targets (N, R) of both critics."""
        policy = self._policy_actions(params.actor, batch.next_inputs, batch.preference, key)
        values = self._twin_values(learning.targets, batch.next_inputs, policy.action, batch.preference)
        least = losses.least_by_worth(values, self._scalarise(batch, learning))
        next_value = losses.soft_value(policy, least, jnp.exp(params.log_temperature))
        return losses.critic_target(batch.reward, batch.discount, batch.terminated, next_value)

    def _critic_loss(self, critics: PyTree, batch: Batch, target: jax.Array) -> jax.Array:
        values = self._twin_values(critics, batch.inputs, batch.action, batch.preference)
        return losses.critic_loss(self.actions.value_of(values, batch.action), target, batch.weight)

    def _actor_loss(
        self, actor: PyTree, params: Params, learning: SACLearning, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PolicyActions, jax.Array]]:
        """Return the loss, the actions it is over and their worth (N, K)."""
        policy = self._policy_actions(actor, batch.inputs, batch.preference, key)
        values = self._twin_values(params.critics, batch.inputs, policy.action, batch.preference)
        scalarise = self._scalarise(batch, learning)
        worth = scalarise(losses.least_by_worth(values, scalarise))
        loss = losses.actor_loss(policy, worth, jnp.exp(params.log_temperature), batch.weight)
        return loss, (policy, worth)

    def _policy_actions(
        self, actor: PyTree, inputs: NetworkInput, preference: jax.Array, key: jax.Array
    ) -> PolicyActions:
        output = self.networks.actor_output(actor, inputs, preference)
        return self.actions.policy_actions(output, key, self.config.target_entropy)

    def _twin_values(
        self, critics: PyTree, inputs: NetworkInput, action: jax.Array | None, preference: jax.Array
    ) -> jax.Array:
        """Return the values (2, N, K, R) of all actions, or of the given ones, by both critics."""
        return jax.vmap(self.networks.critic_values, (0, None, None, None))(critics, inputs, action, preference)

    def _scalarise(self, batch: Batch, learning: SACLearning) -> losses.Scalarise:
        """Return the function from values (N, K, R) to their worth (N, K) for the preferences of a batch."""
        weights = batch.preference[:, None, :]
        if self.config.scalarisation == "linear":
            return partial(scalarisation.linear, weights=weights)
        utopia = jnp.where(jnp.isfinite(learning.utopia), learning.utopia, 0.0)[None, None, :]
        return partial(scalarisation.tchebycheff, weights=weights, utopia=utopia)

    def reward_scales(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) of the rewards."""
        if self.config.objective_scales is not None:
            return jnp.asarray(self.config.objective_scales, jnp.float32)
        return 1.0 / running_statistics.deviation(return_stats)


def clip_each_by_norm(max_norm: float) -> optax.GradientTransformation:
    """Return a transformation that clips the gradient of each field of :class:`Params` to a norm of its own.

    Followed by one Adam it is three optimisers, as Adam treats every number by itself, in fewer kernels.
    """
    clip = optax.clip_by_global_norm(max_norm)

    def update(gradients: Params, state: PyTree, params: PyTree = None) -> tuple[Params, PyTree]:
        return Params(*(clip.update(gradient, optax.EmptyState())[0] for gradient in gradients)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def next_utopia(utopia: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the best value (R,) after the targets (N, R) of a gradient step.

    It rises at once and falls by a hundredth of the distance, as early estimates may be far too high.

    Args:
        utopia: (R,), -inf before the first targets.
        target: (N, R).
        weight: (N,) 0 for targets to leave out.
    """
    best = jnp.max(jnp.where(weight[:, None] > 0, target, -jnp.inf), axis=0)
    previous = jnp.where(jnp.isfinite(utopia), utopia, best)
    best = jnp.where(jnp.isfinite(best), best, previous)
    return jnp.maximum(best, 0.99 * previous + 0.01 * best)
