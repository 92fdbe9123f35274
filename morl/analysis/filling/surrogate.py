"""Quadratic surrogates of vector returns over merging coefficients (MAP: Li et al., 2024, arXiv 2406.07529, eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Surrogate:
    """Quadratic e + b·c + ½cᵀAc of each of R objectives over coefficients c of m members.

    Attributes:
        constant: e, (R,).
        slope: b, (m, R).
        curvature: A, (m, m, R), symmetric.
        fit: (R,) share of the variance of the points that the fit explains (R²).
        left_out: (R,) the same where each point is predicted by a fit to the others; below 0 if the mean is better.
    """

    constant: Floats
    slope: Floats
    curvature: Floats
    fit: Floats
    left_out: Floats

    def __call__(self, coefficients: Floats) -> Floats:
        """Return the predicted returns (K, R) of coefficients (K, m)."""
        square = np.einsum("ki,ijr,kj->kr", coefficients, self.curvature, coefficients)
        return np.asarray(self.constant + coefficients @ self.slope + square / 2)


def num_terms(members: int) -> int:
    """Return the number of terms of a quadratic in so many variables."""
    return (members + 1) * (members + 2) // 2


def fit_surrogate(coefficients: Floats, returns: Floats) -> Surrogate:
    """Fit quadratics by least squares, those of least norm where the points leave a choice.

    A choice is left by too few points, and where the members and the policy that they are moved from lie in a plane.

    Args:
        coefficients: (K, m).
        returns: (K, R), finite.
    """
    m = coefficients.shape[1]
    one, other = np.triu_indices(m)
    terms = np.column_stack([np.ones(len(coefficients)), coefficients, coefficients[:, one] * coefficients[:, other]])
    inverse = np.linalg.pinv(terms, rcond=1e-10)
    solution = inverse @ returns
    curvature = np.zeros((m, m, returns.shape[1]))
    curvature[one, other] = solution[1 + m :]
    curvature += np.swapaxes(curvature, 0, 1)  # doubles the diagonal, as ½cᵀAc wants it
    residual = returns - terms @ solution
    free = 1 - np.einsum("kt,tk->k", terms, inverse)  # of each point's own pull on its fit: 0 where it is met by itself
    known = free > 1e-9
    left_out = np.where(known[:, None], residual / np.where(known, free, 1.0)[:, None], np.nan)
    return Surrogate(
        constant=solution[0],
        slope=solution[1 : 1 + m],
        curvature=curvature,
        fit=explained(residual, returns),
        left_out=explained(left_out[known], returns[known]),
    )


def explained(residual: Floats, returns: Floats) -> Floats:
    """Return R² (R,) of residuals (K, R); 1 of an objective that does not vary, NaN without points."""
    if not len(returns):
        return np.full(returns.shape[1], np.nan)
    total = ((returns - returns.mean(axis=0)) ** 2).sum(axis=0)
    flat = total <= 1e-20 * (1e-300 + (returns**2).sum(axis=0))
    return np.where(flat, 1.0, 1 - (residual**2).sum(axis=0) / np.where(flat, 1.0, total))
