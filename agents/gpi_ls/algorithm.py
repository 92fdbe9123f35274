"""GPI-LS (Alegre et al., AAMAS 2023, arXiv 2301.07784): one network for every preference, from few environment steps.

Critics have a value for each objective and preference. The agent acts by generalised policy improvement over the set M
of preferences that it was trained for lately, and trains for the corner weights of the values that it has reached
(:mod:`morl.training.solution_sets`). :meth:`GPILS.update` stores a rollout and takes gradient steps;
:meth:`GPILS.critic_step` reads like the published algorithm. Equations are in :mod:`.losses`, what differs between
discrete actions (DQN) and continuous ones (TD3) in :mod:`.discrete` and :mod:`.continuous`.
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

from morl.agents.gpi_ls import losses, support
from morl.agents.gpi_ls.config import GPILSConfig
from morl.agents.gpi_ls.continuous import ContinuousControl
from morl.agents.gpi_ls.discrete import DiscreteControl
from morl.agents.gpi_ls.networks import Networks
from morl.agents.gpi_ls.types import Batch, Learning, Memory, Params, Policy
from morl.agents.sac import prioritised_replay
from morl.agents.sac.action_space import ActionSpace, DiscreteActions, SquashedGaussian, for_space
from morl.agents.sac.losses import critic_target
from morl.agents.sac.prioritised_replay import Draw, Priorities
from morl.agents.sac.replay_rows import n_step_rows, row_shapes
from morl.agents.sac.types import ReplayRow
from morl.errors import UserError
from morl.ops import replay, running_statistics
from morl.ops.initial import generator, stacked
from morl.ops.optimisers import in_float32
from morl.ops.preferences import dirichlet
from morl.ops.replay import Replay
from morl.ops.returns import episode_over, partial_returns
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, Transition
from morl.validation import schedule_length


@dataclass(frozen=True)
class GPILS:
    """GPI-LS learner.

    Its state is of :class:`Params`, :class:`Learning`, (B, R) partial returns of the episodes, and :class:`Memory`.

    Attributes:
        config: settings.
        observation_space, action_space: of one environment.
        num_objectives: R.
        gamma: discount it learns at.
        total_updates: number of updates, which the learning rate is annealed over.
        action_mask: as in :class:`morl.types.Task`.

    Raises:
        UserError: a space that it cannot work with, or gradient steps that the delay of the policy does not divide.
    """

    config: GPILSConfig
    observation_space: Space[Any]
    action_space: Space[Any]
    num_objectives: int
    gamma: float
    total_updates: int
    action_mask: Features | None = None

    def __post_init__(self) -> None:
        if self.config.gradient_steps % self.control.delay:
            raise UserError(
                f"gradient_steps must be a multiple of policy_delay = {self.control.delay} for continuous actions, "
                f"not {self.config.gradient_steps}"
            )

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    @cached_property
    def actions(self) -> ActionSpace:
        """Return the actions as they are recorded."""
        return for_space(self.action_space)

    @cached_property
    def networks(self) -> Networks:
        """Return the networks of critics and actor."""
        c, discrete = self.config, isinstance(self.actions, DiscreteActions)
        return Networks(
            kind=c.conditioning,
            hidden=c.hidden,
            layer_norm=c.layer_norm,
            num_objectives=self.num_objectives,
            num_actions=self.actions.num_values if discrete else 0,
            action_size=self.actions.action_size,
            observation_space=self.observation_space,
            action_mask=self.action_mask if discrete and c.mask_actions else None,
        )

    @cached_property
    def control(self) -> DiscreteControl | ContinuousControl:
        """Return what depends on the kind of actions."""
        if isinstance(self.actions, DiscreteActions):
            return DiscreteControl(self.config, self.networks, self.actions)
        assert isinstance(self.actions, SquashedGaussian)  # noqa: S101
        return ContinuousControl(self.config, self.networks, self.actions)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        steps = self.total_updates * c.gradient_steps
        rate = optax.linear_schedule(c.learning_rate, 0.0, schedule_length(steps)) if c.anneal else c.learning_rate
        return in_float32(optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(rate)))

    @property
    def replay_row(self) -> ReplayRow:
        """Return the shapes of one stored transition."""
        return row_shapes(self.observation_space, self.actions.recorded, self.num_objectives)

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner."""
        c = self.config
        rng = generator(key)
        critics = [self.networks.init_critic(rng) for _ in range(c.num_critics)]
        params = Params(jax.tree.map(stacked, *critics), self.networks.init_actor(rng))
        learning = Learning(
            targets=jax.tree.map(lambda x: x.copy(), params),
            opt_state=Params(*(self._optimiser.init(each) for each in params)),
            obs_stats=self.networks.init_stats(),
            return_stats=running_statistics.init(self.num_objectives),
            support=support.empty(c.max_support, self.num_objectives),
            gradient_steps=jnp.int32(0),
            updates=jnp.int32(0),
        )
        partial_return = jnp.zeros((c.num_envs, self.num_objectives), jnp.float32)
        memory = Memory(replay.empty(c.replay_capacity, self.replay_row), prioritised_replay.empty(c.replay_capacity))
        return LearnerState(params, learning, partial_return, memory)

    def policy(self, state: LearnerState) -> Policy:
        """Extract the parameters that acting needs."""
        learning: Learning = state.learning
        return Policy(
            critics=state.params.critics,
            actor=state.params.actor,
            obs_stats=learning.obs_stats,
            support=learning.support,
            units=self.preference_units(learning.return_stats),
            return_units=self.return_units(learning.return_stats),
            exploration=self._exploration(learning.updates),
        )

    def _exploration(self, updates: jax.Array) -> jax.Array:
        """Return the share of random actions: all before learning starts; then it falls, for discrete actions only."""
        c = self.config
        steps = updates.astype(jnp.float32) * np.float32(c.num_envs * c.rollout_steps) - np.float32(c.learning_starts)
        done = jnp.clip(steps / np.float32(max(c.exploration_steps, 1)), 0.0, 1.0)
        share = c.initial_exploration + done * np.float32(c.final_exploration - c.initial_exploration)
        after = share if isinstance(self.actions, DiscreteActions) else jnp.zeros_like(share)
        return jnp.where(steps < 0, 1.0, after)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        inputs = self.networks.inputs(policy.obs_stats, obs)
        improved = self.config.gpi_evaluation if greedy else self.config.gpi
        members = support.with_own(policy.support, preference) if improved else preference[:, None]
        members, scalar = (losses.weights_of(each, policy.units) for each in (members, preference))
        action = self.control.act(policy, inputs, members, scalar)
        return action if greedy else self.control.explore(policy, action, inputs, key)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        return self.actions.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Store one rollout (T, B), and take gradient steps once ``learning_starts`` transitions are stored."""
        c = self.config
        state = self._store(state, batch)
        acted_for, ring = batch.preference[-1], state.replay.ring
        before = state.params, state.learning, state.replay.priorities

        def steps(
            carry: tuple[Params, Learning, Priorities], key: jax.Array
        ) -> tuple[tuple[Params, Learning, Priorities], Metrics]:
            for each in jax.random.split(key, self.control.delay):
                carry, learnt, metrics = self.critic_step(*carry, ring, acted_for, each)
            return self._actor_step(*carry, learnt, metrics)

        after, metrics = jax.lax.scan(steps, before, jax.random.split(key, c.gradient_steps // self.control.delay))
        ready = ring.filled >= min(c.learning_starts, c.replay_capacity)
        params, learning, priorities = jax.tree.map(partial(jnp.where, ready), after, before)
        state = state._replace(params=params, learning=learning, replay=Memory(ring, priorities))
        metrics = {**jax.tree.map(jnp.mean, metrics), **self._progress(learning)}
        return state, metrics

    def _progress(self, learning: Learning) -> Metrics:
        size = jnp.sum(learning.support.used > 0, dtype=jnp.int32).astype(jnp.float32)
        return {"support": size, "exploration": self._exploration(learning.updates)}

    def _store(self, state: LearnerState, batch: Transition) -> LearnerState:
        """Add a rollout (T, B) to the replay, its observations and returns to the running statistics."""
        learning: Learning = state.learning
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        partial_return, returns = partial_returns(batch.reward, over, self.gamma, state.episode)
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), self.replay_rows(batch))
        learning = learning._replace(
            obs_stats=self.networks.update_stats(learning.obs_stats, batch.obs, batch.valid),
            return_stats=running_statistics.update(learning.return_stats, returns, batch.valid),
            support=support.refresh(learning.support, batch.preference[-1], learning.updates + 1),
            updates=learning.updates + 1,
        )
        ring, priorities = state.replay
        memory = Memory(replay.add(ring, rows), prioritised_replay.add(priorities, ring, rows.valid))
        return LearnerState(state.params, learning, partial_return, memory)

    def replay_rows(self, batch: Transition) -> ReplayRow:
        """Return the transitions (T, B) of up to ``n_step`` steps that a rollout is stored as."""
        return n_step_rows(batch, self.gamma, self.config.n_step)

    def critic_step(
        self,
        params: Params,
        learning: Learning,
        priorities: Priorities,
        ring: Replay,
        acted_for: jax.Array,
        key: jax.Array,
    ) -> tuple[tuple[Params, Learning, Priorities], Batch, Metrics]:
        """Take one step of Adam for the critics; return what goes on, the batch and metrics.

        Args:
            params, learning, priorities: before.
            ring: stored transitions.
            acted_for: (B, R) preferences that the environments act for.
            key: of everything random.
        """
        c, key_batch, key_next = self.config, *jax.random.split(key)
        # 1. transitions of large errors, for a preference being acted for and for another one
        batch, draw = self._sample(learning, priorities, ring, acted_for, key_batch)

        # 2. the target of the critics, and their step towards it
        next_value = self.control.next_value(params, learning.targets, batch, key_next)
        target = critic_target(batch.reward, batch.discount, batch.terminated, next_value)

        def loss_of(critics: Any) -> tuple[jax.Array, jax.Array]:
            error = self.control.values(critics, batch) - target[None]
            return losses.critic_loss(error, batch.weight, c.huber_delta), error

        (loss, error), gradient = jax.value_and_grad(loss_of, has_aux=True)(params.critics)
        changes, opt_state = self._optimiser.update(gradient, learning.opt_state.critics, params.critics)
        params = params._replace(critics=optax.apply_updates(params.critics, changes))

        # 3. new priorities, and the target networks
        first = slice(c.batch_size)
        size = losses.priority(error[:, first], batch.preference[first], c.least_priority, c.priority_exponent)
        if c.prioritised:
            priorities = prioritised_replay.update(priorities, draw.place, size, batch.weight[first])
        steps = learning.gradient_steps + 1
        tau = jnp.where(steps % c.target_interval == 0, jnp.float32(c.tau), 0.0)
        targets = learning.targets._replace(
            critics=optax.incremental_update(params.critics, learning.targets.critics, tau)
        )
        moments = learning.opt_state._replace(critics=opt_state)
        learning = learning._replace(targets=targets, opt_state=moments, gradient_steps=steps)
        metrics = {"critic_loss": loss, "priority": jnp.mean(size), "value": jnp.mean(target * batch.preference)}
        return (params, learning, priorities), batch, metrics

    def _actor_step(
        self, params: Params, learning: Learning, priorities: Priorities, batch: Batch, metrics: Metrics
    ) -> tuple[tuple[Params, Learning, Priorities], Metrics]:
        """Take one step of Adam for the policy of continuous actions, and move its target network."""
        if isinstance(self.control, DiscreteControl):
            return (params, learning, priorities), metrics
        loss, gradient = jax.value_and_grad(self.control.actor_loss)(params.actor, params, batch)
        changes, opt_state = self._optimiser.update(gradient, learning.opt_state.actor, params.actor)
        params = params._replace(actor=optax.apply_updates(params.actor, changes))
        tau = jnp.float32(self.config.tau)
        targets = learning.targets._replace(actor=optax.incremental_update(params.actor, learning.targets.actor, tau))
        learning = learning._replace(targets=targets, opt_state=learning.opt_state._replace(actor=opt_state))
        return (params, learning, priorities), {**metrics, "actor_loss": loss}

    def _sample(
        self, learning: Learning, priorities: Priorities, ring: Replay, acted_for: jax.Array, key: jax.Array
    ) -> tuple[Batch, Draw]:
        """Return sampled transitions twice: for preferences being acted for, and for others."""
        c = self.config
        key_rows, key_preferences = jax.random.split(key)
        if c.prioritised:
            draw = prioritised_replay.sample(priorities, key_rows, c.batch_size)
        else:
            filled = jnp.maximum(ring.filled, 1)
            place = jax.random.randint(key_rows, (c.batch_size,), 0, filled, dtype=jnp.int32)
            draw = Draw(place, jnp.full(c.batch_size, 1.0, jnp.float32) / filled.astype(jnp.float32))
        weight = prioritised_replay.importance_weights(draw, ring.filled, c.importance_exponent)
        rows: ReplayRow = jax.tree.map(lambda x: jnp.concatenate([x, x]), prioritised_replay.rows_at(ring, draw.place))
        preference = self._preferences(learning, acted_for, key_preferences)
        batch = Batch(
            inputs=self.networks.inputs(learning.obs_stats, rows.obs),
            next_inputs=self.networks.inputs(learning.obs_stats, rows.next_obs),
            action=rows.action,
            reward=rows.reward * self.reward_scales(learning.return_stats)[None],
            discount=rows.discount,
            terminated=rows.terminated,
            weight=jnp.concatenate([weight, weight]) * rows.valid.astype(jnp.float32),
            preference=losses.weights_of(preference, self.preference_units(learning.return_stats)),
        )
        return batch, draw

    def _preferences(self, learning: Learning, acted_for: jax.Array, key: jax.Array) -> jax.Array:
        """Return the preferences (2 N, R) of a batch."""
        size, share = self.config.batch_size, self.config.simplex_share
        key_target, key_member, key_drawn, key_which = jax.random.split(key, 4)
        row = jax.random.randint(key_target, (size,), 0, len(acted_for), dtype=jnp.int32)
        others = support.draw(learning.support, key_member, size)
        if share > 0:
            drawn = dirichlet(key_drawn, self.num_objectives, size)
            chosen = jax.random.bernoulli(key_which, jnp.float32(share), (size, 1))
            others = jnp.where(chosen, drawn, others)
        return jnp.concatenate([acted_for[row], others])

    def reward_scales(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) of the rewards inside the critics."""
        if self.config.objective_scales is not None:
            return jnp.asarray(self.config.objective_scales, jnp.float32)
        return 1.0 / running_statistics.deviation(return_stats)

    def preference_units(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) from a preference to weights of the critics' values."""
        if self.config.preference_units == "scaled":
            return jnp.ones(self.num_objectives, jnp.float32)
        return 1.0 / self.reward_scales(return_stats)

    def return_units(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) from a preference to weights of returns in the environment's units."""
        if self.config.preference_units == "scaled":
            return self.reward_scales(return_stats)
        return jnp.ones(self.num_objectives, jnp.float32)
