"""Linear algebra and quadratic programs of small matrices, against NumPy and SciPy."""

import jax
import numpy as np
import pytest
from scipy.optimize import nnls

from morl.ops.aggregation import quadratic, symmetric


def matrices(size, number=6, rank=None):
    rows = np.random.default_rng(size).normal(size=(number, size, rank or size + 2))
    return (rows @ np.swapaxes(rows, 1, 2)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_solve(size):
    found, vector = matrices(size), np.ones(size, np.float32)
    solutions = jax.jit(jax.vmap(symmetric.solve, (0, None)))(found, vector)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", found, solutions), np.ones((6, size)), rtol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3, 9, 16])
def test_eigen(size):
    found = matrices(size)
    values, vectors = jax.jit(jax.vmap(symmetric.eigen))(found)
    np.testing.assert_allclose(
        np.sort(values), np.linalg.eigvalsh(found.astype(np.float64)), rtol=1e-4, atol=1e-5 * np.abs(values).max()
    )
    again = np.einsum("nij,nj,nkj->nik", vectors, values, vectors)
    np.testing.assert_allclose(again, found, atol=1e-4 * np.abs(found).max())


def test_powers_on_the_span_of_the_rows():
    """A matrix of rank 2: its pseudo-inverse, and the least eigenvalue that is not 0."""
    found = matrices(4, number=1, rank=2)[0]
    inverse, least = jax.jit(lambda x: symmetric.power(x, -1.0))(found)
    np.testing.assert_allclose(inverse, np.linalg.pinv(found.astype(np.float64), rcond=1e-5), rtol=1e-2, atol=1e-3)
    assert least == pytest.approx(np.linalg.eigvalsh(found.astype(np.float64))[2], rel=1e-3)
    np.testing.assert_array_equal(symmetric.power(np.zeros((2, 2), np.float32), -1.0)[0], np.zeros((2, 2)))


@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_quadratic_program(size):
    """x·Qx/2 - b·x = |Ax - y|²/2 less a constant, with Q = AᵀA and b = Aᵀy, which SciPy's nnls minimises."""
    rng = np.random.default_rng(0)
    minimum = jax.jit(quadratic.non_negative_minimum)
    for _ in range(6):
        rows, target = rng.normal(size=(size + 3, size)), rng.normal(size=size + 3)
        matrix, linear = (rows.T @ rows).astype(np.float32), (rows.T @ target).astype(np.float32)
        np.testing.assert_allclose(minimum(matrix, linear), nnls(rows, target)[0], atol=1e-3)
