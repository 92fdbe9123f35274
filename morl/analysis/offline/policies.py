"""Action distributions of learners, in the environment's own numbers, as importance weights need them.

Learners draw actions in units of their own and some clip them to bounds. A log has the actions that the environment
took, so that any behaviour can have written it. Densities here are of those: a number at a bound that normal draws are
clipped to counts by the probability of being clipped, any other by its density. Behaviour and target are counted alike,
and only their ratio matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.agents.ppo.algorithm import PPO
from morl.agents.sac.action_space import MIN_STD, DiscreteActions
from morl.agents.sac.algorithm import SAC
from morl.analysis.offline.settings import Target
from morl.errors import UserError
from morl.ops.actions import Integers, Reals, integers_of, reals_of
from morl.ops.batching import with_leading_axes
from morl.ops.distributions import MultiCategorical
from morl.ops.masking import MASKED_LOGIT, mask_logits
from morl.types import Features, PyTree

Describe = Callable[[PyTree, jax.Array, jax.Array], Any]
"""Function from parameters, observations (B, ...) and a preference (R,) to the description of B distributions."""
SQUASHED_BOUND = 1 - 1e-6  # beyond it float32 does not tell squashed actions apart: they count as clipped
DRAWS = 16  # of an expectation over actions that are real numbers


class ActionModel(Protocol):
    """Distributions of actions (B, *shape), as an environment takes them, of the policies of one learner.

    Attributes:
        describe: returns descriptions of distributions, pytrees of arrays (B, ...).
    """

    @property
    def describe(self) -> Describe: ...

    def log_prob(self, description: Any, action: jax.Array) -> jax.Array:
        """Return the logarithm (B,) of the probability or density of actions."""
        ...

    def sample(self, description: Any, key: jax.Array) -> jax.Array:
        """Draw an action from each distribution."""
        ...

    def uniform(self, obs: jax.Array) -> Any:
        """Return the description of uniform choices among the actions allowed at observations, for both above."""
        ...

    def features(self, action: jax.Array) -> jax.Array:
        """Return features (B, F) of actions, which a model of values is linear in."""
        ...

    def expected_features(self, description: Any, key: jax.Array) -> jax.Array:
        """Return the expectation (B, F) of :meth:`features` under each distribution, exact or of a few draws."""
        ...


@dataclass(frozen=True)
class Choices:
    """Categorical distributions, described by logits (B, n, A): of one choice, or of n independent ones.

    Attributes:
        describe: as of :class:`ActionModel`.
        sizes: number of values of each choice.
        count: converts actions to choices (B, n) that count from 0.
        to_env: the inverse of that.
        action_mask: function from observations to the allowed actions, of one choice, or None.
    """

    describe: Describe
    sizes: tuple[int, ...]
    count: Callable[[jax.Array], jax.Array]
    to_env: Callable[[jax.Array], jax.Array]
    action_mask: Features | None = None

    def log_prob(self, description: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.sum(self._chosen(action) * jax.nn.log_softmax(description), axis=(-2, -1))

    def sample(self, description: jax.Array, key: jax.Array) -> jax.Array:
        return self.to_env(jax.random.categorical(key, description).astype(jnp.int32))

    def uniform(self, obs: jax.Array) -> jax.Array:
        sizes, most = np.asarray(self.sizes), max(self.sizes)
        there = jnp.asarray((np.arange(most) < sizes[:, None]).astype(np.float32))
        logits = mask_logits(jnp.zeros((len(obs), len(sizes), most), jnp.float32), there)
        return logits if self.action_mask is None else mask_logits(logits, self.action_mask(obs)[:, None])

    def features(self, action: jax.Array) -> jax.Array:
        """Return a one-hot vector for each choice."""
        return self._chosen(action).reshape(len(action), -1)

    def expected_features(self, description: jax.Array, key: jax.Array) -> jax.Array:
        return jax.nn.softmax(description).reshape(len(description), -1)

    def _chosen(self, action: jax.Array) -> jax.Array:
        return jax.nn.one_hot(self.count(action), max(self.sizes), dtype=jnp.float32)


@dataclass(frozen=True)
class Normals:
    """Diagonal normal distributions of numbers that are clipped to their bounds, or squashed into them by tanh.

    They are described by means and logarithms of deviations, (B, n) both, before that. A uniform choice is described by
    a deviation of NaN: see :meth:`log_prob`.

    Attributes:
        describe: as of :class:`ActionModel`.
        box: the numbers.
        squashed: by tanh, and not clipped.
    """

    describe: Describe
    box: Reals
    squashed: bool = False

    def log_prob(self, description: tuple[jax.Array, jax.Array], action: jax.Array) -> jax.Array:
        """Return the logarithm of the density; numbers at a bound count by the probability of being clipped to it."""
        mean, log_std = description
        unit = self.box.to_units(action)
        half = np.asarray(self.box.half_range)
        log_slope = jnp.broadcast_to(jnp.asarray(np.log(np.where(half > 0, half, 1.0)), jnp.float32)[None], unit.shape)
        below, above = self._clipped(unit, action)
        lowest = highest = jnp.float32(1.0)
        uniform = jnp.where(below | above, -jnp.inf, -jnp.log(jnp.float32(2.0)) - log_slope)
        if self.squashed:
            inside = jnp.clip(unit, -SQUASHED_BOUND, SQUASHED_BOUND)
            log_slope = log_slope + jnp.log1p(-jnp.square(inside))
            unit, lowest = jnp.arctanh(inside), jnp.arctanh(jnp.float32(SQUASHED_BOUND))
            highest = lowest
        scale = jnp.exp(-log_std)
        z = (unit - mean) * scale
        inside = -0.5 * jnp.square(z) - log_std - 0.5 * jnp.log(jnp.float32(2 * jnp.pi)) - log_slope
        low = jax.scipy.stats.norm.logcdf((-lowest - mean) * scale)
        high = jax.scipy.stats.norm.logcdf((mean - highest) * scale)
        normal = jnp.where(below, low, jnp.where(above, high, inside))
        return jnp.sum(jnp.where(jnp.isnan(log_std), uniform, normal), axis=-1)

    def sample(self, description: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
        return self.box.to_env(self._units(description, key))

    def uniform(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        shape = (len(obs), self.box.size)
        return jnp.zeros(shape, jnp.float32), jnp.full(shape, jnp.nan, jnp.float32)

    def features(self, action: jax.Array) -> jax.Array:
        """Return 1, the numbers between their bounds, and their squares."""
        return self._polynomial(self.box.to_units(action))

    def expected_features(self, description: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, DRAWS)
        draws = jax.lax.map(lambda k: self._polynomial(self._units(description, k)), keys)
        return jnp.mean(draws, axis=0)

    def _units(self, description: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
        mean, log_std = description
        key_normal, key_uniform = jax.random.split(key)
        drawn = mean + jnp.exp(log_std) * jax.random.normal(key_normal, mean.shape, dtype=jnp.float32)
        if self.squashed:
            drawn = jnp.tanh(drawn)
        evenly = jax.random.uniform(key_uniform, mean.shape, dtype=jnp.float32, minval=-1.0, maxval=1.0)
        lowest, highest = (
            with_leading_axes(jnp.asarray(np.where(there, end, end * np.inf), jnp.float32), mean.ndim)
            for there, end in ((self.box.bounded_below, -1.0), (self.box.bounded_above, 1.0))
        )
        return jnp.where(jnp.isnan(log_std), evenly, jnp.clip(drawn, lowest, highest))

    def _clipped(self, unit: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return which numbers (B, n) are at the bound below, and at that above."""
        if self.squashed:
            return unit <= -SQUASHED_BOUND, unit >= SQUASHED_BOUND
        value = action.reshape(unit.shape).astype(jnp.float32)
        low, high, below, above = (
            with_leading_axes(jnp.asarray(each, dtype), unit.ndim)
            for each, dtype in (
                (self.box.low_within, jnp.float32),
                (self.box.high_within, jnp.float32),
                (self.box.bounded_below, bool),
                (self.box.bounded_above, bool),
            )
        )
        return below & (value <= low), above & (value >= high)

    @staticmethod
    def _polynomial(unit: jax.Array) -> jax.Array:
        return jnp.concatenate([jnp.ones_like(unit[:, :1]), unit, jnp.square(unit)], axis=-1)


def action_model(learner: Any, space: Space[Any], kind: Target, action_mask: Features | None = None) -> ActionModel:
    """Return the distributions of a learner's policies.

    Args:
        learner: whose ``act`` gives greedy actions; sampled ones are known of PPO's kind (ppo, cmorl, d3po) and of the
            soft actor-critics (capql, gmorl, dsac).
        space: of actions.
        kind: ``sampled`` or ``greedy``.
        action_mask: as of :class:`morl.types.Task`.

    Raises:
        UserError: greedy actions that are real numbers; a learner whose distribution is not known.
    """
    if kind == "greedy":
        return _greedy(learner, space, action_mask)
    base = getattr(learner, "ppo", learner)
    if isinstance(base, PPO):
        return _of_ppo(base, space, action_mask)
    if isinstance(base, SAC):
        return _of_sac(base, action_mask)
    raise UserError(
        "the probabilities of this agent's sampled actions are not known (they are for ppo, cmorl, d3po, capql, gmorl "
        "and dsac); greedy actions are an alternative where actions are a few choices"
    )


def _of_ppo(ppo: PPO, space: Space[Any], action_mask: Features | None) -> ActionModel:
    family = ppo.actions
    if isinstance(space, spaces.Discrete):

        def logits(params: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
            return ppo.output(params, obs, preference)[:, None]

        return _discrete(logits, space, action_mask)
    if isinstance(family, MultiCategorical):
        parts = family

        def each(params: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
            return parts.logits(ppo.output(params, obs, preference))

        return _integers(each, parts.parts)

    def normal(params: PyTree, obs: jax.Array, preference: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = ppo.output(params, obs, preference)
        return mean, jnp.broadcast_to(params.log_std[None], mean.shape)

    return Normals(normal, _reals(space))


def _of_sac(sac: SAC, action_mask: Features | None) -> ActionModel:
    actions = sac.actions

    def output(params: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
        weights = jnp.broadcast_to(preference, (len(obs), preference.shape[-1]))
        return sac.networks.actor_output(params.actor, sac.networks.inputs(params.obs_stats, obs), weights)

    if isinstance(actions, DiscreteActions):

        def logits(params: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
            return output(params, obs, preference)[:, None]

        if actions.parts is None:
            return _discrete(logits, cast(spaces.Discrete, sac.action_space), action_mask)
        return _joint(logits, actions.parts)

    def normal(params: PyTree, obs: jax.Array, preference: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, raw = jnp.split(output(params, obs, preference), 2, axis=-1)
        return mean, jnp.log(jax.nn.softplus(raw) + MIN_STD)

    return Normals(normal, _reals(sac.action_space), squashed=True)


def _greedy(learner: Any, space: Space[Any], action_mask: Features | None) -> ActionModel:
    """Return greedy actions as distributions: logit 0 for the action, all others masked."""
    parts = integers_of(space)
    model: Choices

    def describe(params: PyTree, obs: jax.Array, preference: jax.Array) -> jax.Array:
        action = learner.to_env(learner.act(params, obs, preference, jax.random.key(0), greedy=True))
        chosen = jax.nn.one_hot(model.count(action), max(model.sizes), dtype=jnp.float32)
        return jnp.where(chosen > 0, jnp.float32(0.0), jnp.float32(MASKED_LOGIT))

    if isinstance(space, spaces.Discrete):
        model = _discrete(describe, space, action_mask)
    elif parts is not None:
        model = _integers(describe, parts)
    else:
        raise UserError("greedy actions that are real numbers have no density: sampled ones can be logged and judged")
    return model


def _discrete(describe: Describe, space: spaces.Discrete, action_mask: Features | None) -> Choices:
    start = int(space.start)
    return Choices(
        describe,
        (int(space.n),),
        lambda a: (a - start).astype(jnp.int32)[:, None],
        lambda c: c[:, 0] + start,
        action_mask,
    )


def _integers(describe: Describe, parts: Integers) -> Choices:
    return Choices(describe, parts.sizes, lambda a: _counted(parts, a), parts.to_env)


def _joint(describe: Describe, parts: Integers) -> Choices:
    """Return one choice among all combinations of the parts of an array of integers."""
    number = int(np.prod(parts.sizes))
    return Choices(
        describe,
        (number,),
        lambda a: parts.join(_counted(parts, a))[:, None],
        lambda c: parts.to_env(parts.split(c[:, 0])),
    )


def _counted(parts: Integers, action: jax.Array) -> jax.Array:
    return action.reshape(len(action), -1).astype(jnp.int32) - jnp.asarray(parts.starts, jnp.int32)[None]


def _reals(space: Space[Any]) -> Reals:
    """Return the numbers of a Box.

    Raises:
        UserError: they are rounded to integers, whose probabilities are not computed.
    """
    box = reals_of(cast(spaces.Box, space))
    if np.issubdtype(box.dtype, np.integer):
        raise UserError("probabilities of real numbers that are rounded to integers are not known; no log can be used")
    return box
