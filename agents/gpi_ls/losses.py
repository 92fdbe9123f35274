"""Equations of GPI-LS (Alegre et al., 2023, arXiv 2301.07784), over discrete or continuous actions.

``N`` transitions, ``C`` critics, ``K`` preferences that policies are compared for, ``A`` actions, ``R`` objectives.
Values are vectors, and ``scalar`` (..., R) are the weights w that make one number of them, w·Q.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from morl.ops.batching import with_leading_axes
from morl.ops.masking import MASKED_LOGIT


def weights_of(preference: jax.Array, units: jax.Array) -> jax.Array:
    """Return the weights (..., R) of the critics' values for preferences (..., R), with a sum of 1.

    Networks take these too, so that what they see does not depend on the objectives' units.

    Args:
        preference: (..., R).
        units: (R,) factors from a preference to weights of the critics' values.
    """
    weights = preference * with_leading_axes(units / jnp.max(units), preference.ndim)
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), np.finfo(np.float32).tiny)


def least_by_worth(values: jax.Array, scalar: jax.Array) -> jax.Array:
    """Return, of C critics' values (C, ..., R), those of the critic whose w·Q is less for each action, (..., R).

    Clipped double Q-learning (Fujimoto et al., 2018) that keeps a critic's whole vector.

    Args:
        values: (C, ..., R) of one or two critics.
        scalar: (..., R), broadcasts to a critic's values.
    """
    if len(values) == 1:
        return values[0]
    worth = jnp.sum(values * scalar[None], axis=-1)
    return jnp.where((worth[0] < worth[1])[..., None], values[0], values[1])


def gpi_action(values: jax.Array, scalar: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return argmax_a max_{w' ∈ M} w·Q(s, a, w'), (N,) int32: generalised policy improvement (equation 5).

    Args:
        values: (N, K, A, R) Q(s, a, w') of the K preferences w' of M.
        scalar: (N, R) of the preference w to act for.
        mask: (N, A) 1 for allowed actions; None where all are.
    """
    worth = jnp.max(jnp.sum(values * scalar[:, None, None], axis=-1), axis=1)
    return jnp.argmax(masked(worth, mask), axis=-1).astype(jnp.int32)


def gpi_policy(values: jax.Array, scalar: jax.Array) -> jax.Array:
    """Return the policy of the largest w·Q(s, π(s, w'), w') as ones and zeros (N, K), for continuous actions.

    Args:
        values: (N, K, R) Q(s, π(s, w'), w') of the K preferences w' of M.
        scalar: (N, R) of the preference w to act for.
    """
    worth = jnp.sum(values * scalar[:, None], axis=-1)
    chosen: jax.Array = jax.nn.one_hot(jnp.argmax(worth, axis=-1), worth.shape[-1], dtype=worth.dtype)
    return chosen


def critic_loss(error: jax.Array, weight: jax.Array, delta: float | None) -> jax.Array:
    """Return the weighted mean over transitions of Huber's loss, or of ½ δ², summed over critics and objectives, ().

    Args:
        error: (C, N, R) δ = Q(s, a, w) - y.
        weight: (N,).
        delta: error from which on the loss is linear; None for squares.
    """
    loss = 0.5 * error**2 if delta is None else optax.huber_loss(error, delta=delta)
    return jnp.sum(jnp.sum(loss, axis=(0, -1)) * weight) / jnp.maximum(jnp.sum(weight), 1e-6)


def priority(error: jax.Array, scalar: jax.Array, least: float, exponent: float) -> jax.Array:
    """Return max(|w·δ|, least)^α, (N,), of the critic of the larger |w·δ| (section 4.2).

    Args:
        error: (C, N, R) δ.
        scalar: (N, R).
        least: least |w·δ| that counts.
        exponent: α.
    """
    size = jnp.max(jnp.abs(jnp.sum(error * scalar[None], axis=-1)), axis=0)
    found: jax.Array = jnp.maximum(size, jnp.float32(least)) ** jnp.float32(exponent)
    return found


def masked(worth: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Return worths (N, A), far below all others for actions that a mask (N, A) forbids."""
    return worth if mask is None else jnp.where(mask > 0, worth, MASKED_LOGIT)
