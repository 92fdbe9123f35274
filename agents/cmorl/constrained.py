"""PPO under constraints on returns: maximise p·G subject to G_j >= threshold_j (Liu et al., 2025, section 4.3).

- C-MORL-IPO, the interior-point method: the gradient of p·G + sum_j log(G_j - threshold_j) / t is that of a weighted
  sum of returns, with weights p_j and 1 / (t slack_j). PPO takes it through the weights of its advantages, which are
  set anew at every update (:func:`barrier_weights`).
- C-MORL-CPO, constrained policy optimisation: a step within a trust region (:mod:`.trust_region`) replaces the passes
  of the actor.

The barrier can also be put on the return of each single episode, inside the expectation (:func:`secants`). A mixture of
two policies of the front, one beyond each side, meets a constraint on the mean. A constraint on single episodes has to
be met by each, which finds policies that no linear preference prefers. It is the wrong constraint where the outcome of
an episode is mostly chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.cmorl import lengths, trust_region
from morl.agents.cmorl.lengths import Lengths
from morl.agents.ppo import surrogates
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.types import Policy, PPOLearning
from morl.ops.batching import with_leading_axes
from morl.ops.masking import masked_mean, standardise
from morl.ops.returns import episode_over, gae, td_errors
from morl.types import LearnerState, Metrics, Transition

FORGET = 0.7  # factor of the weight of earlier rollouts at each update
MARGIN = (
    2 * trust_region.TOLERANCE
)  # distance inside the constraints that a trust region's step aims at, in their units
STEEPEST = 20.0  # largest slope of a barrier, in units of the objective that is raised


class ConstrainedLearning(NamedTuple):
    """The ``learning`` of a learner's state: PPO's, the constraints, and how far the returns are from them.

    Attributes:
        ppo: of the PPO learner.
        allowance: (R,) loss of each return that is allowed; infinite without a constraint.
        scale: (R,) unit of each return, above 0.
        episodic: () bool, the constraints are on single episodes; else on their mean.
        origin: (R,) return of the policy as it was archived; the thresholds of single episodes lie ``allowance`` below
            it. Unused for constraints on the mean.
        initial_policy: policy it started from. Its critic measures what has been lost since.
        lengths: counts of the episodes of recent rollouts.
        td_sum: (R,) sum of the temporal differences by that critic, over the steps counted in ``lengths``.
        td_bias: (R,) their mean in the first rollout, in which that policy acts: the error of its critic.
    """

    ppo: PPOLearning
    allowance: jax.Array
    scale: jax.Array
    episodic: jax.Array
    origin: jax.Array
    initial_policy: Policy
    lengths: Lengths
    td_sum: jax.Array
    td_bias: jax.Array


class ConstrainedEpisode(NamedTuple):
    """The ``episode`` of a learner's state, about the episodes under way.

    Attributes:
        ppo: (B, R) of the PPO learner: discounted sums of rewards, latest reward first.
        partial_return: (B, R) discounted return so far, first reward first.
        age: (B,) int32 steps so far.
    """

    ppo: jax.Array
    partial_return: jax.Array
    age: jax.Array


class EpisodeReturns(NamedTuple):
    """(T, B, R) return of the whole episode, as a critic expects it ``before`` and ``after`` each step of a rollout."""

    before: jax.Array
    after: jax.Array


@dataclass(frozen=True)
class ConstrainedPPO:
    """PPO learner under constraints; its policies are PPO's.

    Attributes:
        ppo: the learner, with the discount it learns at.
        gamma: discount of the returns that are constrained.
        method: "ipo", or "cpo", which has constraints on the mean alone.
        barrier: sharpness t of the interior-point method.
        max_kl: largest divergence of a step of "cpo".
        limit: time limit of an episode in steps, if any.
    """

    ppo: PPO
    gamma: float
    method: Literal["ipo", "cpo"] = "ipo"
    barrier: float = 20.0
    max_kl: float = 0.01
    limit: int | None = None

    @property
    def num_envs(self) -> int:
        return self.ppo.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.ppo.rollout_steps

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner without constraints."""
        size = self.ppo.num_objectives
        return self.begin(self.ppo.policy(self.ppo.init(key)), np.full(size, np.inf), np.ones(size))

    def begin(self, policy: Policy, allowance: Any, scale: Any, archived: Any = None) -> LearnerState:
        """Return a learner that starts from an archived policy.

        Args:
            policy: to start from.
            allowance, scale: (R,), see :class:`ConstrainedLearning`.
            archived: (R,) return of the policy, for constraints on single episodes; None for constraints on the mean.
        """
        ppo = self.ppo.begin(policy)
        allowance, scale = (jnp.asarray(x, jnp.float32) for x in (allowance, scale))
        zeros = jnp.zeros_like(allowance)
        learning = ConstrainedLearning(
            ppo=ppo.learning,
            allowance=allowance,
            scale=scale,
            episodic=jnp.asarray(archived is not None),
            origin=zeros if archived is None else jnp.asarray(archived, jnp.float32),
            initial_policy=policy,
            lengths=lengths.no_episodes(),
            td_sum=zeros,
            td_bias=zeros,
        )
        age = jnp.zeros(self.num_envs, jnp.int32)
        return LearnerState(ppo.params, learning, ConstrainedEpisode(ppo.episode, jnp.zeros_like(ppo.episode), age))

    def policy(self, state: LearnerState) -> Policy:
        """Extract the acting and warm-start parameters."""
        return self.ppo.policy(_ppo_state(state))

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B, ...) as PPO does."""
        return self.ppo.act(policy, obs, preference, key, greedy=greedy)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to those of the environment."""
        return self.ppo.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B): raise what its preference weighs, within the constraints.

        Returns:
            The learner, and PPO's metrics with ``feasible_share``: whether all constraints held before the update.
        """
        state, returns = self.track_returns(state, batch)
        slack = self.slack(state) / state.learning.scale
        if self.method == "ipo":
            ppo_state, metrics = self._barrier_step(state, batch, key, slack, returns)
        else:
            ppo_state, metrics = self._trust_region_step(state, batch, key, slack)
        return _with_ppo(state, ppo_state), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def _barrier_step(
        self, state: LearnerState, batch: Transition, key: jax.Array, slack: jax.Array, returns: EpisodeReturns
    ) -> tuple[LearnerState, Metrics]:
        """Update by the interior-point method: PPO with the weights of the barrier's gradient."""
        learning: ConstrainedLearning = state.learning
        # advantages are of rewards in PPO's scale, slopes are in the scale of the constraints
        unit = self.ppo.reward_scale(learning.ppo.return_stats) / learning.scale
        weights = barrier_weights(batch.preference, slack, self.barrier) * unit[None, None]

        threshold = learning.origin - learning.allowance
        before, after = ((x - threshold[None, None]) / learning.scale[None, None] for x in returns)
        of_episodes = (batch.preference + secants(before, after, self.barrier)) * unit[None, None]
        weights = jnp.where(
            learning.episodic,
            of_episodes / masked_mean(of_episodes.mean(axis=-1), batch.valid),
            weights / weights.sum(axis=-1, keepdims=True),
        )
        ppo_state, rollout = self.ppo.process_rollout(_ppo_state(state), batch)
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        # weights of single episodes change from step to step, so they weigh temporal differences
        delta = (rollout.delta * weights).sum(axis=-1)
        advantage = gae(delta, over, self.ppo.gamma, self.ppo.config.gae_lambda)
        return self.ppo.fit(ppo_state, rollout, standardise(advantage, rollout.weight), key)

    def _trust_region_step(
        self, state: LearnerState, batch: Transition, key: jax.Array, slack: jax.Array
    ) -> tuple[LearnerState, Metrics]:
        """Update by constrained policy optimisation: one step of the actor, and PPO's passes of the critic."""
        ppo_state, rollout = self.ppo.process_rollout(_ppo_state(state), batch)
        params = ppo_state.params
        # a change of the return is the advantage of the new actions, summed over an episode
        unit = self.ppo.reward_scale(ppo_state.learning.return_stats) * self.horizon(state) / state.learning.scale
        advantage = rollout.advantage * unit[None, None]
        actor, log_std = trust_region.step(
            (params.actor, params.log_std),
            surrogates.surrogate_estimate(self.ppo, params, rollout, advantage),
            surrogates.objective_gradients(self.ppo, params, rollout, advantage),
            batch.preference[0, 0],  # the same at every step of a second stage
            slack - MARGIN,
            self.max_kl,
        )
        ppo_state = ppo_state._replace(params=params._replace(actor=actor, log_std=log_std))
        raised = (rollout.advantage * batch.preference).sum(axis=-1)
        return self.ppo.fit(ppo_state, rollout, raised, key, train_actor=False)

    def slack(self, state: LearnerState) -> jax.Array:
        """Return the distance (R,) of the mean returns from their thresholds, negative beyond them.

        The loss of a return since the start is the sum of the temporal differences of an episode, by the critic of the
        initial policy (Kakade and Langford, 2002, lemma 6.1). It is known before an episode has ended, and favours
        neither long episodes nor short ones. The discount is the critic's, by which the temporal differences have mean
        0 at every age of an episode until the policy changes.
        """
        learning: ConstrainedLearning = state.learning
        seen = learning.lengths.steps > 0
        mean = learning.td_sum / jnp.where(seen, learning.lengths.steps, 1.0)
        return jnp.where(seen, mean - learning.td_bias, 0.0) * self.horizon(state) + learning.allowance

    def horizon(self, state: LearnerState) -> jax.Array:
        """Return the expected sum of the discounts of an episode's steps, ()."""
        left = math.inf if self.limit is None else self.limit
        return lengths.horizon(lengths.survival(state.learning.lengths, self.limit), self.gamma, left)

    def track_returns(self, state: LearnerState, batch: Transition) -> tuple[LearnerState, EpisodeReturns]:
        """Count the episodes, returns and losses of a rollout (T, B); return the learner and its episodes' returns."""
        learning: ConstrainedLearning = state.learning
        done, valid = batch.terminated | batch.truncated, batch.valid
        episode, earned, ages = self._follow_episodes(state.episode, batch)
        flags = (valid, batch.terminated & valid, done & ~batch.terminated & valid)
        counts = Lengths(*(flag.sum(dtype=jnp.int32).astype(jnp.float32) for flag in flags))
        known: Lengths = jax.tree.map(lambda old, new: FORGET * old + new, learning.lengths, counts)

        value, next_value = self._values(learning.initial_policy, batch)
        bootstrap = jnp.where(batch.terminated, 0.0, jnp.float32(self.ppo.gamma))
        delta = td_errors(batch.reward, bootstrap, next_value, value)
        delta = jnp.where(valid[..., None], delta, 0.0).sum(axis=(0, 1))
        bias = delta / jnp.maximum(counts.steps, 1.0)

        value, next_value = self._values(self.policy(state), batch)
        survival = lengths.survival(known, self.limit)
        left = math.inf if self.limit is None else self.limit - ages[..., None]
        factor = partial(lengths.value_factor, survival, self.ppo.gamma, self.gamma)
        follows = jnp.where(done[..., None], 0.0, factor(left - 1) * next_value)
        discount = (jnp.float32(self.gamma) ** ages.astype(jnp.float32))[..., None]
        returns = EpisodeReturns(
            before=earned + discount * factor(left) * value,
            after=earned + discount * (batch.reward + self.gamma * follows),
        )
        learning = learning._replace(
            lengths=known,
            td_sum=FORGET * learning.td_sum + delta,
            td_bias=jnp.where(learning.lengths.steps > 0, learning.td_bias, bias),
        )
        return state._replace(learning=learning, episode=episode), returns

    def _follow_episodes(
        self, episode: ConstrainedEpisode, batch: Transition
    ) -> tuple[ConstrainedEpisode, jax.Array, jax.Array]:
        """Return the episodes after a rollout, and the partial return (T, B, R) and age (T, B) before each step."""
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        Carry = tuple[jax.Array, jax.Array]

        def forward(carry: Carry, step: tuple[jax.Array, jax.Array]) -> tuple[Carry, Carry]:
            partial_return, age = carry
            reward, over = step
            following = partial_return + (jnp.float32(self.gamma) ** age.astype(jnp.float32))[:, None] * reward
            return (jnp.where(over[:, None], 0.0, following), jnp.where(over, 0, age + 1)), carry

        begin = episode.partial_return, episode.age
        (partial_return, age), (earned, ages) = jax.lax.scan(forward, begin, (batch.reward, over))
        return episode._replace(partial_return=partial_return, age=age), earned, ages

    def _values(self, policy: Policy, batch: Transition) -> tuple[jax.Array, jax.Array]:
        """Return the values (T, B, R) of the observations acted on and of the next ones, in units of the rewards."""
        scale = self.ppo.reward_scale(policy.return_stats)[None, None]
        value, next_value = self.ppo.values(policy, batch)
        return value * scale, next_value * scale


def _ppo_state(state: LearnerState) -> LearnerState:
    """Return the state of the PPO learner inside a constrained one."""
    return LearnerState(state.params, state.learning.ppo, state.episode.ppo)


def _with_ppo(state: LearnerState, ppo: LearnerState) -> LearnerState:
    """Return a constrained learner with another state of its PPO learner."""
    learning, episode = state.learning._replace(ppo=ppo.learning), state.episode._replace(ppo=ppo.episode)
    return state._replace(params=ppo.params, learning=learning, episode=episode)


def barrier_weights(preference: jax.Array, slack: jax.Array, barrier: float) -> jax.Array:
    """Return weights (..., R) of the returns' gradients: the preference, plus 1 / (t slack) for the constraints.

    If a constraint is broken, what is raised waits (weight 0) and the broken ones count alone, by how far they are
    beyond, so that a policy outside comes back. No weight of a constraint is above ``STEEPEST``, so none is infinite.

    Args:
        preference: (..., R) weights of what is raised.
        slack: (R,) distance of each return from its threshold, negative beyond it; infinite without a constraint.
        barrier: t.
    """
    slack = with_leading_axes(slack, preference.ndim)
    broken = slack <= 0
    inside = jnp.minimum(1.0 / (barrier * jnp.maximum(slack, 1e-6)), STEEPEST)
    return jnp.where(broken.any(), jnp.where(broken, 1e-3 - slack, 0.0), preference + inside)


def secants(begin: jax.Array, end: jax.Array, barrier: float) -> jax.Array:
    """Return the slopes of log(slack) / t between two slacks, elementwise; 0 where they are infinite.

    Below the slack at which its slope is ``STEEPEST`` the logarithm is continued by its tangent.
    """
    least = 1.0 / (barrier * STEEPEST)

    def value(x: jax.Array) -> jax.Array:
        inside = jnp.maximum(x, least)
        return jnp.log(inside) + (jnp.minimum(x, least) - least) / least

    begin, end = (jnp.where(jnp.isinf(x), 1e12, x) for x in (begin, end))
    difference, middle = end - begin, (begin + end) / 2
    apart = jnp.abs(difference) > 1e-3 * jnp.maximum(jnp.abs(middle), least)
    secant = (value(end) - value(begin)) / jnp.where(apart, difference, 1.0)
    return jnp.where(apart, secant, 1.0 / jnp.maximum(middle, least)) / barrier
