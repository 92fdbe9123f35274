"""Schedule of preferences: the set M to train for next, from the values that are known, and which environment acts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from morl.runs.linear_support import corners_by_gap, supporting

Floats = NDArray[np.float64]

SAME = 1e-4  # largest difference of weights that are taken for one


class Plan(NamedTuple):
    """Preferences to train for.

    Attributes:
        members: (m, R) the set M, the most urgent first.
        gap: largest possible improvement by a policy for another preference, see
            :class:`morl.runs.linear_support.Corners`.
    """

    members: Floats
    gap: float


def first_members(num_objectives: int) -> Floats:
    """Return the preferences before any value is known: the corners of the simplex and its centre."""
    return np.concatenate([np.eye(num_objectives), np.full((1, num_objectives), 1 / num_objectives)])


def plan(values: Floats, visited: Floats, size: int, new_corners: int) -> Plan:
    """Return the set M to train for next (Alegre et al., 2023, algorithm 1).

    It holds the corner weight of the largest possible improvement, the corners of the simplex, further corner weights,
    and for each value that is the best somewhere the visited preference that shows it.

    Args:
        values: (n, R) that the policy has reached, in units that preferences weigh.
        visited: (k, R) preferences that it was trained for.
        size: largest number of members.
        new_corners: number of corner weights by their possible improvement.
    """
    num_objectives = values.shape[1]
    weights, gap = corners_by_gap(values, visited)
    extreme = weights.max(axis=1) > 1 - SAME
    apart = np.abs(weights[:, None] - visited[None]).max(axis=2).min(axis=1) if len(visited) else np.ones(len(weights))
    order = np.lexsort([-apart.round(6), -gap.round(6), extreme])  # among equals first those far from the visited
    new = weights[order][: min(new_corners, int((~extreme).sum()))]
    shown = visited[supporting(visited, values)] if len(visited) else visited
    members = _distinct(np.concatenate([new[:1], np.eye(num_objectives), new[1:], shown]))
    return Plan(members[:size], float(gap.max()))


def lanes(members: Floats, turn: int, num_envs: int) -> Floats:
    """Return a preference for each environment, (1, B, R): the members one after another, on from turn to turn."""
    return members[(turn * num_envs + np.arange(num_envs)) % len(members)][None]


def _distinct(weights: Floats) -> Floats:
    """Return the weights without those that an earlier one is close to."""
    kept: list[Floats] = []
    for row in weights:
        if all(np.abs(row - other).max() > SAME for other in kept):
            kept.append(row)
    return np.array(kept)
