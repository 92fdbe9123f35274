"""Losses of soft actor-critic for vector critics, over discrete or continuous actions.

Equations of Haarnoja et al., 2018 (arXiv 1812.05905); for discrete actions those of Christodoulou, 2019 (arXiv
1910.07207), which are the same with exact expectations. ``N`` transitions, ``R`` objectives, ``K`` actions that an
expectation is over (:class:`~morl.agents.sac.action_space.PolicyActions`). Values and rewards are vectors, and
``worth`` (N, K) is their scalarisation for the preference of each transition. ``weight`` (N,) is 1 for transitions to
learn from and 0 for lost ones.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from morl.agents.sac.action_space import PolicyActions
from morl.ops.masking import masked_mean

Scalarise = Callable[[jax.Array], jax.Array]


def least_by_worth(values: jax.Array, scalarise: Scalarise) -> jax.Array:
    """Return, of the twin critics' vectors (2, N, K, R), for each action the one that is worth less, (N, K, R).

    Clipped double Q-learning (Fujimoto et al., 2018) that compares scalarised values and keeps a critic's whole vector.
    """
    first, second = values
    first_is_less = scalarise(first) < scalarise(second)
    return jnp.where(first_is_less[..., None], first, second)


def least_each(values: jax.Array) -> jax.Array:
    """Return, of the twin critics' vectors (2, N, K, R), the lesser of both in each objective, (N, K, R).

    Clipped double Q-learning (Fujimoto et al., 2018) for each objective by itself (Lu et al., 2023, CAPQL).
    """
    return jnp.min(values, axis=0)


def soft_value(policy: PolicyActions, values: jax.Array, temperature: jax.Array) -> jax.Array:
    """Return V(s) = E_a[Q(s, a) - α log π(a|s)], (N, R) (Haarnoja et al., equation 3; Christodoulou, equation 10).

    The entropy is added once to each objective. As the weights of a preference add up to 1, it counts once in any
    weighted sum (Lu et al., 2023, CAPQL).

    Args:
        policy: actions in s.
        values: (N, K, R) Q(s, a).
        temperature: () α.
    """
    soft = values - temperature * policy.log_prob[..., None]
    return jnp.sum(policy.probability[..., None] * soft, axis=-2)


def critic_target(reward: jax.Array, discount: jax.Array, terminated: jax.Array, next_value: jax.Array) -> jax.Array:
    """Return the target y = r + γ V(s'), or r where nothing follows, (N, R) (Haarnoja et al., equation 5).

    Args:
        reward: (N, R), of up to n steps.
        discount: (N,) γ to the power of these steps.
        terminated: (N,) bool; a truncated episode is not.
        next_value: (N, R) V(s').
    """
    return reward + discount[:, None] * jnp.where(terminated[:, None], 0.0, next_value)


def critic_loss(
    values: jax.Array, target: jax.Array, weight: jax.Array, importance: jax.Array | None = None
) -> jax.Array:
    """Return J_Q = E[½ (Q(s, a) - y)²], (), summed over twins and objectives (Haarnoja et al., equation 5).

    Args:
        values: (2, N, R) of the actions taken.
        target: (N, R) y.
        weight: (N,).
        importance: (N,) factors of the transitions' losses, where they were not drawn uniformly (Schaul et al., 2016,
            arXiv 1511.05952, section 3.4).
    """
    squares = jnp.sum((values - target[None]) ** 2, axis=(0, -1))
    return 0.5 * masked_mean(squares if importance is None else importance * squares, weight)


def scalar_error(values: jax.Array, target: jax.Array, preference: jax.Array) -> jax.Array:
    """Return |w (Q(s, a) - y)| (N,), the error in what a transition is worth, averaged over the twins.

    Alegre et al. (2023, arXiv 2301.07784) draw transitions in proportion to it.

    Args:
        values: (2, N, R) of the actions taken.
        target: (N, R) y.
        preference: (N, R) w.
    """
    return jnp.mean(jnp.abs(jnp.sum(preference[None] * (values - target[None]), axis=-1)), axis=0)


def actor_loss(policy: PolicyActions, worth: jax.Array, temperature: jax.Array, weight: jax.Array) -> jax.Array:
    """Return J_π = E_s[E_a[α log π(a|s) - w(Q(s, a))]], () (Haarnoja et al., equation 7; Christodoulou, equation 12).

    Args:
        policy: actions in s. A sample is differentiated through (Haarnoja et al., equation 9).
        worth: (N, K) w(Q), of the lesser twin.
        temperature: () α.
        weight: (N,).
    """
    return masked_mean(policy.expectation(temperature * policy.log_prob - worth), weight)


def temperature_loss(log_temperature: jax.Array, policy: PolicyActions, weight: jax.Array) -> jax.Array:
    """Return J_α = log α E_s[H(π(.|s)) - H̄], () (Haarnoja et al., equation 18; Christodoulou, equation 11).

    The equations have α in place of its logarithm. As in the published code of Haarnoja et al., the logarithm makes
    the size of a step independent of α.

    Args:
        log_temperature: () log α.
        policy: actions in s, with the target H̄; not differentiated.
        weight: (N,).
    """
    excess = masked_mean(policy.entropy - policy.target_entropy, weight)
    return log_temperature * jax.lax.stop_gradient(excess)
