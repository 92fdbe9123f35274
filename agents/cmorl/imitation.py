"""Imitation: a copy of a policy learns the actions of recorded episodes, by supervised learning alone."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.types import Policy
from morl.ops.masking import masked_mean

STEPS, LEARNING_RATE = 150, 0.01  # of Adam
CLOSE = 0.05  # error of a real action, in units of its bounds, below which it is learnt
WEIGHT = 10.0  # of the recorded actions, beside keeping the outputs elsewhere


class Demonstration(NamedTuple):
    """Recorded steps for a policy to imitate.

    Attributes:
        obs, action: (N, ...) of the steps.
        weight: (N,) float32, 0 for rows to leave out.
        elsewhere: (K, ...) observations for which the policy is to act as before.
        preference: (R,) that it acts for.
    """

    obs: Any
    action: Any
    weight: Any
    elsewhere: Any
    preference: Any


def imitate(learner: PPO, policy: Policy, shown: Demonstration) -> Policy:
    """Return the policy with an actor that acts as shown, or nearly so, by behaviour cloning (Pomerleau, 1991).

    The loss is the mean negative log-likelihood of the actions, plus the mean squared change of the outputs elsewhere.
    Ends as soon as the most likely actions are those shown, after :data:`STEPS` at the latest. To be jitted.
    """
    optimiser = optax.adam(LEARNING_RATE)
    log_std = jnp.zeros_like(policy.log_std)  # squared errors for real actions
    output_of = partial(_output, learner, policy, shown.preference)
    before = output_of(policy.actor, shown.elsewhere)

    def loss(actor: Any) -> jax.Array:
        likelihood = learner.actions.log_prob(output_of(actor, shown.obs), log_std, shown.action)
        change = output_of(actor, shown.elsewhere) - before
        return -WEIGHT * masked_mean(likelihood, shown.weight) + jnp.mean(change**2)

    def differs(actor: Any) -> jax.Array:
        action = learner.actions.mode(output_of(actor, shown.obs), log_std)
        apart = jnp.abs(action - shown.action) > CLOSE
        return jnp.any(apart.reshape(len(shown.weight), -1).any(axis=1) & (shown.weight > 0))

    def step(carry: tuple[jax.Array, Any, Any]) -> tuple[jax.Array, Any, Any]:
        index, actor, state = carry
        changes, state = optimiser.update(jax.grad(loss)(actor), state)
        return index + 1, optax.apply_updates(actor, changes), state

    def unlearnt(carry: tuple[jax.Array, Any, Any]) -> jax.Array:
        return (carry[0] < STEPS) & differs(carry[1])

    actor = jax.tree.map(jnp.asarray, policy.actor)
    _, actor, _ = jax.lax.while_loop(unlearnt, step, (jnp.int32(0), actor, optimiser.init(actor)))
    return policy._replace(actor=actor)


def _output(learner: PPO, policy: Policy, preference: jax.Array, actor: Any, obs: jax.Array) -> jax.Array:
    return learner.output(policy._replace(actor=actor), obs, preference)
