"""Utility functions u(v; w) of returns v (..., R) and weights w (R,) of the objectives, (...); more is better.

``point`` is (R,) in units of the returns: a utopia, an aspiration, a point of disagreement or thresholds, as each says.
``widths`` (R,) are positive lengths that returns are measured in. Every function is concave (:func:`p_mean` above its
point) and has a finite gradient everywhere, so that PPO can climb it from anywhere. The linear utility is that
of :mod:`morl.ops.scalarisation`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.ops import scalarisation
from morl.ops.batching import with_leading_axes

LEAST_GAIN = 1e-2
"""Gain, in widths, below which logarithms and powers go on as straight lines."""

AUGMENTATION = 1e-3
"""Weight of the sum in the achievement function; its maxima are then non-dominated (Miettinen, 1999, section 3.4)."""

LEXICOGRAPHIC = 1e-2
"""Worth of a width of an objective beside one of the objective before it, in the thresholded lexicographic order."""


class Shape(NamedTuple):
    """Parameters of a utility.

    Attributes:
        point: (R,) see the module.
        widths: (R,).
        power: exponent p of the power mean, or α of α-fairness.
        smoothness: μ of the smooth maximum, in widths.
    """

    point: jax.Array
    widths: jax.Array
    power: float = 2.0
    smoothness: float = 0.1


def linear(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return Σ w_i v_i."""
    return _number(scalarisation.linear(values, _like(weights, values)))


def tchebycheff(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return -max_i w_i (z_i - v_i) / s_i, with the utopia z as the point (Miettinen, 1999, section 3.4)."""
    gains = _gains(values, shape)
    return _least(_like(weights, gains) * gains)


def smooth_tchebycheff(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return -μ log Σ_i exp(w_i (z_i - v_i) / s_i / μ) (Lin et al., 2024, equation 8); Tchebycheff's for μ to 0."""
    losses = -_like(weights, values) * _gains(values, shape)
    return -shape.smoothness * jax.nn.logsumexp(losses / shape.smoothness, axis=-1)


def achievement(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return min_i (v_i - z_i) / s_i + ρ Σ_i w_i (v_i - z_i) / s_i, with an aspiration z (Wierzbicki, 1980).

    0 where the aspiration is met exactly, above where it is surpassed.
    """
    gains = _gains(values, shape)
    return _least(gains) + AUGMENTATION * jnp.sum(_like(weights, gains) * gains, axis=-1)


def nash_welfare(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return Σ_i w_i log((v_i - d_i) / s_i), with the point of disagreement d (Kaneko and Nakamura, 1979)."""
    return jnp.sum(_like(weights, values) * _fair(_gains(values, shape), 1.0), axis=-1)


def alpha_fair(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return Σ_i w_i x_i^(1 - α) / (1 - α), x = (v - d) / s; Σ w_i log x_i for α = 1 (Mo and Walrand, 2000)."""
    return jnp.sum(_like(weights, values) * _fair(_gains(values, shape), shape.power), axis=-1)


def p_mean(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return (Σ w_i x_i^p)^(1/p), x = (v - d) / s, p <= 1; the geometric mean for p = 0 (Moulin, 2003, chapter 3)."""
    gains, weights = _gains(values, shape), _like(weights, values)
    inside = jnp.maximum(gains, LEAST_GAIN)
    if shape.power == 0:
        mean = jnp.exp(jnp.sum(weights * jnp.log(inside), axis=-1))
    else:
        # by logarithms, as x^p overflows for a large negative p
        logs = jnp.log(jnp.maximum(weights, 1e-30)) + shape.power * jnp.log(inside)
        mean = jnp.exp(jax.nn.logsumexp(logs, axis=-1) / shape.power)
    return mean + jnp.sum(weights * jnp.minimum(gains - LEAST_GAIN, 0.0), axis=-1)


def gini(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return Σ_k ω_k x_(k), the generalised Gini welfare: x ascending, ω the weights descending (Weymark, 1981).

    Weights belong to ranks and not to objectives: the least objective has the largest.
    """
    gains = jnp.sort(_gains(values, shape), axis=-1)
    return jnp.sum(_like(jnp.sort(weights)[::-1], gains) * gains, axis=-1)


def max_min(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return min_i (v_i - z_i) / s_i: the worst objective alone, whatever the weights (Rawls, 1971)."""
    return _least(_gains(values, shape))


def lexicographic(values: jax.Array, weights: jax.Array, shape: Shape) -> jax.Array:
    """Return Σ_(i<R) ε^(i-1) min(v_i - t_i, 0) / s_i + ε^(R-1) (v_R - t_R) / s_R, thresholded (Vamplew et al., 2011).

    Each objective counts up to its threshold t and more than all after it; the last counts without end. One number
    cannot order vectors so exactly (Debreu, 1954); a width of one objective is worth 1/ε of the next one's.
    """
    gains = _gains(values, shape)
    size = gains.shape[-1]
    worth = LEXICOGRAPHIC ** jnp.arange(size, dtype=gains.dtype)
    open_end = jnp.arange(size, dtype=jnp.int32) == size - 1
    counted = jnp.where(_like(open_end, gains), gains, jnp.minimum(gains, 0.0))
    return jnp.sum(_like(worth, gains) * counted, axis=-1)


def _gains(values: jax.Array, shape: Shape) -> jax.Array:
    """Return (v - z) / s."""
    return (values - _like(shape.point, values)) / _like(shape.widths, values)


def _least(x: jax.Array) -> jax.Array:
    """Return the least along the last axis, with the gradient of the first one that is.

    The gradient of ``jnp.min`` divides by the number of entries that equal the minimum. Compiled into one program with
    what they are computed from, they may be rounded differently from it, and the number be 0.
    """
    place = jnp.argmin(x, axis=-1, keepdims=True).astype(jnp.int32)
    return jnp.take_along_axis(x, place, axis=-1)[..., 0]


def _fair(x: jax.Array, fairness: float) -> jax.Array:
    """Return x^(1 - α) / (1 - α), or log x for α = 1; below ``LEAST_GAIN`` its tangent."""
    inside = jnp.maximum(x, LEAST_GAIN)
    value = jnp.log(inside) if fairness == 1 else inside ** (1 - fairness) / (1 - fairness)
    slope: float = LEAST_GAIN**-fairness
    return value + jnp.minimum(x - LEAST_GAIN, 0.0) * slope


def _like(x: jax.Array, values: jax.Array) -> jax.Array:
    return with_leading_axes(x, values.ndim)


def _number(x: Any) -> jax.Array:
    found: jax.Array = x
    return found
