"""Scalar rewards of objectives, in log space: R(x | w) for one x, its objectives r in [0, 1], and a preference w.

All functions take JAX arrays or NumPy's; in NumPy's float64 they make the exact targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

Scalarisation = Literal["weighted_sum", "log_sum", "tchebycheff", "focus"]


class Focus(NamedTuple):
    """Focus region, a cone around a goal direction (Roy et al., 2023).

    Attributes:
        cosine: cosine of the angle at its edge.
        edge: share of the reward that is left there.
    """

    cosine: float
    edge: float


def weighted_sum(values: Any, preference: Any, floor: float) -> Any:
    """log Σ w_i r_i (Jain et al., 2023, section 3.1), by logsumexp of log w_i + log r_i.

    Args:
        values: (..., R) objectives, below ``floor`` taken as ``floor``.
        preference: (..., R) weights.
        floor: above 0 in float32.
    """
    xp = values.__array_namespace__()
    # a weight of 0 leaves its term out: exp(-200) is nothing beside any other, and log 0 would be minus infinity
    log_weight = xp.where(preference > 0, xp.log(xp.maximum(preference, 1e-37)), -200.0)
    terms = log_weight + xp.log(xp.maximum(values, floor))
    largest = xp.max(terms, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(terms - largest), axis=-1)) + largest[..., 0]


def log_sum(values: Any, preference: Any, floor: float) -> Any:
    """Σ w_i log r_i, a weighted product (its section 3.1); arguments as of :func:`weighted_sum`."""
    xp = values.__array_namespace__()
    return xp.sum(preference * xp.log(xp.maximum(values, floor)), axis=-1)


def tchebycheff(values: Any, preference: Any, floor: float) -> Any:
    """log(1 − max_i w_i (1 − r_i)), against the utopia of 1 (its section 3.1); arguments as of :func:`weighted_sum`."""
    xp = values.__array_namespace__()
    return xp.log(xp.maximum(1 - xp.max(preference * (1 - values), axis=-1), floor))


def focus(values: Any, direction: Any, floor: float, region: Focus) -> Any:
    """Compute log Σ r_i c^γ within the region, and log ``floor`` outside (Roy et al., 2023, equations 2 and 3).

    c is the cosine between objectives and goal direction. γ = log(edge) / log(cosine) makes the share at the edge equal
    to ``region.edge``.

    Args:
        values: (..., R) objectives.
        direction: (..., R) goal, of any length.
        floor: smallest reward, above 0 in float32.
        region: the cone around the goal.
    """
    xp = values.__array_namespace__()
    lengths = xp.sqrt(xp.sum(values**2, axis=-1) * xp.sum(direction**2, axis=-1))
    cosine = xp.sum(values * direction, axis=-1) / xp.maximum(lengths, 1e-15)
    sharpness = math.log(region.edge) / math.log(region.cosine)
    reward = xp.sum(values, axis=-1) * xp.maximum(cosine, 0.0) ** sharpness
    return xp.log(xp.maximum(xp.where(cosine >= region.cosine, reward, 0.0), floor))


def tempered(log_reward: Any, beta: Any, lowest: float) -> Any:
    """Compute max(β log R, ``lowest``), so that a loss that squares it stays finite at any β."""
    return log_reward.__array_namespace__().maximum(beta * log_reward, lowest)


def log_reward(values: Any, preference: Any, scalarisation: Scalarisation, floor: float, region: Focus) -> Any:
    """Compute log R(x | w) (...) of objectives (..., R) under preferences (..., R) by a scalarisation's name."""
    if scalarisation == "focus":
        return focus(values, preference, floor, region)
    return WEIGHTED[scalarisation](values, preference, floor)


WEIGHTED: dict[str, Callable[[Any, Any, float], Any]] = {
    "weighted_sum": weighted_sum,
    "log_sum": log_sum,
    "tchebycheff": tchebycheff,
}
