"""Preferences: weights of the objectives, on the simplex."""

from __future__ import annotations

import itertools
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError

if TYPE_CHECKING:
    import jax

Floats = NDArray[np.float64]


def check_preference(preference: ArrayLike, num_objectives: int) -> Floats:
    """The preference as an array (R,).

    Raises:
        UserError: not R numbers, one below 0 or not finite, or a sum other than 1 (by more than 1e-6).
    """
    weights = np.asarray(preference, np.float64)
    if weights.shape != (num_objectives,):
        raise UserError(f"a preference here has {num_objectives} weights, one an objective, not {weights.size}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise UserError(f"the weights of a preference are at least 0, not {_text(weights)}")
    total = float(weights.sum())
    if abs(total - 1) > 1e-6:
        hint = f"; did you mean {_text(weights / total)}?" if total > 0 else ""
        raise UserError(f"the weights of a preference add up to 1, not {total:g}{hint}")
    return weights


def _text(weights: Floats) -> str:
    return " ".join(f"{x:.4g}" for x in weights)


def lattice(num_objectives: int, divisions: int) -> Floats:
    """All preferences whose weights are multiples of 1 / ``divisions`` (Das and Dennis, 1998), (n, R)."""
    bars = itertools.combinations(range(divisions + num_objectives - 1), num_objectives - 1)
    edges = np.array([(-1, *bar, divisions + num_objectives - 1) for bar in bars])
    return (np.diff(edges, axis=1) - 1)[::-1] / divisions


def simplex_lattice(num_objectives: int, step: float) -> Floats:
    """Preferences ``step`` apart, (n, R), as C-MORL's published settings give them; step 1 is the corners.

    A step that does not divide 1 (the published 0.3) is taken as one over the nearest whole number of divisions.

    Raises:
        UserError: a step outside (0, 1].
    """
    if not 0 < step <= 1:
        raise UserError(f"the step of a lattice of preferences is above 0 and at most 1, not {step}")
    return lattice(num_objectives, round(1 / step))


def spread(num_objectives: int, number: int) -> Floats:
    """Exactly ``number`` preferences, equally spread over the simplex, (number, R); corners first where they fit.

    The smallest lattice with enough points, thinned by always taking the point farthest from those taken already
    (Gonzalez, 1985), starting from the corners. Deterministic.

    Raises:
        UserError: a number below 1.
    """
    if number < 1:
        raise UserError(f"the number of preferences is at least 1, not {number}")
    if number == 1:
        return np.full((1, num_objectives), 1 / num_objectives)
    divisions = 1
    while comb(divisions + num_objectives - 1, num_objectives - 1) < number:
        divisions += 1
    points = lattice(num_objectives, divisions)
    corners = np.flatnonzero(points.max(axis=1) == 1)[:number]
    taken = list(corners)
    distance = np.min(np.linalg.norm(points[:, None] - points[corners], axis=2), axis=1)
    while len(taken) < number:
        farthest = int(np.argmax(distance))
        taken.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(points - points[farthest], axis=1))
    order = [*taken[: len(corners)], *sorted(taken[len(corners) :])]
    return points[order]


def dirichlet(key: jax.Array, num_objectives: int, number: int, concentration: float = 1.0) -> jax.Array:
    """Random preferences (number, R) float32; concentration 1 is uniform on the simplex, below it favours corners."""
    import jax
    import jax.numpy as jnp

    return jax.random.dirichlet(key, jnp.full(num_objectives, concentration), (number,))
