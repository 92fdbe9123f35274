"""PPO under constraints on returns: maximise p·G subject to G_j >= threshold_j (Liu et al., 2025, section 4.3).

By the interior-point method (C-MORL-IPO) the gradient of p·G + sum_j log(G_j - threshold_j) / t is that of a weighted
sum of returns, with weights p and 1 / (t slack_j): PPO takes it through the weights of its advantages, set anew at
every update. By constrained policy optimisation (C-MORL-CPO) a step is :mod:`.trust_region`'s.

The barrier can also be put on the return of each single episode, inside the expectation. A constraint on the mean is
met by a mixture of two policies of the front, one beyond each side; of single episodes each has to meet it, so that
policies are found that no linear preference prefers. Where an episode's outcome is mostly chance, the mean is meant.
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
from morl.agents.ppo.algorithm import PPO, Params, Policy, PPOState
from morl.ops.batching import batched
from morl.ops.returns import td_error
from morl.types import Transition

FORGET = 0.7  # share of their weight that earlier rollouts keep at each update
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
        origin: (R,) return of the policy as it was archived, which thresholds of single episodes lie ``allowance``
            below; not used for those of the mean.
        initial_policy: the policy it began from, by whose critic it is told what has been lost since.
        lengths: of the episodes lately.
        gained: (R,) running sum of the temporal differences by that critic, of as many steps as are in ``lengths``.
        first: (R,) their mean in the first rollout, in which that policy acts: the error of its critic.
        partial_return: (B, R) discounted return of the episodes under way.
        age: (B,) int32 steps of them.
    """

    ppo: PPOState
    preference: jax.Array
    allowance: jax.Array
    scale: jax.Array
    episodic: jax.Array
    origin: jax.Array
    initial_policy: Policy
    lengths: Lengths
    gained: jax.Array
    first: jax.Array
    partial_return: jax.Array
    age: jax.Array


class Outcomes(NamedTuple):
    """(T, B, R) what the episode comes to, as a critic sees it ``before`` and ``after`` each step of a rollout."""

    before: jax.Array
    after: jax.Array


@dataclass(frozen=True)
class ConstrainedPPO:
    """PPO under constraints; without constraints it is PPO.

    Attributes:
        ppo: the learner, with the discount it learns at.
        gamma: discount of the returns that are constrained.
        method: "ipo", or "cpo", which knows constraints on the mean alone, for learners of the second stage.
        barrier: t, sharpness of the interior-point method.
        max_kl: largest divergence of a step of "cpo".
        limit: steps after which episodes are cut off, if at all.
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
            initial_policy=policy,
            lengths=lengths.nothing(),
            gained=zeros,
            first=zeros,
            partial_return=jnp.zeros((self.num_envs, len(preference))),
            age=jnp.zeros(self.num_envs, jnp.int32),
        )

    def policy(self, state: ConstrainedState) -> Policy:
        """What is archived."""
        return self.ppo.policy(state.ppo)

    def restarted(self, state: ConstrainedState) -> ConstrainedState:
        """Without the episodes under way."""
        return state._replace(
            ppo=self.ppo.restarted(state.ppo),
            partial_return=jnp.zeros_like(state.partial_return),
            age=jnp.zeros_like(state.age),
        )

    def learnt(self, state: ConstrainedState) -> Params:
        """What gradients move."""
        return state.ppo.params

    def undone(self, before: ConstrainedState, after: ConstrainedState) -> ConstrainedState:
        """As before, but for the episodes under way, which went on."""
        return before._replace(
            ppo=self.ppo.undone(before.ppo, after.ppo), partial_return=after.partial_return, age=after.age
        )

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
        state, outcomes = self.seen(state, batch)
        slack = self.slack(state) / scale
        weights = barrier_weights(state.preference, slack, self.barrier) * unit / scale

        low = state.origin - state.allowance
        slopes = secants((outcomes.before - low) / scale, (outcomes.after - low) / scale, self.barrier)
        of_episodes = (state.preference + slopes) * unit / scale
        weights = jnp.where(state.episodic, of_episodes / of_episodes.mean(), weights / weights.sum())
        ppo, metrics = self.ppo.update(state.ppo, batch, key, weights)
        return state._replace(ppo=ppo), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def _by_trust_region(self, state: ConstrainedState, batch: Transition, key: jax.Array) -> Updated:
        state, _ = self.seen(state, batch)
        slack = self.slack(state) / state.scale
        ppo, look = self.ppo.look(state.ppo, batch)
        unit = self.ppo.unit(ppo.return_stats)
        # a change of the return is the advantage of the new actions, summed over an episode
        advantage = look.advantage * unit * self.horizon(state) / state.scale
        policy = trust_region.step(
            (ppo.params.actor, ppo.params.log_std),
            self.ppo.outlook(ppo.params, look, advantage),
            state.preference,
            slack - MARGIN,
            self.max_kl,
        )
        actor, log_std = policy
        ppo = ppo._replace(params=ppo.params._replace(actor=actor, log_std=log_std))
        raised = look.advantage @ state.preference
        ppo, metrics = self.ppo.fit(ppo, look, raised, key, actor=False)
        return state._replace(ppo=ppo), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def slack(self, state: ConstrainedState) -> jax.Array:
        """(R,) distance of the mean returns from their thresholds.

        What a return has lost is what the temporal differences of an episode come to, by the critic of the policy begun
        from (Kakade and Langford, 2002, lemma 6.1). It is known before an episode has ended, and favours neither long
        nor short ones. At the discount of the critic, by which they are 0 in the mean at every age of an episode until
        the policy changes.
        """
        seen = state.lengths.steps > 0
        mean = state.gained / jnp.where(seen, state.lengths.steps, 1.0)
        return jnp.where(seen, mean - state.first, 0.0) * self.horizon(state) + state.allowance

    def horizon(self, state: ConstrainedState) -> jax.Array:
        """() expected sum of the discounts of an episode's steps."""
        left = math.inf if self.limit is None else self.limit
        return lengths.horizon(lengths.survival(state.lengths, self.limit), self.gamma, left)

    def seen(self, state: ConstrainedState, batch: Transition) -> tuple[ConstrainedState, Outcomes]:
        """With what a rollout (T, B) says of returns, and what its episodes come to."""
        done, valid = batch.terminated | batch.truncated, batch.valid
        gamma = self.gamma

        def forward(
            carry: tuple[jax.Array, jax.Array], step: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
            partial_return, age = carry
            reward, done, valid = step
            over = done | ~valid
            following = partial_return + (gamma**age)[:, None] * reward
            return (jnp.where(over[:, None], 0.0, following), jnp.where(over, 0, age + 1)), (partial_return, age)

        (partial_return, age), (earned, ages) = jax.lax.scan(
            forward, (state.partial_return, state.age), (batch.reward, done, valid)
        )
        counts = Lengths(valid.sum(), (batch.terminated & valid).sum(), (done & ~batch.terminated & valid).sum())
        known: Lengths = jax.tree.map(lambda old, new: FORGET * old + new, state.lengths, counts)

        value, next_value = self._values(state.initial_policy, batch)
        difference = td_error(batch.reward, value, next_value, batch.terminated, self.ppo.gamma)
        difference = jnp.where(valid[..., None], difference, 0.0).sum(axis=(0, 1))
        first = difference / jnp.maximum(counts.steps, 1.0)

        value, next_value = self._values(self.policy(state), batch)
        survival = lengths.survival(known, self.limit)
        left = math.inf if self.limit is None else self.limit - ages[..., None]
        worth = partial(lengths.worth, survival, self.ppo.gamma, gamma)
        follows = jnp.where(done[..., None], 0.0, worth(left - 1) * next_value)
        discount = (gamma**ages)[..., None]
        outcomes = Outcomes(
            before=earned + discount * worth(left) * value,
            after=earned + discount * (batch.reward + gamma * follows),
        )
        state = state._replace(
            lengths=known,
            gained=FORGET * state.gained + difference,
            first=jnp.where(state.lengths.steps > 0, state.first, first),
            partial_return=partial_return,
            age=age,
        )
        return state, outcomes

    def _values(self, policy: Policy, batch: Transition) -> tuple[jax.Array, jax.Array]:
        """Of a policy's critic, (T, B, R), of what was acted on and what followed, in units of the rewards."""
        unit = self.ppo.unit(policy.return_stats)
        value, next_value = self.ppo.values(policy, batch)
        return value * unit, next_value * unit


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
