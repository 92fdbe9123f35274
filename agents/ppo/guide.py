"""Hypervolume schedule of a training: how long each policy's steps are, by what it added at the last evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morl.ops.schedules.hypervolume import extended, relative_gains, step_factor

Floats = NDArray[np.float64]


class HypervolumeGuide:
    """Returns reached so far by all policies of each seed; see :class:`morl.types.Guide`.

    Published for one policy, where ΔHV is what its evaluation adds to those before; with several it is what a policy
    alone adds to those before and to the other policies. A policy that takes any preference adds with all its returns.

    Args:
        reference_point: (R,) of the hypervolume.
        num_seeds: S.
        learners: K of each seed.
        capacity: rows that are kept of each seed.
        gain: factor of the relative ΔHV.
    """

    def __init__(self, reference_point: Floats, num_seeds: int, learners: int, capacity: int, gain: float) -> None:
        self._reference, self._learners, self._gain = np.asarray(reference_point, np.float64), learners, gain
        self._capacity = capacity
        self._reached = [np.zeros((0, len(self._reference)))] * num_seeds

    def saved(self) -> Floats:
        """Return the returns reached so far (S, capacity, R), NaN in rows that are free."""
        rows = np.full((len(self._reached), self._capacity, len(self._reference)), np.nan)
        for row, points in zip(rows, self._reached, strict=True):
            row[: len(points)] = points
        return rows

    def restore(self, saved: Floats) -> None:
        """Set what was saved."""
        self._reached = [rows[~np.isnan(rows).any(axis=1)] for rows in np.asarray(saved, np.float64)]

    def factors(self, evaluated: Floats) -> NDArray[np.float32]:
        """Return the factors (S K,) of the learners' steps until the next evaluation, and keep what was reached.

        Args:
            evaluated: (S, N, R) returns of each seed; N / K rows of each learner in turn.
        """
        owner = np.repeat(np.arange(self._learners), evaluated.shape[1] // self._learners)
        found = []
        for i, returns in enumerate(np.asarray(evaluated, np.float64)):
            gains = relative_gains(self._reached[i], returns, owner, self._reference)
            found.append(step_factor(self._gain * gains))
            self._reached[i] = extended(self._reached[i], returns, self._capacity)
        return np.concatenate(found).astype(np.float32)
