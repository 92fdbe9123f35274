"""Mixtures of policies that are best for a concave utility of the expected return."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from morl.ops.utilities.named import Utility

Floats = NDArray[np.float64]
CUTS = 60


class Mixture(NamedTuple):
    """Best policy and best mixture of a set.

    Attributes:
        policy: row of the best policy.
        policy_utility: its utility.
        shares: (n,) probability of each policy in the best mixture, drawn once an episode.
        utility: of the expected return of the mixture, at least ``policy_utility``.
        returns: (R,) that return.
    """

    policy: int
    policy_utility: float
    shares: Floats
    utility: float
    returns: Floats


def best_mixture(returns: Floats, utility: Utility, weights: Floats, tolerance: float = 1e-5) -> Mixture:
    """Return the best policy and the best mixture for a utility of the expected return (SER).

    Utilities of expected returns are reached by mixtures that no policy alone reaches (Vamplew et al., 2009; Hayes et
    al., 2022, section 5.3). Of a concave utility the best is found by cutting planes (Kelley, 1960), one linear program
    each. For another one the result is a mixture no worse than the best policy, and perhaps not the best.

    Args:
        returns: (n, R) of the policies.
        utility: u(v, w).
        weights: w (R,).
        tolerance: share of the utilities' range that the best mixture may be missed by.
    """
    points, given = jnp.asarray(returns, jnp.float32), jnp.asarray(weights, jnp.float32)
    value = jax.jit(jax.value_and_grad(lambda v: utility(v, given)))
    each = np.array([float(value(point)[0]) for point in points])
    policy = int(each.argmax())
    best = Mixture(policy, float(each[policy]), np.eye(len(returns))[policy], float(each[policy]), returns[policy])
    close = tolerance * max(float(np.ptp(each)), 1e-12)
    rows, limits = [], []
    shares = best.shares
    for _ in range(CUTS):
        mean = shares @ returns
        height, slope = (np.asarray(x, np.float64) for x in value(jnp.asarray(mean, jnp.float32)))
        if height > best.utility:
            best = best._replace(shares=shares, utility=float(height), returns=mean)
        # u(v) <= u(mean) + slope·(v - mean) bounds t: t - slope·(shares of returns) <= u(mean) - slope·mean
        rows.append([*(-(returns @ slope)), 1.0])
        limits.append(float(height - slope @ mean))
        found = linprog(
            [*np.zeros(len(returns)), -1.0],
            A_ub=rows,
            b_ub=limits,
            A_eq=[[*np.ones(len(returns)), 0.0]],
            b_eq=[1.0],
            bounds=[(0, 1)] * len(returns) + [(None, None)],
        )
        if not found.success or -found.fun <= best.utility + close:
            break
        shares = np.maximum(found.x[:-1], 0) / np.maximum(found.x[:-1], 0).sum()
    return best
