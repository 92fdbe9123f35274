"""PPO under constraints on returns: maximise p·G subject to G_j >= threshold_j (Liu et al., 2025, section 4.3).

By the interior-point method (C-MORL-IPO) the gradient of p·G + sum_j log(G_j - threshold_j) / t is that of a weighted
sum of returns, with weights p and 1 / (t slack_j): PPO takes it through the weights of its advantages, set anew at
every update. By constrained policy optimisation (C-MORL-CPO) a step is :mod:`.trust_region`'s.

The barrier can also be put on the return of each single episode, inside the expectation. A constraint on the mean is
met by a mixture of two policies of the front, one beyond each side; of single episodes each has to meet it, so that
policies are found that no linear preference prefers. Where an episode's outcome is mostly chance, the mean is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents import trust_region
from morl.agents.ppo import PPO, Params, Policy, PPOState
from morl.batching import batched
from morl.types import Transition

FORGET = 0.7  # share of their weight that the returns of earlier episodes keep at each update
MARGIN = 2 * trust_region.TOLERANCE  # inside of its constraints that a trust region's step aims at, in their units
STEEPEST = 20.0  # largest slope of a barrier, in units of the objective that is raised

Updated = tuple["ConstrainedState", dict[str, jax.Array]]


class ConstrainedState(NamedTuple):
    """A PPO learner with its constraints.

    Attributes:
        ppo: the learner.
        preference: (R,) weights of what is raised.
        allowance: (R,) how much of each return may be lost; infinite without a constraint.
        scale: (R,) what counts as one unit of each return; 0, in the first stage, for the unit of PPO's advantages.
        episodic: () bool, the constraints are on single episodes, not on their mean.
        origin: (R,) return that the thresholds lie ``allowance`` below: of the policy as it was archived for single
            episodes, else the mean of the first episodes that ended, so that the noise of acting is on both sides.
        returns: (R,) running mean return of the episodes that ended lately.
        horizon: () the same of the sum of the discounts of their steps.
        episodes: () float32 weight of those means; 0 until an episode has ended.
        so_far: (B, R + 1) discounted return of the episodes under way, and the sum of their discounts.
        discount: (B,) of their next reward.
    """

    ppo: PPOState
    preference: jax.Array
    allowance: jax.Array
    scale: jax.Array
    episodic: jax.Array
    origin: jax.Array
    returns: jax.Array
    horizon: jax.Array
    episodes: jax.Array
    so_far: jax.Array
    discount: jax.Array


@dataclass(frozen=True)
class ConstrainedPPO:
    """PPO under constraints; without constraints it is PPO.

    Attributes:
        ppo: the learner, with the discount it learns at.
        gamma: discount of the returns that are constrained.
        method: "ipo", or "cpo", which knows constraints on the mean alone, for learners of the second stage.
        barrier: t, sharpness of the interior-point method.
        radius: largest divergence of a step of "cpo".
    """

    ppo: PPO
    gamma: float
    method: Literal["ipo", "cpo"] = "ipo"
    barrier: float = 20.0
    radius: float = 0.01

    @property
    def num_envs(self) -> int:
        return self.ppo.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.ppo.rollout_steps

    def init(self, key: jax.Array, preference: jax.Array) -> ConstrainedState:
        """A fresh learner without constraints."""
        policy = self.ppo.policy(self.ppo.init(key, preference))
        return self.begin(policy, preference, np.full(preference.shape, np.inf), np.zeros(preference.shape))

    def begin(
        self, policy: Policy, preference: Any, allowance: Any, scale: Any, archived: Any = None
    ) -> ConstrainedState:
        """A learner that goes on from an archived policy; (R,) each, see :class:`ConstrainedState`.

        ``archived`` is the policy's return, for constraints on single episodes.
        """
        preference, allowance, scale = (jnp.asarray(x, jnp.float32) for x in (preference, allowance, scale))
        zeros = jnp.zeros_like(preference)
        return ConstrainedState(
            ppo=self.ppo.begin(policy, preference),
            preference=preference,
            allowance=allowance,
            scale=scale,
            episodic=jnp.asarray(archived is not None),
            origin=zeros if archived is None else jnp.asarray(archived, jnp.float32),
            returns=zeros,
            horizon=jnp.float32(1.0),
            episodes=jnp.float32(0.0),
            so_far=jnp.zeros((self.num_envs, len(preference) + 1)),
            discount=jnp.ones(self.num_envs),
        )

    def policy(self, state: ConstrainedState) -> Policy:
        """What is archived."""
        return self.ppo.policy(state.ppo)

    def restarted(self, state: ConstrainedState) -> ConstrainedState:
        """Without the episodes under way."""
        return state._replace(
            ppo=self.ppo.restarted(state.ppo),
            so_far=jnp.zeros_like(state.so_far),
            discount=jnp.ones_like(state.discount),
        )

    def learnt(self, state: ConstrainedState) -> Params:
        """What gradients move."""
        return state.ppo.params

    def undone(self, before: ConstrainedState, after: ConstrainedState) -> ConstrainedState:
        """As before."""
        return before

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """As PPO acts."""
        return self.ppo.act(policy, obs, preference, key, greedy=greedy)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Actions as the environment takes them."""
        return self.ppo.to_env(action)

    def update(self, state: ConstrainedState, batch: Transition, key: jax.Array) -> Updated:
        """One update towards what is raised, within the constraints; PPO's metrics and ``feasible_share``."""
        if self.method == "ipo":
            return self._by_barrier(state, batch, key)

        def all_learners(state: ConstrainedState, batch: Transition, key: jax.Array) -> Updated:
            """Those of a stage are alike: one of the two methods is run. A ``vmap`` of the choice would run both."""
            constrained = (state.scale > 0).any()  # 0 in the first stage
            ways = jax.vmap(self._by_trust_region), jax.vmap(self._by_barrier)
            out: Updated = jax.lax.cond(constrained, *ways, state, batch, key)
            return out

        done: Updated = batched(all_learners)(state, batch, key)
        return done

    def _by_barrier(self, state: ConstrainedState, batch: Transition, key: jax.Array) -> Updated:
        # of PPO's advantages: then the weights of a learner without constraints are its preference
        unit = self.ppo.unit(state.ppo.return_stats)
        scale = jnp.where(state.scale > 0, state.scale, self.ppo.preference_unit(state.ppo.return_stats))
        state, before, discount = self.seen(state, batch)
        slack = self.slack(state) / scale
        weights = barrier_weights(state.preference, slack, self.barrier) * unit / scale

        value, next_value = (x * unit for x in self.ppo.values(state.ppo, batch))
        next_value = jnp.where(batch.terminated[..., None], 0.0, next_value)
        low = state.origin - state.allowance
        # what the episode comes to, as the critic sees it, before and after each step
        here = before + discount[..., None] * value
        there = before + discount[..., None] * (batch.reward + self.ppo.gamma * next_value)
        slopes = secants((here - low) / scale, (there - low) / scale, self.barrier)
        of_episodes = (state.preference + slopes) * unit / scale
        weights = jnp.where(state.episodic, of_episodes / of_episodes.mean(), weights / weights.sum())
        ppo, metrics = self.ppo.update(state.ppo, batch, key, weights)
        return state._replace(ppo=ppo), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def _by_trust_region(self, state: ConstrainedState, batch: Transition, key: jax.Array) -> Updated:
        state, _, _ = self.seen(state, batch)
        slack = self.slack(state) / state.scale
        ppo, look = self.ppo.look(state.ppo, batch)
        unit = self.ppo.unit(ppo.return_stats)
        # a change of the return is the advantage of the new actions, summed over an episode
        advantage = look.advantage * unit * state.horizon / state.scale
        policy = trust_region.step(
            (ppo.params.actor, ppo.params.log_std),
            self.ppo.outlook(ppo.params, look, advantage),
            state.preference,
            slack - MARGIN,
            self.radius,
        )
        actor, log_std = policy
        ppo = ppo._replace(params=ppo.params._replace(actor=actor, log_std=log_std))
        raised = look.advantage @ state.preference
        ppo, metrics = self.ppo.fit(ppo, look, raised, key, actor=False)
        return state._replace(ppo=ppo), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def slack(self, state: ConstrainedState) -> jax.Array:
        """(R,) distance of the mean returns from their thresholds."""
        return jnp.where(state.episodes > 0, state.returns - state.origin, 0.0) + state.allowance

    def seen(self, state: ConstrainedState, batch: Transition) -> tuple[ConstrainedState, jax.Array, jax.Array]:
        """With the returns of the episodes that end in a rollout (T, B).

        Also, for each step, the discounted return of its episode before it, (T, B, R), and its discount, (T, B).
        """
        Carry = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
        reward = jnp.concatenate([batch.reward, jnp.ones_like(batch.reward[..., :1])], axis=-1)

        def forward(
            carry: Carry, step: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[Carry, tuple[jax.Array, jax.Array]]:
            before, discount, total, number = carry
            reward, done, valid = step
            discount = jnp.where(valid, discount, 0.0)
            so_far = before + discount[:, None] * reward
            ended = (done & valid)[:, None]
            total = total + jnp.sum(jnp.where(ended, so_far, 0.0), axis=0)
            number = number + ended.sum()
            following = jnp.where(ended[:, 0] | ~valid, 1.0, discount * self.gamma)
            return (jnp.where(ended | ~valid[:, None], 0.0, so_far), following, total, number), (
                before[:, :-1],
                discount,
            )

        begin = (state.so_far, state.discount, jnp.zeros(reward.shape[-1]), jnp.float32(0.0))
        done = batch.terminated | batch.truncated
        (so_far, discount, total, number), steps = jax.lax.scan(forward, begin, (reward, done, batch.valid))
        old = FORGET * state.episodes
        episodes = old + number
        known = jnp.append(state.returns, state.horizon)
        means = jnp.where(number > 0, (old * known + total) / jnp.maximum(episodes, 1e-6), known)
        first = (state.episodes == 0) & (number > 0) & ~state.episodic
        state = state._replace(
            so_far=so_far,
            discount=discount,
            returns=means[:-1],
            horizon=means[-1],
            # no news keeps its weight
            episodes=jnp.where(number > 0, episodes, state.episodes),
            origin=jnp.where(first, means[:-1], state.origin),
        )
        return state, *steps


def barrier_weights(preference: jax.Array, slack: jax.Array, barrier: float) -> jax.Array:
    """(R,) weights of the returns' gradients: the preference, and 1 / (t slack) for the constraints.

    Where a constraint does not hold, what is raised waits (weight 0) and the broken ones count alone, by how far they
    are, so that a policy outside comes back. No weight is more than ``STEEPEST``, so that none is infinite.

    Args:
        preference: (R,) weights of what is raised.
        slack: (R,) distance of each return from its threshold, negative beyond it; infinite without a constraint.
        barrier: t.
    """
    broken = slack <= 0
    inside = jnp.minimum(1.0 / (barrier * jnp.maximum(slack, 1e-6)), STEEPEST)
    return jnp.where(broken.any(), jnp.where(broken, 1e-3 - slack, 0.0), preference + inside)


def secants(begin: jax.Array, end: jax.Array, barrier: float) -> jax.Array:
    """Slopes of log(slack) / t between two slacks, elementwise; 0 where they are infinite.

    Below the slack at which it is as steep as ``STEEPEST`` the logarithm goes on as its tangent.
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
