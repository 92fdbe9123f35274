"""Soft actor-critic with a preference among its inputs and a critic of vectors, for discrete and continuous actions.

Christodoulou (2019, arXiv 1910.07207) and Haarnoja et al. (2018, arXiv 1812.05905) for the algorithm, Yang et al.
(2025, arXiv 2509.10474) for one policy of all preferences. The critic has a value for each objective and sees the
preference; what scalarises them is chosen apart, so that a transition can be learnt from for any preference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.sac import losses
from morl.agents.sac.action_space import ActionSpace, action_space
from morl.agents.sac.config import SACConfig
from morl.agents.sac.inputs import Inputs, Seen
from morl.ops import replay, running_statistics, scalarisation
from morl.ops.batching import with_leading_axes
from morl.ops.masking import masked_mean
from morl.ops.preferences import dirichlet
from morl.ops.returns import at_last_step, episode_over, n_step_returns, partial_returns
from morl.ops.running_statistics import RunningStats
from morl.types import Features, LearnerState, Metrics, PyTree, Transition


class ReplayRow(NamedTuple):
    """Stored transition of up to ``n_step`` steps.

    Attributes:
        obs, action: at its first step.
        reward: (R,) discounted sum.
        next_obs, terminated: at its last step.
        discount: () of the value that follows.
        valid: () as in :class:`morl.types.Transition`.
        preference: (R,) acted for.
    """

    obs: Any
    action: Any
    reward: Any
    next_obs: Any
    terminated: Any
    discount: Any
    valid: Any
    preference: Any


class Policy(NamedTuple):
    """Parameters that acting needs."""

    actor: PyTree
    obs_stats: RunningStats | None


class Params(NamedTuple):
    """Trainable parameters; each has a loss and an optimiser of its own.

    Attributes:
        actor: policy network.
        critics: two critic networks, stacked.
        log_temperature: () log α.
    """

    actor: PyTree
    critics: PyTree
    log_temperature: jax.Array


class Learning(NamedTuple):
    """State of learning besides the parameters.

    Attributes:
        targets: target networks, which follow the critics slowly.
        opt_state: Adam's moments of the three optimisers.
        obs_stats: running statistics of the features, where they are normalised.
        return_stats: running statistics of the discounted return of each objective, (R,).
        utopia: (R,) best values seen, in scaled units.
        updates: () int32.
    """

    targets: PyTree
    opt_state: PyTree
    obs_stats: RunningStats | None
    return_stats: RunningStats
    utopia: jax.Array
    updates: jax.Array


class GradientState(NamedTuple):
    """Part of the state that a gradient step changes."""

    params: Params
    targets: PyTree
    opt_state: PyTree
    utopia: jax.Array


@dataclass(frozen=True)
class SAC:
    """Learner by soft actor-critic, for the spaces it is made for. ``total_updates`` is for annealing only.

    Its ``episode`` state is the discounted return (B, R) of the episodes under way, its ``replay`` a ring of
    :class:`ReplayRow`.

    Raises:
        UserError: spaces or networks it cannot work with.
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
        _ = self._actions  # checks the spaces

    @property
    def num_envs(self) -> int:
        return self.config.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.config.rollout_steps

    @cached_property
    def _inputs(self) -> Inputs:
        c = self.config
        return Inputs(
            kind=c.network,
            hidden=c.hidden,
            channels=c.channels,
            blocks=c.blocks,
            show_preference=c.preference_input,
            observation_space=self.observation_space,
            action_space=self.action_space,
            action_mask=self.action_mask,
            action_features=self.action_features,
        )

    @cached_property
    def _actions(self) -> ActionSpace:
        return action_space(self._inputs, self.config.mask_actions)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        """Three optimisers: Adam with a clipped gradient for each loss; none for a fixed temperature."""
        c = self.config
        steps = self.total_updates * c.gradient_steps
        rate = optax.linear_schedule(c.learning_rate, 0.0, steps) if c.anneal else c.learning_rate
        adam = optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(rate, eps=1e-5))
        each = {
            "actor": adam,
            "critics": adam,
            "log_temperature": adam if c.learn_temperature else optax.set_to_zero(),
        }
        return optax.multi_transform(each, Params(*Params._fields))  # type: ignore[arg-type]  # labels

    def row(self) -> ReplayRow:
        """Return the shapes of a stored transition."""
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), self.observation_space.dtype)
        vector = jax.ShapeDtypeStruct((self.num_objectives,), jnp.float32)
        flag, scalar = jax.ShapeDtypeStruct((), jnp.bool_), jax.ShapeDtypeStruct((), jnp.float32)
        return ReplayRow(obs, self._actions.example, vector, obs, flag, scalar, flag, vector)

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        actor, twins = self._actions.init(rng, self.num_objectives)
        critics = jax.tree.map(lambda *x: np.stack(x), *twins)
        params = Params(actor, critics, jnp.float32(np.log(self.config.temperature)))
        learning = Learning(
            targets=jax.tree.map(np.copy, critics),
            opt_state=self._optimiser.init(params),
            obs_stats=self._inputs.first_stats(),
            return_stats=running_statistics.init(self.num_objectives),
            utopia=jnp.full(self.num_objectives, -jnp.inf),
            updates=jnp.int32(0),
        )
        discounted_return = jnp.zeros((self.num_envs, self.num_objectives))
        ring = replay.empty(self.config.replay_capacity, self.row())
        return LearnerState(params, learning, discounted_return, ring)

    def policy(self, state: LearnerState) -> Policy:
        """Extract the acting parameters."""
        return Policy(state.params.actor, state.learning.obs_stats)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        seen = self._inputs.seen(policy.obs_stats, obs)
        return self._actions.act(policy.actor, seen, preference, key, greedy=greedy)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to what the environment takes."""
        return self._actions.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Store one rollout (T, B), then take gradient steps on stored transitions; return scalar metrics."""
        c = self.config
        state = self._stored(state, batch)
        learning: Learning = state.learning
        before = GradientState(state.params, learning.targets, learning.opt_state, learning.utopia)

        def one(step: GradientState, key: jax.Array) -> tuple[GradientState, Metrics]:
            return self.gradient_step(step, state, key)

        after, metrics = jax.lax.scan(one, before, jax.random.split(key, c.gradient_steps))
        ready = state.replay.filled >= min(c.learning_starts, c.replay_capacity)
        step: GradientState = jax.tree.map(lambda new, old: jnp.where(ready, new, old), after, before)
        learning = learning._replace(targets=step.targets, opt_state=step.opt_state, utopia=step.utopia)
        state = state._replace(params=step.params, learning=learning)
        return state, {name: jnp.mean(value) for name, value in metrics.items()}

    def _stored(self, state: LearnerState, batch: Transition) -> LearnerState:
        """Add a rollout to the replay and to the running statistics."""
        learning: Learning = state.learning
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        discounted_return, returns = partial_returns(batch.reward, over, self.gamma, state.episode)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), self.rows(batch))
        learning = learning._replace(
            obs_stats=self._inputs.update_stats(learning.obs_stats, batch.obs, batch.valid),
            return_stats=running_statistics.update(learning.return_stats, returns, batch.valid),
            updates=learning.updates + 1,
        )
        return LearnerState(state.params, learning, discounted_return, replay.add(state.replay, flat))

    def rows(self, batch: Transition) -> ReplayRow:
        """Convert a rollout to stored transitions (T, B, ...)."""
        n = self.config.n_step
        sums = n_step_returns(batch.reward, batch.terminated, batch.truncated, batch.valid, self.gamma, n)
        next_obs, terminated = at_last_step((batch.next_obs, batch.terminated), sums.num_steps, n)
        return ReplayRow(
            batch.obs, batch.action, sums.returns, next_obs, terminated, sums.discount, batch.valid, batch.preference
        )

    def gradient_step(self, step: GradientState, state: LearnerState, key: jax.Array) -> tuple[GradientState, Metrics]:
        """Take one step of each optimiser on a batch of stored transitions, then one of the target networks."""
        c, params, actions = self.config, step.params, self._actions
        key_batch, key_target, key_actor = jax.random.split(key, 3)
        batch = self._batch(state, key_batch)
        scalarise = partial(self._scalarise, utopia=step.utopia)
        temperature = jnp.exp(params.log_temperature)

        target = losses.critic_target(actions, params.actor, step.targets, batch, temperature, scalarise, key_target)
        of_critics = jax.value_and_grad(losses.critic_loss, has_aux=True)
        (critic_loss, known), critics_gradient = of_critics(params.critics, actions, batch, target)

        of_actor = jax.value_and_grad(losses.actor_loss, has_aux=True)
        (actor_loss, (candidates, utility)), actor_gradient = of_actor(
            params.actor, actions, params.critics, known, batch, temperature, scalarise, key_actor
        )
        target_entropy = actions.target_entropy(c.target_entropy, candidates)
        temperature_gradient = jax.grad(losses.temperature_loss)(
            params.log_temperature, candidates.entropy, target_entropy, batch.weight
        )

        gradient = Params(actor_gradient, critics_gradient, temperature_gradient)
        changes, opt_state = self._optimiser.update(gradient, step.opt_state, params)
        params = optax.apply_updates(params, changes)
        targets = optax.incremental_update(params.critics, step.targets, c.tau)
        metrics = {
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "entropy": masked_mean(candidates.entropy, batch.weight),
            "temperature": temperature,
            "value": masked_mean(jnp.sum(candidates.probability * utility, axis=-1), batch.weight),
        }
        return GradientState(params, targets, opt_state, self._next_utopia(step.utopia, target)), metrics

    def _batch(self, state: LearnerState, key: jax.Array) -> losses.Batch:
        """Draw stored transitions, half of them relabelled with random preferences if so set."""
        c, learning = self.config, state.learning
        key_rows, key_preferences, key_relabelled = jax.random.split(key, 3)
        rows: ReplayRow = replay.sample(state.replay, key_rows, c.batch_size)
        preference = rows.preference
        if c.relabel_preferences:
            drawn = dirichlet(key_preferences, self.num_objectives, c.batch_size)
            relabelled = jax.random.bernoulli(key_relabelled, 0.5, (c.batch_size, 1))
            preference = jnp.where(relabelled, drawn, preference)

        def seen(obs: jax.Array) -> Seen:
            return self._inputs.seen(learning.obs_stats, obs)

        return losses.Batch(
            seen=seen(rows.obs),
            next_seen=seen(rows.next_obs),
            action=rows.action,
            reward=rows.reward * self.scales(learning.return_stats)[None],
            discount=jnp.where(rows.terminated, 0.0, rows.discount),
            preference=preference,
            weight=rows.valid.astype(jnp.float32),
        )

    def scales(self, return_stats: RunningStats) -> jax.Array:
        """Return the factors (R,) of the rewards."""
        if self.config.objective_scales is not None:
            return jnp.asarray(self.config.objective_scales, jnp.float32)
        return 1.0 / running_statistics.deviation(return_stats)

    def _scalarise(self, values: jax.Array, preference: jax.Array, *, utopia: jax.Array) -> jax.Array:
        """Return the scalarised values (N, K) of values (N, K, R) for preferences (N, 1, R)."""
        if self.config.scalarisation == "linear":
            return jnp.asarray(scalarisation.linear(values, preference))
        utopia = with_leading_axes(jnp.where(jnp.isfinite(utopia), utopia, 0.0), values.ndim)
        return jnp.asarray(scalarisation.tchebycheff(values, preference, utopia))

    @staticmethod
    def _next_utopia(utopia: jax.Array, target: jax.Array) -> jax.Array:
        """Return the best values seen, forgotten slowly, as early estimates may be far too high."""
        best = jnp.max(target, axis=0)
        return jnp.where(jnp.isfinite(utopia), jnp.maximum(best, utopia + 0.01 * (best - utopia)), best)
