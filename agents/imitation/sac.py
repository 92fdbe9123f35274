"""Soft actor-critic that imitates a teacher: the critics learn what its policies are worth, the actor what they do.

The actor learns by behaviour cloning (Pomerleau, 1991), for the preferences that the teacher acted for. The critics,
the replay and all statistics go on as in :class:`~morl.agents.sac.algorithm.SAC`, so that learning by reward can follow
from the same state.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.imitation.teacher import Teacher
from morl.agents.sac.action_space import ActionSpace, DiscreteActions, PolicyActions
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.types import Batch, Params, Policy, SACLearning
from morl.ops.masking import masked_mean
from morl.types import LearnerState, PyTree


class Acting(NamedTuple):
    """Policy, and factors (R,) from its preferences to weights of returns in the environment's units."""

    policy: Policy
    units: jax.Array


@dataclass(frozen=True)
class ImitatingSAC(SAC):
    """Soft actor-critic that imitates.

    Attributes:
        teacher: acts.
    """

    teacher: Teacher = field(kw_only=True)

    def policy(self, state: LearnerState) -> Any:
        """Extract the parameters, with the units of preferences."""
        return Acting(super().policy(state), self.reward_scales(state.learning.return_stats))

    def act(self, policy: Any, obs: jax.Array, preference: jax.Array, key: jax.Array, *, greedy: bool) -> jax.Array:
        """Return the teacher's actions for observations (B, ...) and preferences (R,) or (B, R)."""
        preference = jnp.broadcast_to(preference, (obs.shape[0], preference.shape[-1]))
        return recorded_by_sac(self.actions, self.teacher.act(obs, preference * policy.units[None], key))

    def _actor_loss(
        self, actor: PyTree, params: Params, learning: SACLearning, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PolicyActions, jax.Array]]:
        """Return the loss of imitation, and what SAC's own loss returns besides."""
        _, rest = super()._actor_loss(actor, params, learning, batch, key)
        output = self.networks.actor_output(actor, batch.inputs, batch.preference)
        return masked_mean(self.actions.difference(output, batch.action), batch.weight), rest


def imitating(learner: SAC, teacher: Teacher) -> ImitatingSAC:
    """Return a learner of the same state that imitates a teacher.

    An action is shown for the preference that it was taken for alone, and the temperature stays: a policy that has
    become certain of what it was shown is not to be made less so.
    """
    parts: dict[str, Any] = {each.name: getattr(learner, each.name) for each in dataclasses.fields(learner)}
    parts["config"] = dataclasses.replace(learner.config, relabel_preferences=False, learn_temperature=False)
    return ImitatingSAC(**parts, teacher=teacher)


def recorded_by_sac(actions: ActionSpace, action: jax.Array) -> jax.Array:
    """Return actions (B, ...) that PPO recorded as a soft actor-critic records them.

    One integer is the same for both. An array of integers is one joint number; reals are kept from -1 to 1.
    """
    if not isinstance(actions, DiscreteActions):
        return jnp.clip(action, -1.0, 1.0)
    return action if actions.parts is None else actions.parts.join(action)
