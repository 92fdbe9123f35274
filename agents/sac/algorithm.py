"""Soft actor-critic with a vector critic and the preference as an input, for discrete or continuous actions.

Haarnoja et al. (2018, arXiv 1812.05905), and Christodoulou (2019, arXiv 1910.07207) for discrete actions; Yang et al.
(2025, arXiv 2509.10474) for one policy for all preferences. Critics have a value for each objective and are scalarised
outside, so that a transition can be learnt from for any preference. :meth:`SAC.update` stores a rollout and takes
gradient steps; :meth:`SAC.gradient_step` reads from top to bottom like the published algorithm. The losses are in
:mod:`.losses`, what differs between discrete and continuous actions in :mod:`.action_space`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.sac import losses
from morl.agents.sac.action_space import ActionSpace, PolicyActions, for_space
from morl.agents.sac.chunks import in_chunks
from morl.agents.sac.config import SACConfig
from morl.agents.sac.draws import drawn
from morl.agents.sac.improvement import improved_action
from morl.agents.sac.networks import NetworkInput, Networks
from morl.agents.sac.replay_rows import n_step_rows, row_shapes
from morl.agents.sac.types import Batch, CriticFit, Draw, Fit, MeanFit, Params, Policy, ReplayRow, SACLearning
from morl.agents.sac.updates import next_utopia, optimiser
from morl.networks.bodies import with_moments
from morl.ops import replay, running_statistics, scalarisation
from morl.ops.initial import generator, stacked
from morl.ops.masking import masked_mean
from morl.ops.replay import Replay
from morl.ops.returns import episode_over, partial_returns
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, PyTree, Transition

Trained = tuple[Params, SACLearning, jax.Array | None]
"""Parameters, what else is learnt, and the priorities of stored transitions: all that a gradient step changes."""

LEAST_ERROR = 0.01  # by which a stored transition is drawn at least, in units of scaled rewards (Alegre et al., 2023)


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
        batch_axis: axis of the two devices that halves of a batch are learnt from on; None for one device.

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
    batch_axis: str | None = None

    def __post_init__(self) -> None:
        _ = self.networks  # checks the spaces

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    def with_batch_axis(self, axis: str) -> SAC:
        """Return the learner for two devices, see :class:`morl.types.SharesBatches`."""
        return replace(self, batch_axis=axis)

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
            encoder_kind=c.encoder,
            hidden=c.hidden,
            channels=c.channels,
            blocks=c.blocks,
            critic_network=c.critic_network,
            critic_hidden=c.widths_of_critics,
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
        return optimiser(self.config, self.total_updates)

    @property
    def replay_row(self) -> ReplayRow:
        """Return the shapes of one stored transition."""
        return row_shapes(self.observation_space, self.actions.recorded, self.num_objectives)

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner."""
        c = self.config
        rng = generator(key)
        actor = self.networks.init_actor(rng)
        twins = [self.networks.init_critic(rng) for _ in range(2)]
        critics = jax.tree.map(stacked, *twins)
        params = Params(actor, critics, jnp.float32(np.log(c.temperature)))
        learning = SACLearning(
            targets=jax.tree.map(lambda x: x.copy(), critics) if c.target_networks else None,
            opt_state=self._optimiser.init(params),
            obs_stats=self.networks.init_stats(),
            return_stats=running_statistics.init(self.num_objectives),
            utopia=jnp.full(self.num_objectives, -jnp.inf, jnp.float32),
            updates=jnp.int32(0),
        )
        partial_return = jnp.zeros((c.num_envs, self.num_objectives), jnp.float32)
        stored = replay.empty(c.replay_capacity, self.replay_row, prioritised=c.prioritised_replay)
        return LearnerState(params, learning, partial_return, stored)

    def policy(self, state: LearnerState) -> Policy:
        """Extract the parameters that acting needs."""
        critics = state.params.critics if self.config.gpi_preferences else None
        return Policy(state.params.actor, state.learning.obs_stats, critics)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        inputs, c = self.networks.inputs(policy.obs_stats, obs), self.config
        if greedy and c.gpi_preferences and c.gpi_evaluation:
            return improved_action(self.networks, self.actions, policy, inputs, preference, c.gpi_preferences)
        output = self.networks.actor_output(policy.actor, inputs, preference)
        return self.actions.mode(output) if greedy else self.actions.sample(output, key)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        return self.actions.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Store one rollout (T, B), and take gradient steps once ``learning_starts`` transitions are stored."""
        c = self.config
        state = self._store(state, batch)

        def step(carry: Trained, key: jax.Array) -> tuple[Trained, Metrics]:
            params, learning, priorities = carry
            return self.gradient_step(params, learning, state.replay._replace(priorities=priorities), key)

        before = state.params, state.learning, state.replay.priorities
        after, metrics = jax.lax.scan(step, before, jax.random.split(key, c.steps_of_gradient))
        ready = state.replay.filled >= min(c.learning_starts, c.replay_capacity)
        params, learning, priorities = jax.tree.map(partial(jnp.where, ready), after, before)
        stored = state.replay._replace(priorities=priorities)
        return state._replace(params=params, learning=learning, replay=stored), jax.tree.map(jnp.mean, metrics)

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
        return LearnerState(state.params, learning, partial_return, replay.add(state.replay, rows, rows.valid))

    def replay_rows(self, batch: Transition) -> ReplayRow:
        """Return the transitions (T, B) of up to ``n_step`` steps that a rollout is stored as."""
        return n_step_rows(batch, self.gamma, self.config.n_step)

    def gradient_step(
        self, params: Params, learning: SACLearning, stored: Replay, key: jax.Array
    ) -> tuple[Trained, Metrics]:
        """Take one step of Adam for critics, actor and temperature, and move the target networks after the critics."""
        key_batch, *keys = jax.random.split(key, 3)
        draw = drawn(self.config, self.num_objectives, stored, key_batch)

        # 1. the gradient of each loss for its own parameters, all at the parameters of before
        fit_of = partial(self._fit, params, learning, stored.rows)
        fit = in_chunks(fit_of, draw, keys, self.networks.chunk_size(self.config.batch_size), self.batch_axis)

        # 2. one step of Adam for each, then of the target networks
        changes, opt_state = self._optimiser.update(fit.mean.gradients, learning.opt_state, params)
        after: Params = optax.apply_updates(params, changes)
        if fit.moments:
            after = after._replace(critics=with_moments(after.critics, fit.moments, lambda critics: critics.body.norms))
        if learning.targets is not None:
            targets = optax.incremental_update(after.critics, learning.targets, self.config.tau)
            learning = learning._replace(targets=targets)
        utopia = next_utopia(learning.utopia, fit.target, fit.weight)
        learning = learning._replace(opt_state=opt_state, utopia=utopia)
        if draw.importance is not None:
            priority = jnp.maximum(fit.error, LEAST_ERROR) ** jnp.float32(self.config.priority_exponent)
            stored = replay.with_priorities(stored, draw.place, priority)
        return (after, learning, stored.priorities), fit.mean.metrics

    def _fit(
        self, params: Params, learning: SACLearning, rows: ReplayRow, draw: Draw, keys: Sequence[jax.Array]
    ) -> Fit:
        """Return the gradients of the losses over drawn transitions, and what else comes of them."""
        batch = self._batch(learning, rows, draw)
        key_next, key_action = keys

        # 1. the actions that follow, which the critics' target is over
        following = self._policy_actions(params.actor, batch.next_inputs, batch.preference, key_next)

        # 2. the gradient of each loss for its own parameters
        critic_loss_of = jax.value_and_grad(self._critic_loss, has_aux=True)
        (critic_loss, fit), critic_gradient = critic_loss_of(params.critics, params, learning, batch, following)
        actor_loss_of = jax.value_and_grad(self._actor_loss, has_aux=True)
        (actor_loss, (policy, worth)), actor_gradient = actor_loss_of(params.actor, params, learning, batch, key_action)
        temperature_gradient = jnp.zeros_like(params.log_temperature)
        if self.config.learn_temperature:
            temperature_gradient = jax.grad(losses.temperature_loss)(params.log_temperature, policy, batch.weight)
        metrics = {
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "entropy": masked_mean(policy.entropy, batch.weight),
            "temperature": jnp.exp(params.log_temperature),
            "value": masked_mean(policy.expectation(worth), batch.weight),
        }
        gradients = Params(actor_gradient, critic_gradient, temperature_gradient)
        return Fit(MeanFit(gradients, metrics), batch.weight, fit.target, fit.error, fit.moments)

    def _batch(self, learning: SACLearning, stored: ReplayRow, draw: Draw) -> Batch:
        """Return drawn transitions as the losses need them."""
        rows: ReplayRow = replay.rows_at(stored, draw.place)
        preference = rows.preference
        if draw.preference is not None and draw.relabelled is not None:
            preference = jnp.where(draw.relabelled, draw.preference, preference)
        return Batch(
            inputs=self.networks.inputs(learning.obs_stats, rows.obs),
            next_inputs=self.networks.inputs(learning.obs_stats, rows.next_obs),
            action=rows.action,
            reward=rows.reward * self.reward_scales(learning.return_stats)[None],
            discount=rows.discount,
            terminated=rows.terminated,
            weight=rows.valid.astype(jnp.float32),
            preference=preference,
            importance=draw.importance,
        )

    def _critic_loss(
        self, critics: PyTree, params: Params, learning: SACLearning, batch: Batch, following: PolicyActions
    ) -> tuple[jax.Array, CriticFit]:
        """Return the loss, with the targets of both critics and what else comes of comparing them."""
        values, next_values, moments = self._values_now_and_next(critics, learning.targets, batch, following.action)
        least = self._least(jax.lax.stop_gradient(next_values), batch, learning)
        next_value = losses.soft_value(following, least, jnp.exp(params.log_temperature))
        target = losses.critic_target(batch.reward, batch.discount, batch.terminated, next_value)
        taken = self.actions.value_of(values, batch.action)
        error = losses.scalar_error(jax.lax.stop_gradient(taken), target, batch.preference)
        return losses.critic_loss(taken, target, batch.weight, batch.importance), CriticFit(target, error, moments)

    def _values_now_and_next(
        self, critics: PyTree, targets: PyTree, batch: Batch, next_action: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, Any]:
        """Return the values (2, N, K, R) of both critics now and next, and statistics of a joint pass if there is one.

        The next ones are those of the target networks, or without these of the critics themselves. With batch
        normalisation one pass over (s, a) and (s', a') normalises both alike (Bhatt et al., 2024, CrossQ).
        """
        if self.config.critic_network != "batch_norm":
            values = self._twin_values(critics, batch.inputs, batch.action, batch.preference)
            later = critics if targets is None else targets
            return values, self._twin_values(later, batch.next_inputs, next_action, batch.preference), ()
        action = None if next_action is None else batch.action  # None: the critics have values of all actions
        now, then = (batch.inputs, action), (batch.next_inputs, next_action)
        both, action = jax.tree.map(lambda *parts: jnp.concatenate(parts), now, then)
        preference, weight = (jnp.concatenate([x, x]) for x in (batch.preference, batch.weight))
        of_batch = jax.vmap(self.networks.critic_values_of_batch, (0, None, None, None, None))
        values, moments = of_batch(critics, both, action, preference, weight)
        size = weight.shape[0] // 2
        return values[:, :size], values[:, size:], moments

    def _actor_loss(
        self, actor: PyTree, params: Params, learning: SACLearning, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PolicyActions, jax.Array]]:
        """Return the loss, the actions it is over and their worth (N, K)."""
        policy = self._policy_actions(actor, batch.inputs, batch.preference, key)
        values = self._twin_values(params.critics, batch.inputs, policy.action, batch.preference)
        worth = self._scalarise(batch, learning)(self._least(values, batch, learning))
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

    def _least(self, values: jax.Array, batch: Batch, learning: SACLearning) -> jax.Array:
        """Return the lesser values (N, K, R) of the twins' (2, N, K, R)."""
        if self.config.twin_minimum == "objective":
            return losses.least_each(values)
        return losses.least_by_worth(values, self._scalarise(batch, learning))

    def _scalarise(self, batch: Batch, learning: SACLearning) -> losses.Scalarise:
        """Return the function from values (N, K, R) to their worth (N, K) for the preferences of a batch."""
        weights = batch.preference[:, None, :]
        if self.config.scalarisation == "linear":
            return partial(scalarisation.linear, weights=weights)
        utopia = jnp.where(jnp.isfinite(learning.utopia), learning.utopia, 0.0)[None, None, :]
        return partial(scalarisation.tchebycheff, weights=weights, utopia=utopia)

    def reward_scales(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) of the rewards, or (1,) one for all."""
        if self.config.objective_scales is not None:
            return jnp.asarray(self.config.objective_scales, jnp.float32)
        return 1.0 / running_statistics.deviation(return_stats)
