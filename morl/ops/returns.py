"""Returns and advantages of vector rewards."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def td_error(
    reward: jax.Array, value: jax.Array, next_value: jax.Array, terminated: jax.Array, gamma: float
) -> jax.Array:
    """Temporal differences r + gamma V(s') - V(s), (T, B, R), one for each objective.

    Args:
        reward, value: (T, B, R); ``value`` of the observation acted on.
        next_value: (T, B, R), of the true successor, also where the episode was cut off there.
        terminated: (T, B) bool; no value follows.
        gamma: discount.
    """
    return reward + gamma * jnp.where(terminated[..., None], 0.0, next_value) - value


def traced(delta: jax.Array, done: jax.Array, decay: float) -> jax.Array:
    """Sum of what follows in the episode, (T, B, R) like ``delta``, each step back weighing ``decay`` times less.

    With temporal differences and a decay of gamma * lambda it is generalised advantage estimation (Schulman et al.,
    2016, eq. 16); advantage + value is then the target of the critic.

    Args:
        delta: (T, B, R).
        done: (T, B) bool, terminated or truncated; nothing later is counted.
        decay: in [0, 1].
    """
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
