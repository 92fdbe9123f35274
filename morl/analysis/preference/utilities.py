"""Utilities that a user may have, of the returns of a front; a particle is one of them.

A particle is a latent array z (R + 1, 2) with a standard normal prior. The squared length of a pair of normals is
exponential and its angle is uniform, so that the first R rows give weights w that are uniform on the simplex,
w_k = |z_k|² / Σ_j |z_j|², and the angle of the last row chooses the family of the utility.

Each family needs matrix products alone and a power for each policy, so that NumPy takes a few milliseconds for all
particles, and nothing has to be compiled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAMILIES = ("linear", "linear", "geometric mean", "power mean", "distance to the ideal point")
"""Families of utilities, each as likely as the others before the first answer; the linear one has two shares."""
LINEAR = 2
"""Number of the families that are linear, the first ones."""
BASE = 0.1  # worth of the worst value of an objective for the means, in ranges; without it the worst spoils all others
POWER = -3.0  # of the power mean
ORDER = 8.0  # of the distance, a smooth Tchebycheff one: infinity would be Tchebycheff's


def normalised(returns: Floats) -> Floats:
    """Return returns (n, R) in the ranges of the front: 0 is the worst of each objective and 1 the best.

    An objective in which all are the same is 1.
    """
    low, span = returns.min(axis=0), np.ptp(returns, axis=0)
    return np.where(span > 0, (returns - low) / np.where(span > 0, span, 1.0), 1.0)


def weights_of(particles: Floats) -> Floats:
    """Return the weights w (K, R) of particles z (K, R + 1, 2)."""
    sizes = np.square(particles[:, :-1]).sum(axis=2)
    weights: Floats = sizes / sizes.sum(axis=1, keepdims=True)
    return weights


def families_of(particles: Floats) -> Ints:
    """Return the family (K,) of each particle, an index of :data:`FAMILIES`."""
    share = np.arctan2(particles[:, -1, 0], particles[:, -1, 1]) / (2 * np.pi) + 0.5
    return np.minimum((share * len(FAMILIES)).astype(np.int64), len(FAMILIES) - 1)


def utilities(particles: Floats, points: Floats) -> Floats:
    """Return the utilities (K, n) of normalised returns x (n, R) for particles (K, R + 1, 2).

    0 is the worth of what is the worst in every objective, 1 that of what is the best in all:

    - linear: Σ w x;
    - power means of y = x + b: Π y^w - b and (Σ w y^p)^(1/p) - b (Moulin, 2003, chapter 3);
    - distance to the ideal point: 1 - (Σ (w (1 - x))^q)^(1/q) / (Σ w^q)^(1/q) (Yu, 1973).
    """
    weights, families = weights_of(particles), families_of(particles)
    found = np.empty((len(particles), len(points)))
    gains = points + BASE
    for family in range(len(FAMILIES)):
        rows = families == family
        w = weights[rows]
        if family < LINEAR:
            found[rows] = w @ points.T
        elif family == 2:
            found[rows] = np.exp(w @ np.log(gains).T) - BASE
        elif family == 3:
            found[rows] = (w @ (gains**POWER).T) ** (1 / POWER) - BASE
        else:
            w = (w / w.max(axis=1, keepdims=True)) ** ORDER
            far = (w @ ((1 - points) ** ORDER).T) / w.sum(axis=1, keepdims=True)
            found[rows] = 1 - far ** (1 / ORDER)
    return found
