"""Discrete soft actor-critic with a preference among its inputs and a critic of vectors.

Christodoulou (2019, arXiv 1910.07207) for the algorithm; Yang et al. (2025, arXiv 2509.10474) for one policy of all
preferences. The critic has a value for each objective and sees the preference; what scalarises them is chosen apart, so
that a transition can be learnt from for any preference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import Space

from morl.agents.sac.config import SACConfig
from morl.agents.sac.inputs import MASKED, Inputs, Seen
from morl.ops import replay, running_statistics
from morl.ops.preferences import dirichlet
from morl.ops.replay import Replay
from morl.ops.returns import discounted_sum
from morl.ops.running_statistics import RunningStats
from morl.types import Features, PyTree, Transition


class Row(NamedTuple):
    """A transition as it is kept, of up to ``n_step`` steps.

    Attributes:
        obs, action: at its start.
        reward: (R,) discounted sum.
        next_obs, terminated: at its end.
        discount: () of what follows.
        valid: () as in :class:`morl.types.Transition`.
        preference: (R,) it was acted for.
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
    """What a learner leaves: what acting needs."""

    actor: PyTree
    obs_stats: RunningStats | None


class SACState(NamedTuple):
    """One learner.

    Attributes:
        actor: network of one output for each action.
        critics: two networks of R outputs for each action, stacked.
        targets: the same, that follow them slowly.
        log_temperature: ().
        opt_state: Adam's moments of the three that are learnt.
        replay: the transitions.
        obs_stats: running statistics of the features, where they are normalised.
        return_stats: running statistics of the discounted return of each objective, (R,).
        discounted_return: (B, R) discounted sum of rewards of the episodes under way.
        utopia: (R,) best values seen, in scaled units.
        preferences: (B, R) that each environment is acted for.
        updates: () int32.
    """

    actor: PyTree
    critics: PyTree
    targets: PyTree
    log_temperature: jax.Array
    opt_state: PyTree
    replay: Replay
    obs_stats: RunningStats | None
    return_stats: RunningStats
    discounted_return: jax.Array
    utopia: jax.Array
    preferences: jax.Array
    updates: jax.Array


class Learnt(NamedTuple):
    """What gradients move."""

    actor: PyTree
    critics: PyTree
    log_temperature: jax.Array


class Step(NamedTuple):
    """What a gradient step changes."""

    learnt: Learnt
    targets: PyTree
    opt_state: PyTree
    utopia: jax.Array


@dataclass(frozen=True)
class DiscreteSAC:
    """The learner of :class:`SACState`, for spaces it is made for. ``total_updates`` is for annealing only."""

    config: SACConfig
    observation_space: Space[Any]
    action_space: Space[Any]
    gamma: float
    total_updates: int
    action_mask: Features | None = None
    action_features: Features | None = None

    def __post_init__(self) -> None:
        _ = self._inputs  # checks the spaces

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

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        steps = self.total_updates * c.gradient_steps
        rate = optax.linear_schedule(c.learning_rate, 0.0, steps) if c.anneal else c.learning_rate
        return optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(rate, eps=1e-5))

    def row(self, num_objectives: int) -> Row:
        """Shapes of a transition as it is kept."""
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), self.observation_space.dtype)
        reward = jax.ShapeDtypeStruct((num_objectives,), jnp.float32)
        number = jax.ShapeDtypeStruct((), jnp.int32)
        flag = jax.ShapeDtypeStruct((), jnp.bool_)
        discount = jax.ShapeDtypeStruct((), jnp.float32)
        return Row(obs, number, reward, obs, flag, discount, flag, reward)

    def init(self, key: jax.Array, preference: jax.Array) -> SACState:
        """A fresh learner whose B environments are acted for preferences (B, R)."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        num_objectives = preference.shape[-1]
        actor = self._inputs.network(rng, num_objectives, num_objectives)
        twins = [self._inputs.network(rng, num_objectives, num_objectives) for _ in range(2)]
        critics = jax.tree.map(lambda *x: np.stack(x), *twins)
        learnt = Learnt(actor, critics, jnp.float32(np.log(self.config.temperature)))
        return SACState(
            *learnt[:2],
            targets=jax.tree.map(np.copy, critics),
            log_temperature=learnt.log_temperature,
            opt_state=self._optimiser.init(learnt),
            replay=replay.empty(self.config.replay_capacity, self.row(num_objectives)),
            obs_stats=self._inputs.first_stats(),
            return_stats=running_statistics.init(num_objectives),
            discounted_return=jnp.zeros((self.config.num_envs, num_objectives)),
            utopia=jnp.full(num_objectives, -jnp.inf),
            preferences=preference,
            updates=jnp.int32(0),
        )

    def policy(self, state: SACState) -> Policy:
        """What is left of a learner."""
        return Policy(state.actor, state.obs_stats)

    def restarted(self, state: SACState) -> SACState:
        """Without the episodes under way."""
        return state._replace(discounted_return=jnp.zeros_like(state.discounted_return))

    def undone(self, before: SACState, after: SACState) -> SACState:
        """As before, but for the episodes under way, which went on, and the replay.

        Its transitions are finite, and a copy of all would cost more than the update.
        """
        return before._replace(replay=after.replay, discounted_return=after.discounted_return)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        logits = self._logits(policy.actor, self._inputs.seen(policy.obs_stats, obs), preference)
        if greedy:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Actions as the environment takes them."""
        return action + self._inputs.first_action

    def update(self, state: SACState, batch: Transition, key: jax.Array) -> tuple[SACState, dict[str, jax.Array]]:
        """Keep one rollout (T, B), and take gradient steps on what is kept; scalar metrics."""
        c = self.config
        done = batch.terminated | batch.truncated
        carried, returns = discounted_sum(batch.reward, done, state.discounted_return, self.gamma)
        rows = self._rows(batch, state.preferences)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
        state = state._replace(
            replay=replay.add(state.replay, flat),
            obs_stats=self._inputs.stats(state.obs_stats, batch.obs, batch.valid),
            return_stats=running_statistics.update(state.return_stats, returns, batch.valid),
            discounted_return=carried,
            updates=state.updates + 1,
        )
        before = Step(self.learnt(state), state.targets, state.opt_state, state.utopia)

        def one(step: Step, key: jax.Array) -> tuple[Step, dict[str, jax.Array]]:
            return self.gradient_step(step, state, key)

        after, metrics = jax.lax.scan(one, before, jax.random.split(key, c.gradient_steps))
        ready = state.replay.filled >= min(c.warm_up, c.replay_capacity)
        step: Step = jax.tree.map(lambda new, old: jnp.where(ready, new, old), after, before)
        state = state._replace(
            actor=step.learnt.actor,
            critics=step.learnt.critics,
            log_temperature=step.learnt.log_temperature,
            targets=step.targets,
            opt_state=step.opt_state,
            utopia=step.utopia,
        )
        return state, {name: jnp.mean(value) for name, value in metrics.items()}

    def _rows(self, batch: Transition, preferences: jax.Array) -> Row:
        """What is kept of a rollout, (T, B, ...)."""
        length = batch.valid.shape[0]
        reward, next_obs, terminated = batch.reward, batch.next_obs, batch.terminated
        discount = jnp.full(batch.valid.shape, self.gamma)
        ended = batch.terminated | batch.truncated
        for k in range(1, self.config.n_step):
            # what is k steps later; nothing is past the end of the rollout
            later: Transition = jax.tree.map(lambda x, k=k: jnp.roll(x, -k, axis=0), batch)
            there = jnp.arange(length)[:, None] < length - k
            goes_on = there & ~ended & later.valid
            wide = goes_on[..., None]
            reward = reward + jnp.where(wide, discount[..., None] * later.reward, 0.0)
            shape = (*goes_on.shape, *[1] * (next_obs.ndim - 2))
            next_obs = jnp.where(goes_on.reshape(shape), later.next_obs, next_obs)
            terminated = jnp.where(goes_on, later.terminated, terminated)
            discount = jnp.where(goes_on, discount * self.gamma, discount)
            ended = ended | ~goes_on | later.terminated | later.truncated
        preference = jnp.broadcast_to(preferences, reward.shape)
        return Row(batch.obs, batch.action, reward, next_obs, terminated, discount, batch.valid, preference)

    def learnt(self, state: SACState) -> Learnt:
        """What gradients move."""
        return Learnt(state.actor, state.critics, state.log_temperature)

    def gradient_step(self, step: Step, state: SACState, key: jax.Array) -> tuple[Step, dict[str, jax.Array]]:
        """One step of Adam for actor, critics and temperature, then of the targets."""
        c = self.config
        key_rows, key_preferences, key_relabelled = jax.random.split(key, 3)
        rows: Row = replay.sample(state.replay, key_rows, c.batch_size)
        preference = rows.preference
        if c.hindsight:
            drawn = dirichlet(key_preferences, preference.shape[-1], c.batch_size)
            relabelled = jax.random.bernoulli(key_relabelled, 0.5, (c.batch_size, 1))
            preference = jnp.where(relabelled, drawn, preference)
        seen, next_seen = (
            self._inputs.seen(state.obs_stats, rows.obs),
            self._inputs.seen(state.obs_stats, rows.next_obs),
        )
        weight = rows.valid.astype(jnp.float32)
        reward = rows.reward * self.scales(state.return_stats)
        temperature = jnp.exp(step.learnt.log_temperature)

        # the value of what follows, Christodoulou (2019), eq. 3, for each objective; the entropy counts for all alike,
        # so that it counts once in any weighted sum
        next_logits = self._logits(step.learnt.actor, next_seen, preference)
        next_probability, next_log = jax.nn.softmax(next_logits), jax.nn.log_softmax(next_logits)
        next_values = self._twin(step.targets, next_seen, preference)
        next_value = self._least(next_values, preference, step.utopia) - temperature * next_log[..., None]
        follows = jnp.sum(next_probability[..., None] * next_value, axis=-2)
        target = reward + rows.discount[:, None] * jnp.where(rows.terminated[:, None], 0.0, follows)
        taken = jax.nn.one_hot(rows.action, self._inputs.num_actions)

        def loss(learnt: Learnt) -> tuple[jax.Array, tuple[jax.Array, dict[str, jax.Array]]]:
            values = self._twin(learnt.critics, seen, preference)
            error = jnp.sum(values * taken[..., None], axis=-2) - target
            critic_loss = 0.5 * _mean(jnp.sum(error**2, axis=(0, -1)), weight)
            logits = self._logits(learnt.actor, seen, preference)
            probability, log = jax.nn.softmax(logits), jax.nn.log_softmax(logits)
            least = jax.lax.stop_gradient(self._least(values, preference, step.utopia))
            worth = self._scalarise(least, preference, step.utopia)
            actor_loss = _mean(jnp.sum(probability * (temperature * log - worth), axis=-1), weight)
            entropy = -jnp.sum(probability * jnp.where(probability > 0, log, 0.0), axis=-1)
            total = critic_loss + actor_loss
            if c.learn_temperature:
                allowed = jnp.sum(logits > MASKED / 2, axis=-1)
                excess = jax.lax.stop_gradient(_mean(entropy - c.target_entropy * jnp.log(allowed), weight))
                total = total + learnt.log_temperature * excess
            best = jax.lax.stop_gradient(jnp.max(target, axis=0))
            return total, (
                best,
                {
                    "critic_loss": critic_loss,
                    "actor_loss": actor_loss,
                    "entropy": _mean(entropy, weight),
                    "temperature": jnp.exp(learnt.log_temperature),
                    "value": _mean(jnp.sum(probability * worth, axis=-1), weight),
                },
            )

        gradient, (best, metrics) = jax.grad(loss, has_aux=True)(step.learnt)
        if not c.learn_temperature:
            gradient = gradient._replace(log_temperature=jnp.zeros_like(gradient.log_temperature))
        changes, opt_state = self._optimiser.update(gradient, step.opt_state, step.learnt)
        learnt = optax.apply_updates(step.learnt, changes)
        targets = optax.incremental_update(learnt.critics, step.targets, c.polyak)
        # the best value seen, forgotten slowly, as early estimates may be far too high
        utopia = jnp.maximum(best, step.utopia + 0.01 * (best - step.utopia))
        utopia = jnp.where(jnp.isfinite(step.utopia), utopia, best)
        return Step(learnt, targets, opt_state, utopia), metrics

    def scales(self, return_stats: RunningStats) -> jax.Array:
        """(R,) factors of the rewards."""
        if self.config.objective_scales is not None:
            return jnp.asarray(self.config.objective_scales, jnp.float32)
        return 1.0 / running_statistics.deviation(return_stats)

    def _logits(self, actor: Any, seen: Seen, preference: jax.Array) -> jax.Array:
        weights = preference if self.config.preference_input else jnp.full_like(preference, 1 / preference.shape[-1])
        worth = jnp.sum(self._inputs.apply(actor, seen, preference) * weights[..., None, :], axis=-1)
        logits = worth
        if seen.mask is None or not self.config.mask_actions:
            return logits
        return jnp.where(seen.mask > 0, logits, MASKED)

    def _twin(self, critics: Any, seen: Seen, preference: jax.Array) -> jax.Array:
        """(2, N, A, R)."""
        return jax.vmap(self._inputs.apply, (0, None, None))(critics, seen, preference)

    def _least(self, values: jax.Array, preference: jax.Array, utopia: jax.Array) -> jax.Array:
        """(N, A, R) of the two estimates (2, N, A, R) the one that is worth less."""
        one, two = values
        less = self._scalarise(one, preference, utopia) < self._scalarise(two, preference, utopia)
        return jnp.where(less[..., None], one, two)

    def _scalarise(self, values: jax.Array, preference: jax.Array, utopia: jax.Array) -> jax.Array:
        """(N, A) of values (N, A, R)."""
        weights = preference[:, None, :]
        if self.config.scalarisation == "linear":
            return jnp.sum(values * weights, axis=-1)
        best = jnp.where(jnp.isfinite(utopia), utopia, 0.0)
        return -jnp.max(weights * (best - values), axis=-1)


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1.0)
