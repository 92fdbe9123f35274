"""Scalarisations: one number of a vector of R objectives and a preference, more of it being better.

Every function takes arrays of JAX or of NumPy with the objectives on the last axis, (..., R), and gives (...). Exact
targets of samplers are computed with NumPy, in float64.

The functions ``log_*`` are logarithms of positive rewards R(x | w) for samplers, which draw objects in proportion to a
reward (Jain et al., 2023). They take objectives in [0, 1], and ``floor``, a positive float32, in place of anything less
than it before a logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


def linear(values: Any, weights: Any) -> Any:
    """Return the weighted sum Σ_i w_i v_i.

    Its maxima over policies are the convex coverage set only, whatever the weights (Roijers et al., 2013).

    Args:
        values: (..., R) objectives or values of them.
        weights: (..., R) weights of the objectives.
    """
    return (values * weights).sum(axis=-1)


def tchebycheff(values: Any, weights: Any, utopia: Any) -> Any:
    """Return the negative weighted Tchebycheff distance to a utopia, -max_i w_i (z_i - v_i).

    With positive weights its maxima reach every non-dominated point, also in concave regions (Miettinen, 1999, section
    3.4; Van Moffaert et al., 2013).

    Args:
        values: (..., R) objectives or values of them.
        weights: (..., R) weights of the objectives.
        utopia: (..., R) point z that no value exceeds.
    """
    return -(weights * (utopia - values)).max(axis=-1)


def log_weighted_sum(values: Any, preference: Any, floor: float) -> Any:
    """Return log Σ_i w_i r_i (Jain et al., 2023, section 3.1), by logsumexp of log w_i + log r_i.

    Args:
        values: (..., R) objectives in [0, 1].
        preference: (..., R) weights, at least 0.
        floor: least value of an objective.
    """
    xp = values.__array_namespace__()
    # a weight of 0 leaves its term out: exp(-200) is nothing beside any other, and log 0 would be minus infinity
    log_weight = xp.where(preference > 0, xp.log(xp.maximum(preference, 1e-37)), -200.0)
    terms = log_weight + xp.log(xp.maximum(values, floor))
    largest = xp.max(terms, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(terms - largest), axis=-1)) + largest[..., 0]


def log_weighted_product(values: Any, preference: Any, floor: float) -> Any:
    """Return Σ_i w_i log r_i, the logarithm of a weighted product (Jain et al., 2023, section 3.1: weighted-log-sum).

    Args:
        values: (..., R) objectives in [0, 1].
        preference: (..., R) weights.
        floor: least value of an objective.
    """
    xp = values.__array_namespace__()
    return xp.sum(preference * xp.log(xp.maximum(values, floor)), axis=-1)


def log_tchebycheff(values: Any, preference: Any, floor: float) -> Any:
    """Return log(1 - max_i w_i (1 - r_i)), with 1 as the utopia (Jain et al., 2023, section 3.1).

    Args:
        values: (..., R) objectives in [0, 1].
        preference: (..., R) weights.
        floor: least reward.
    """
    xp = values.__array_namespace__()
    return xp.log(xp.maximum(1 - xp.max(preference * (1 - values), axis=-1), floor))


class FocusRegion(NamedTuple):
    """Cone of objective vectors around a goal direction (Roy et al., 2023).

    Attributes:
        cosine: cosine of the angle between the goal and the edge of the cone, in (0, 1).
        edge: share of the reward that is left at the edge, in (0, 1].
    """

    cosine: float
    edge: float


def log_focus(values: Any, direction: Any, floor: float, region: FocusRegion) -> Any:
    """Return log(c^γ Σ_i r_i) within a region of focus and log ``floor`` outside (Roy et al., 2023, equations 2, 3).

    c is the cosine between the objectives and the goal direction. γ = log(edge) / log(cosine) makes the share of the
    reward at the edge what the region says.

    Args:
        values: (..., R) objectives in [0, 1].
        direction: (..., R) goal, of any length.
        floor: least reward.
        region: the cone around the goal.
    """
    xp = values.__array_namespace__()
    lengths = xp.sqrt(xp.sum(values**2, axis=-1) * xp.sum(direction**2, axis=-1))
    cosine = xp.sum(values * direction, axis=-1) / xp.maximum(lengths, 1e-15)
    sharpness = math.log(region.edge) / math.log(region.cosine)
    reward = xp.sum(values, axis=-1) * xp.maximum(cosine, 0.0) ** sharpness
    return xp.log(xp.maximum(xp.where(cosine >= region.cosine, reward, 0.0), floor))


def temper(log_reward: Any, beta: Any, lowest: float) -> Any:
    """Return β log R, and at least ``lowest``, so that a loss that squares it stays finite at any β.

    R^β is the reward that a sampler draws in proportion to: the larger β, the nearer to the best objects only.

    Args:
        log_reward: (...) logarithms of rewards.
        beta: (...) or scalar, the inverse temperature β.
        lowest: least result.
    """
    return log_reward.__array_namespace__().maximum(beta * log_reward, lowest)


LOG_REWARDS: dict[str, Callable[[Any, Any, float], Any]] = {
    "weighted_sum": log_weighted_sum,
    "log_sum": log_weighted_product,
    "tchebycheff": log_tchebycheff,
}
"""Logarithms of rewards for a preference, by the name of the setting; :func:`log_focus` takes a region as well."""
