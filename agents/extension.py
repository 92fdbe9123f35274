"""PPO under constraints on returns, and C-MORL's second stage made of it (Liu et al., 2025).

From an archived policy, raise one objective while the others hold: maximise G_l subject to G_j >= threshold_j for all
other j, by the interior-point method (section 4.3, C-MORL-IPO). The gradient of G_l + sum_j log(G_j - threshold_j) / t
is that of a weighted sum of returns, with weights 1 and 1 / (t slack_j): PPO takes it through the weights of its
advantages, which are set anew at every update from the returns of the episodes that ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl import running
from morl.agents.ppo import PPO, Policy, PPOState
from morl.pareto import crowding_distance
from morl.types import PyTree, Transition

Floats = NDArray[np.float64]

FORGET = 0.7  # share of their weight that the returns of earlier episodes keep at each update
STEEPEST = 10.0  # largest weight of a constraint that holds, in units of the objective's


class ConstrainedState(NamedTuple):
    """A PPO learner with its constraints.

    Attributes:
        ppo: the learner.
        preference: (R,) weights of what is raised.
        allowance: (R,) how much of each return may be lost; infinite without a constraint.
        scale: (R,) what counts as one unit of each return; 0 for the unit of PPO's advantages.
        start: (R,) mean return of the first episodes that ended; the thresholds are ``start - allowance``.
        returns: (R,) running mean return of the episodes that ended lately.
        episodes: () float32 weight of that mean; 0 until an episode has ended.
        so_far: (B, R) discounted return of the episodes under way.
        discount: (B,) of their next reward.
    """

    ppo: PPOState
    preference: jax.Array
    allowance: jax.Array
    scale: jax.Array
    start: jax.Array
    returns: jax.Array
    episodes: jax.Array
    so_far: jax.Array
    discount: jax.Array


@dataclass(frozen=True)
class ConstrainedPPO:
    """PPO under constraints by a log barrier of sharpness t; without constraints it is PPO.

    Returns are those of the policy as it acts while it learns, at the learner's discount, and so are the thresholds,
    which come from the first episodes of the same policy: the noise of exploration is on both sides.
    """

    ppo: PPO
    barrier: float

    @property
    def num_envs(self) -> int:
        return self.ppo.num_envs

    @property
    def rollout_steps(self) -> int:
        return self.ppo.rollout_steps

    def init(self, key: jax.Array, preference: jax.Array) -> ConstrainedState:
        """A fresh learner without constraints."""
        policy = self.ppo.policy(self.ppo.init(key, preference))
        free = np.full(preference.shape, np.inf)
        return self.begin(policy, preference, free, np.zeros(preference.shape))

    def begin(self, policy: Policy, preference: Any, allowance: Any, scale: Any) -> ConstrainedState:
        """A learner that goes on from an archived policy; (R,) each, see :class:`ConstrainedState`."""
        preference, allowance, scale = (jnp.asarray(x, jnp.float32) for x in (preference, allowance, scale))
        zeros = jnp.zeros_like(preference)
        return ConstrainedState(
            ppo=self.ppo.begin(policy, preference),
            preference=preference,
            allowance=allowance,
            scale=scale,
            start=zeros,
            returns=zeros,
            episodes=jnp.float32(0.0),
            so_far=jnp.zeros((self.num_envs, len(preference))),
            discount=jnp.ones(self.num_envs),
        )

    def policy(self, state: ConstrainedState) -> Policy:
        """What is archived."""
        return self.ppo.policy(state.ppo)

    def act(self, policy: Policy, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """As PPO acts."""
        return self.ppo.act(policy, obs, preference, key, greedy=greedy)

    def to_env(self, action: jax.Array) -> jax.Array:
        """Actions as the environment takes them."""
        return self.ppo.to_env(action)

    def update(
        self, state: ConstrainedState, batch: Transition, key: jax.Array
    ) -> tuple[ConstrainedState, dict[str, jax.Array]]:
        """One update of PPO with the weights of the barrier's gradient; PPO's metrics and ``feasible_share``."""
        state = self.seen(state, batch)
        # of PPO's advantages: then the weights of a learner without constraints are its preference
        unit = running.deviation(state.ppo.return_stats) if self.ppo.config.normalise_rewards else 1.0
        scale = jnp.where(state.scale > 0, state.scale, unit)
        gained = jnp.where(state.episodes > 0, state.returns - state.start, 0.0)
        slack = (gained + state.allowance) / scale
        weights = barrier_weights(state.preference, slack, self.barrier)
        weights = weights * unit / scale
        ppo, metrics = self.ppo.update(state.ppo._replace(preference=weights / weights.sum()), batch, key)
        return state._replace(ppo=ppo), {**metrics, "feasible_share": (slack > 0).all().astype(jnp.float32)}

    def seen(self, state: ConstrainedState, batch: Transition) -> ConstrainedState:
        """With the returns of the episodes that end in a rollout (T, B)."""
        Carry = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

        def forward(carry: Carry, step: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Carry, None]:
            so_far, discount, total, number = carry
            reward, done, valid = step
            discount = jnp.where(valid, discount, 0.0)
            so_far = so_far + discount[:, None] * reward
            ended = (done & valid)[:, None]
            total = total + jnp.sum(jnp.where(ended, so_far, 0.0), axis=0)
            number = number + ended.sum()
            discount = jnp.where(ended[:, 0] | ~valid, 1.0, discount * self.ppo.gamma)
            return (jnp.where(ended, 0.0, so_far), discount, total, number), None

        begin = (state.so_far, state.discount, jnp.zeros_like(state.returns), jnp.float32(0.0))
        done = batch.terminated | batch.truncated
        (so_far, discount, total, number), _ = jax.lax.scan(forward, begin, (batch.reward, done, batch.valid))
        old = FORGET * state.episodes
        episodes = old + number
        returns = jnp.where(number > 0, (old * state.returns + total) / jnp.maximum(episodes, 1e-6), state.returns)
        first = (state.episodes == 0) & (number > 0)
        return state._replace(
            so_far=so_far,
            discount=discount,
            returns=returns,
            # no news keeps its weight
            episodes=jnp.where(number > 0, episodes, state.episodes),
            start=jnp.where(first, returns, state.start),
        )


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


@dataclass(frozen=True)
class Extension:
    """The second stage: ``rounds`` of ``updates`` updates, all learners of a round side by side.

    Attributes:
        learner: of all of them.
        num_objectives: R.
        num_learners: K of a seed; they start from K / R policies, rounded up, once for every objective.
        rounds, updates: how often, and how long.
        keep: β, share of the other returns that has to be kept.
    """

    learner: ConstrainedPPO
    num_objectives: int
    num_learners: int
    rounds: int
    updates: int
    keep: float

    @property
    def preferences(self) -> Floats:
        """(K, R), the objective each learner raises."""
        return np.eye(self.num_objectives)[np.arange(self.num_learners) % self.num_objectives]

    def begin(
        self, returns: Floats, policies: PyTree, reference_point: Floats, taken: set[bytes]
    ) -> list[ConstrainedState]:
        """K learners at the start of a round.

        Args:
            returns: (n, R) of the policies in the archive of a seed.
            policies: stacked.
            reference_point: (R,).
            taken: what was started from before; added to.
        """
        rows = select(returns, reference_point, -(-self.num_learners // self.num_objectives), taken)
        span = np.ptp(returns, axis=0)
        least = 0.01 * np.where(span > 0, span, np.maximum(np.abs(returns).max(axis=0), 1e-6))
        learners = []
        for i, objective in enumerate(self.preferences):
            row = rows[i // self.num_objectives]
            # of |G|, not of G: where returns are negative, βG is a stricter bound than G itself
            allowance = np.maximum((1.0 - self.keep) * np.abs(returns[row]), least)
            policy = jax.tree.map(lambda x, row=row: x[row], policies)
            # what may be lost is the unit: the barrier is then the same for objectives of any scale
            learners.append(
                self.learner.begin(policy, objective, np.where(objective > 0, np.inf, allowance), scale=allowance)
            )
        return learners


def select(returns: Floats, reference_point: Floats, number: int, taken: set[bytes]) -> NDArray[np.int64]:
    """Rows of the archive (n, R) to start from, (number,): the least crowded that were not ``taken`` before.

    What does not exceed the reference point is left out unless nothing does. Where there are too few, those taken
    before follow, and then all once more. ``taken`` is added to.
    """
    good = (returns > reference_point).all(axis=1)
    rows = np.flatnonzero(good if good.any() else np.ones(len(returns), bool))
    rows = rows[np.argsort(-crowding_distance(returns[rows]), kind="stable")]
    known = np.array([returns[row].tobytes() in taken for row in rows])
    rows = np.resize(np.concatenate([rows[~known], rows[known]]), number)
    taken.update(returns[row].tobytes() for row in rows)
    return rows
