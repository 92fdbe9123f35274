"""The trust region's step against SciPy's solver and linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from morl.agents.cmorl.trust_region import DAMPING, LARGEST, conjugate_gradients, multipliers, step
from morl.agents.ppo.losses import SurrogateEstimate

RADIUS = 0.02


def problem(seed, num_objectives=4, size=7):
    """Gradients G (R, n) and curvature H."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    return rng.normal(size=(num_objectives, size)), root @ root.T / size + 0.5 * np.eye(size)


def optimum(gradients, curvature, preference, slack):
    """max p·Gx, G_j x >= -slack_j, x'Hx / 2 <= RADIUS, by sequential quadratic programming."""
    held = np.isfinite(slack)
    result = minimize(
        lambda x: -preference @ gradients @ x,
        np.zeros(gradients.shape[1]),
        jac=lambda x: -preference @ gradients,
        constraints=[
            {"type": "ineq", "fun": lambda x: (gradients @ x + slack)[held], "jac": lambda x: gradients[held]},
            {"type": "ineq", "fun": lambda x: RADIUS - x @ curvature @ x / 2, "jac": lambda x: -curvature @ x},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-10},
    )
    assert result.success
    return result.x


def test_conjugate_gradients_solve():
    _, curvature = problem(0)
    b = np.arange(7.0)
    got = conjugate_gradients(lambda v: jnp.asarray(curvature, jnp.float32) @ v, jnp.asarray(b, jnp.float32))
    np.testing.assert_allclose(got, np.linalg.solve(curvature, b), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_it_finds_the_constrained_optimum(seed):
    gradients, curvature = problem(seed)
    preference = np.array([1.0, 0.0, 0.0, 0.0])
    rng = np.random.default_rng(seed)
    slack = np.array([np.inf, *rng.uniform(0.0, 0.3, 2), np.inf if seed % 2 else rng.uniform(0.0, 0.3)])
    expected = optimum(gradients, curvature, preference, slack)
    gram = gradients @ np.linalg.solve(curvature, gradients.T)
    nu = multipliers(*(jnp.asarray(x, jnp.float32) for x in (gram, preference, slack)), RADIUS)
    weights = preference + np.asarray(nu)
    move = np.sqrt(2 * RADIUS / (weights @ gram @ weights)) * np.linalg.solve(curvature, gradients.T) @ weights
    assert preference @ gradients @ move == pytest.approx(preference @ gradients @ expected, rel=5e-3)
    assert (gradients @ move >= -slack - 2e-3).all()
    assert (nu >= 0).all()


def test_what_cannot_be_mended_counts_most():
    gradients, curvature = problem(1)
    gram = jnp.asarray(gradients @ np.linalg.solve(curvature, gradients.T), jnp.float32)
    nu = multipliers(gram, jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([jnp.inf, -50.0, jnp.inf, jnp.inf]), RADIUS)
    np.testing.assert_allclose(nu, [0, LARGEST, 0, 0])


def estimate_of(gradients, curvature):
    gradients, curvature = jnp.asarray(gradients, jnp.float32), jnp.asarray(curvature, jnp.float32)

    def estimate(params):
        x = jnp.concatenate([params["a"], params["b"]])
        return SurrogateEstimate(gradients @ x, x @ curvature @ x / 2)

    return estimate


def stepped(params, estimate, preference, slack):
    gradients = jax.jacrev(lambda params: estimate(params).gains)(params)
    return step(params, estimate, gradients, preference, slack, RADIUS)


def moved(preference, slack, gradients, curvature):
    zero = {"a": jnp.zeros(3), "b": jnp.zeros(4)}
    out = stepped(zero, estimate_of(gradients, curvature), jnp.asarray(preference), jnp.asarray(slack))
    return np.concatenate([out["a"], out["b"]])


def test_a_step_keeps_what_holds_and_mends_what_is_broken():
    gradients, curvature = problem(3)
    damped = curvature + DAMPING * np.eye(7)
    slack = np.array([np.inf, 0.05, 0.1, 0.02])
    x = moved([1.0, 0, 0, 0], slack, gradients, curvature)
    expected = optimum(gradients, damped, np.eye(4)[0], slack)
    assert gradients[0] @ x == pytest.approx(gradients[0] @ expected, rel=0.02)
    assert (gradients @ x >= -slack - 1e-4).all()
    x = moved([1.0, 0, 0, 0], [np.inf, -50.0, 1.0, 1.0], gradients, curvature)
    assert gradients[1] @ x > 0.9 * np.sqrt(2 * RADIUS * gradients[1] @ np.linalg.solve(damped, gradients[1]))


def test_where_no_step_is_good_nothing_moves():
    """An estimate that is worse wherever one goes, whatever its gradient says; and one that is not a number."""
    zero = {"a": jnp.zeros(3), "b": jnp.zeros(4)}
    gradients, curvature = (jnp.asarray(x, jnp.float32) for x in problem(4))
    for spoil in (-1e6, jnp.nan):

        def estimate(params, spoil=spoil):
            x = jnp.concatenate([params["a"], params["b"]])
            return SurrogateEstimate(gradients @ x + spoil * (x**4).sum(), x @ curvature @ x / 2)

        out = stepped(zero, estimate, jnp.array([1.0, 0, 0, 0]), jnp.full(4, jnp.inf))
        assert all(np.isfinite(x).all() for x in out.values())
        if np.isfinite(spoil):
            assert all((np.asarray(x) == 0).all() for x in out.values())
