"""Losses of GFlowNets, for one trajectory of at most T steps.

``log_forward`` and ``log_backward`` are (T,), the policy's own log P_F and log P_B of each step, 0 after the last one.
``log_flow`` is (T + 1,), the logarithm of the flow through each state from the start on: log Z first, β log R at the
finished object, and arbitrary after it (:func:`log_flows`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def trajectory_balance(
    log_z: jax.Array, log_forward: jax.Array, log_backward: jax.Array, log_reward: jax.Array
) -> jax.Array:
    """Compute (log Z + Σ log P_F − Σ log P_B − log R)².

    Malkin et al. (2022), equation 14; Jain et al. (2023), section 3.2.
    """
    return (log_z + jnp.sum(log_forward - log_backward) - log_reward) ** 2


def detailed_balance(
    log_flow: jax.Array, log_forward: jax.Array, log_backward: jax.Array, length: jax.Array
) -> jax.Array:
    """Compute the mean over steps of (log F(s) + log P_F − log F(s') − log P_B)².

    Bengio et al. (2023), definition 19.
    """
    valid = jnp.arange(log_forward.shape[0], dtype=jnp.int32) < length
    error = log_flow[:-1] + log_forward - log_flow[1:] - log_backward
    return jnp.sum(jnp.where(valid, error, 0.0) ** 2) / length.astype(jnp.float32)


def subtrajectory_balance(
    log_flow: jax.Array, log_forward: jax.Array, log_backward: jax.Array, length: jax.Array, decay: float
) -> jax.Array:
    """Compute the mean over all parts i < j of the squared error of their balance, weighted by decay^(j − i).

    Madan et al. (2023), equations 9 and 10: SubTB(λ).
    """
    steps = jnp.concatenate([jnp.zeros(1, jnp.float32), jnp.cumsum(log_forward - log_backward)])
    index = jnp.arange(log_flow.shape[0], dtype=jnp.int32)
    there = index <= length
    # the balance of a part is a difference of potentials, so all of them are one outer difference
    potential = jnp.where(there, log_flow - steps, 0.0)
    apart = index[None, :] - index[:, None]
    weight = jnp.where(
        (apart > 0) & there[None, :], jnp.float32(decay) ** jnp.maximum(apart, 0).astype(jnp.float32), 0.0
    )
    return jnp.sum(weight * (potential[:, None] - potential[None, :]) ** 2) / jnp.sum(weight)


def log_flows(inner: jax.Array, length: jax.Array, log_z: jax.Array, log_reward: jax.Array) -> jax.Array:
    """Put the log flows (B, T + 1) of B trajectories together.

    Args:
        inner: (B, T) the network's log flows of the states acted on.
        length: (B,) steps.
        log_z: (B,) flow of the start.
        log_reward: (B,) β log R, flow of the finished object.
    """
    place = jnp.arange(inner.shape[1] + 1, dtype=jnp.int32)[None]
    flow = jnp.where(place == 0, log_z[:, None], jnp.pad(inner, ((0, 0), (0, 1))))
    return jnp.where(place == length[:, None], log_reward[:, None], flow)
