"""Weights that follow gradients: the published rule by hand, its fixed point, and the floor against a solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from morl.ops.gradients import gram_matrix
from morl.ops.schedules.influence import ascend, at_least, influences

GRADIENTS = jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


def test_influences_by_hand():
    """I_i is the product with the sum (2, 2, 2); of unit vectors the sum of cosines, 1 + cos."""
    gram = gram_matrix(GRADIENTS)
    np.testing.assert_allclose(influences(gram, normalised=False), GRADIENTS @ GRADIENTS.sum(axis=0))
    cosine = -22 / np.sqrt(18 * 38)
    np.testing.assert_allclose(influences(gram, normalised=True), [1 + cosine] * 2, rtol=1e-5)
    np.testing.assert_array_equal(influences(jnp.zeros((2, 2)), normalised=True), [0, 0])


def test_the_published_rule():
    """W ← w exp(η I / μ) / Σ with η / μ = 0.1: the objective of the longest gradient ends with all of the weight."""
    weights, influence = jnp.array([0.5, 0.5]), influences(gram_matrix(GRADIENTS), normalised=False)
    expected = np.asarray(weights) * np.exp(0.1 * np.asarray(influence))
    got = ascend(weights, weights, influence, rate=0.1, pull=0.0, floor=0.0)
    np.testing.assert_allclose(got, expected / expected.sum(), rtol=1e-5)
    for _ in range(20):
        weights = ascend(weights, jnp.array([0.5, 0.5]), influence, rate=0.1, pull=0.0, floor=0.0)
    assert weights[1] > 0.999


def test_the_pull_holds_weights_at_a_fixed_point():
    """Both balance at w = softmax(log w_0 + ρ I / k)."""
    target, influence = jnp.array([0.2, 0.3, 0.5]), jnp.array([1.0, -0.5, 0.2])
    fixed = jax.nn.softmax(jnp.log(target) + 0.1 / 0.25 * influence)
    np.testing.assert_allclose(ascend(fixed, target, influence, rate=0.1, pull=0.25, floor=0.0), fixed, rtol=1e-5)
    weights = jnp.full(3, 1 / 3)
    for _ in range(60):
        weights = ascend(weights, target, influence, rate=0.1, pull=0.25, floor=0.0)
    np.testing.assert_allclose(weights, fixed, rtol=1e-4)


def test_a_preference_at_a_corner_stays_finite():
    got = ascend(jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), rate=0.1, pull=0.1, floor=0.01)
    np.testing.assert_allclose(got, [0.99, 0.01], rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_floor_is_the_nearest_such_point_of_the_simplex(seed):
    """Nearest in the Kullback-Leibler divergence of w' from w, by scipy's SLSQP."""
    weights, floor = np.random.default_rng(seed).dirichlet(np.full(5, 0.4)), 0.12
    found = minimize(
        lambda x: np.sum(x * np.log(x / weights)),
        np.full(5, 0.2),
        bounds=[(floor, 1)] * 5,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-12},
    )
    np.testing.assert_allclose(at_least(jnp.asarray(weights, jnp.float32), floor), found.x, atol=1e-4)
    np.testing.assert_allclose(at_least(jnp.asarray(weights, jnp.float32), 0.0), weights, rtol=1e-5)
