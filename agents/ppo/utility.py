"""PPO that maximises a utility u of the vector return, instead of a weighted sum with fixed weights.

- SER, the utility of the expected return, u(E[R]): its policy gradient is that of the return weighed by ∇u(E[R]), so
  that weights follow the gradient of u at the mean return (Roijers et al., 2013; :class:`ExpectedReturnUtility`).
- ESR, the expected utility of the return, E[u(R)]: with R_t the return accrued before step t, the sum over an episode
  of u(R_t+1) - u(R_t) is u(R) - u(0), so that this is an ordinary reward; u(0) is left out. The policy sees R_t and
  the time, which the best action depends on (Roijers et al., 2018; Hayes et al., 2022, section 4;
  :class:`EpisodeUtility`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.types import Policy, PPOLearning
from morl.envs.accrued import AccruedSpace
from morl.errors import UserError
from morl.networks import encoders
from morl.networks.images import ObservationEncoder
from morl.ops import running_statistics
from morl.ops.masking import standardise
from morl.ops.returns import episode_over
from morl.ops.running_statistics import RunningStats
from morl.ops.utilities.named import UTILITIES, Utility, checked_utility, named_utility
from morl.registry import load
from morl.types import LearnerState, Metrics, Transition

FORGET = 0.7  # factor of the weight of earlier episodes' returns at each update
FOLLOW = 0.1  # share of the new gradient in the weights: where u has a kink, weights settle between its gradients


def load_utility(name: str, num_objectives: int, **shape: Any) -> Utility:
    """Return a utility by name, or the function that ``module:function`` names.

    Args:
        name: of one in :mod:`morl.ops.utilities`, or ``module:function``.
        num_objectives: R.
        shape: parameters of :func:`morl.ops.utilities.named.named_utility`; a function of one's own has none.

    Raises:
        UserError: no such utility, or one that does not return a number.
    """
    if name in UTILITIES or ":" not in name:
        return named_utility(name, num_objectives, **shape)
    return checked_utility(load(name), name, num_objectives)


class UtilityLearning(NamedTuple):
    """The ``learning`` of a learner's state.

    Attributes:
        ppo: of the PPO learner.
        return_sum: (R,) sum of the returns of recent episodes, the older ones counting less.
        episodes: () their number, counted alike.
        weights: (R,) slow average of the gradient of u, by its sum of sizes.
        known: () float32 share of that average which is not of the zeros it began with.
    """

    ppo: PPOLearning
    return_sum: jax.Array
    episodes: jax.Array
    weights: jax.Array
    known: jax.Array


class UtilityEpisode(NamedTuple):
    """The ``episode`` of a learner's state: (B, R) of PPO, (B, R) discounted return and (B,) int32 steps so far."""

    ppo: jax.Array
    partial_return: jax.Array
    age: jax.Array


@dataclass(frozen=True)
class ExpectedReturnUtility:
    """Learner that climbs u(E[R]) by PPO; its policies are PPO's.

    Attributes:
        ppo: the learner.
        gamma: discount of the returns that u takes.
        utility: u.
    """

    ppo: PPO
    gamma: float
    utility: Utility

    def __getattr__(self, name: str) -> Any:
        """Return what acting needs, and the spaces, from PPO."""
        if name.startswith("__") or name == "ppo":
            raise AttributeError(name)
        return getattr(self.ppo, name)

    @property
    def num_envs(self) -> int:
        return self.ppo.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.ppo.rollout_steps

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh learner."""
        state, size = self.ppo.init(key), self.ppo.num_objectives
        zeros, zero = jnp.zeros(size, jnp.float32), jnp.zeros((), jnp.float32)
        episode = UtilityEpisode(state.episode, jnp.zeros_like(state.episode), jnp.zeros(self.num_envs, jnp.int32))
        learning = UtilityLearning(state.learning, zeros, zero, jnp.zeros_like(zeros), jnp.zeros_like(zero))
        return LearnerState(state.params, learning, episode)

    def policy(self, state: LearnerState) -> Policy:
        """Extract the acting and warm-start parameters."""
        return self.ppo.policy(LearnerState(state.params, state.learning.ppo, state.episode.ppo))

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return actions (B, ...) as PPO does."""
        return self.ppo.act(policy, obs, preference, key, greedy=greedy)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Convert recorded actions to those of the environment."""
        return self.ppo.to_env(action)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B); metrics have ``utility``, u at the mean return of recent episodes."""
        preference = batch.preference[0, 0]
        state = self.track_returns(state, batch)
        learning: UtilityLearning = state.learning
        # 1. the gradient of u at the mean return, averaged slowly
        mean = learning.return_sum / jnp.maximum(learning.episodes, 1e-6)
        value, slope = jax.value_and_grad(self.utility)(mean, preference)
        slope = slope / jnp.maximum(jnp.sum(jnp.abs(slope)), 1e-12)
        share = jnp.where(learning.episodes > 0, jnp.float32(FOLLOW), 0.0)
        average = learning.weights + share * (slope - learning.weights)
        known = learning.known + share * (1 - learning.known)
        weights = jnp.where(known > 0, average / jnp.where(known > 0, known, 1.0), preference)
        # 2. PPO with these weights, which are of returns in their own units
        ppo_state = LearnerState(state.params, learning.ppo, state.episode.ppo)
        weights = weights * self.ppo.reward_scale(learning.ppo.return_stats)
        ppo_state, rollout = self.ppo.process_rollout(ppo_state, batch)
        advantage = standardise(jnp.sum(weights[None, None] * rollout.advantage, axis=-1), rollout.weight)
        ppo_state, metrics = self.ppo.fit(ppo_state, rollout, advantage, key)
        learning = learning._replace(ppo=ppo_state.learning, weights=average, known=known)
        state = LearnerState(ppo_state.params, learning, state.episode._replace(ppo=ppo_state.episode))
        return state, {**metrics, "utility": value}

    def track_returns(self, state: LearnerState, batch: Transition) -> LearnerState:
        """Add the discounted returns of the episodes that end in a rollout (T, B)."""
        over = episode_over(batch.terminated, batch.truncated, batch.valid)
        Carry = tuple[jax.Array, jax.Array]

        def forward(carry: Carry, step: tuple[jax.Array, ...]) -> tuple[Carry, tuple[jax.Array, jax.Array]]:
            partial_return, age = carry
            reward, over, done = step
            following = partial_return + (jnp.float32(self.gamma) ** age.astype(jnp.float32))[:, None] * reward
            counted = jnp.where(done[:, None], following, 0.0)
            return (jnp.where(over[:, None], 0.0, following), jnp.where(over, 0, age + 1)), (counted, done)

        done = (batch.terminated | batch.truncated) & batch.valid  # a lost episode has no return
        begin = state.episode.partial_return, state.episode.age
        (partial_return, age), (returns, ended) = jax.lax.scan(forward, begin, (batch.reward, over, done))
        learning = state.learning._replace(
            return_sum=FORGET * state.learning.return_sum + jnp.sum(returns, axis=(0, 1)),
            episodes=FORGET * state.learning.episodes + jnp.sum(ended, dtype=jnp.int32).astype(jnp.float32),
        )
        return state._replace(learning=learning, episode=state.episode._replace(partial_return=partial_return, age=age))


@dataclass(frozen=True)
class EpisodeUtility(PPO):
    """PPO learner whose reward is u(R_t+1) - u(R_t), in an environment that shows the accrued return.

    All R values of its critic are of that one reward; rewards are undiscounted, as the discount is inside R.

    Attributes:
        utility: u.
    """

    utility: Utility | None = None

    @property
    def _space(self) -> AccruedSpace:
        space = self.observation_space
        assert isinstance(space, AccruedSpace)  # noqa: S101  # the setup wraps the environment
        return space

    @property
    def encoder(self) -> ObservationEncoder:
        """Return the encoder of the inner observation, followed by the accrued return and the time; images are flat.

        Raises:
            UserError: convolutions are asked for.
        """
        if self.config.encoder == "nature":
            raise UserError("encoder nature is not for criterion esr, whose policies see returns too; give flat")
        inner, space = encoders.encoder(self._space.inner), self._space

        def encode(obs: jax.Array) -> jax.Array:
            return jnp.concatenate([inner.encode(space.observed(obs)), space.rest(obs)], axis=-1)

        return ObservationEncoder(encode, inner.size + self.num_objectives + 1, False, None)

    def features(self, obs_stats: RunningStats, obs: jax.Array) -> jax.Array:
        """Return observations (..., n + R + 1) as features, normalised but for the one-hot ones."""
        features, inner = self.encoder.encode(obs), encoders.encoder(self._space.inner)
        if not self.config.normalise_observations:
            return features
        normalised = running_statistics.normalise(obs_stats, features)
        if not inner.one_hot:
            return normalised
        return jnp.concatenate([features[..., : inner.size], normalised[..., inner.size :]], axis=-1)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B) of increments of the utility.

        The time limit ends an episode here: its return is what it has accrued by then, and the policy sees the time.
        """
        reward = jnp.broadcast_to(self.increments(batch)[..., None], batch.reward.shape)
        ended = batch.terminated | batch.truncated
        batch = batch._replace(reward=reward, terminated=ended, truncated=jnp.zeros_like(ended))
        return super().update(state, batch, key)

    def increments(self, batch: Transition) -> jax.Array:
        """Return u(R_t+1) - u(R_t), (T, B), and u(R_1) for the first step of an episode.

        u(0) is the same for all episodes; far below what they reach it would drown their differences.
        """
        assert self.utility is not None  # noqa: S101  # the agent sets it
        value = jax.vmap(jax.vmap(self.utility, (0, None)), (0, None))
        space, preference = self._space, batch.preference[0, 0]
        before, after = (value(space.accrued(obs), preference) for obs in (batch.obs, batch.next_obs))
        return after - jnp.where(space.time(batch.obs) > 0, before, 0.0)
