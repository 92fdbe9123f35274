"""Returns and advantages of vector rewards."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    done: jax.Array,
    gamma: float,
    gae_lambda: float,
) -> jax.Array:
    """Generalised advantage estimation, one per objective (Schulman et al., 2016, eq. 16).

    Args:
        reward, value: (T, B, R); ``value`` of the observation acted on.
        next_value: (T, B, R), of the true successor, also where the episode was cut off there.
        terminated: (T, B) bool; no value follows.
        done: (T, B) bool, terminated or truncated; no later reward is counted.
        gamma, gae_lambda: discount and trace decay in [0, 1].

    Returns:
        (T, B, R) advantages; ``advantage + value`` is the target of the critic.
    """
    delta = td_error(reward, value, next_value, terminated, gamma)
    return traced(delta, done, gamma * gae_lambda)


def td_error(
    reward: jax.Array, value: jax.Array, next_value: jax.Array, terminated: jax.Array, gamma: float
) -> jax.Array:
    """r + gamma V(s') - V(s) of each objective, (T, B, R); arguments as in :func:`gae`."""
    return reward + gamma * jnp.where(terminated[..., None], 0.0, next_value) - value


def traced(delta: jax.Array, done: jax.Array, decay: float) -> jax.Array:
    """Sum of what follows in the episode, (T, B, R) like ``delta``, each step back weighing ``decay`` times less."""
    decays = decay * jnp.where(done[..., None], 0.0, 1.0)

    def backward(total: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta_t, decay_t = step
        total = delta_t + decay_t * total
        return total, total

    return jax.lax.scan(backward, jnp.zeros_like(delta[0]), (delta, decays), reverse=True)[1]


def discounted_sum(reward: jax.Array, done: jax.Array, start: jax.Array, gamma: float) -> tuple[jax.Array, jax.Array]:
    """Discounted sum of the rewards so far in each episode, forward in time.

    Args:
        reward: (T, B, R).
        done: (T, B) bool; the sum starts over after it.
        start: (B, R), the sum carried in from the steps before.
        gamma: discount.

    Returns:
        the sum to carry on, (B, R), and the sum at each step, (T, B, R).
    """

    def forward(total: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reward_t, done_t = step
        total = total * gamma + reward_t
        return jnp.where(done_t[..., None], 0.0, total), total

    return jax.lax.scan(forward, start, (reward, done))
