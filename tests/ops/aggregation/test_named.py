"""Aggregations of gradients: golden values, the equations they solve, torchjd, and difficult gradients."""

from functools import cache, partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from morl.agents.ppo.aggregation import STEPWISE
from morl.agents.ppo.config import Aggregator
from morl.ops.aggregation.named import AGGREGATIONS, Options, aggregate

# J = [[-4, 1, 1], [6, 1, 1]]: weights and direction, torchjd's own test values and Nash's by its equation
GOLDEN = {
    "linear": ([0.5, 0.5], [1, 1, 1]),
    "mgda": ([0.6, 0.4], [0, 1, 1]),
    "pcgrad": ([2.2222, 1.5789], [0.5848, 3.8012, 3.8012]),
    "cagrad": ([0.7041, 0.5], [0.1836, 1.2041, 1.2041]),
    "imtl-g": ([0.5923, 0.4077], [0.0767, 1, 1]),
    "aligned-mtl": ([0.5591, 0.4083], [0.2134, 0.9673, 0.9673]),
    "upgrad": ([1.1109, 0.7894], [0.2929, 1.9004, 1.9004]),
    "dualproj": ([0.6109, 0.5], [0.5561, 1.1109, 1.1109]),
}
OPTIONS = Options(radius=0.5, fairness=2.0)
JACOBIAN = np.array([[-4, 1, 1], [6, 1, 1]], np.float32)


@cache
def compiled(name):
    """Return the compiled weights of an aggregation, not scaled, over a batch of Gram matrices and preferences."""
    return jax.jit(jax.vmap(lambda gram, preference, key: AGGREGATIONS[name](gram, preference, key, OPTIONS)))


def weights_of(name, gram, preference=None):
    gram = np.asarray(gram, np.float32)
    preference = np.full(len(gram), 1 / len(gram)) if preference is None else preference
    keys = jax.random.split(jax.random.key(0), 1)
    return np.asarray(compiled(name)(gram[None], np.asarray(preference, np.float32)[None], keys)[0], np.float64)


def jacobians(size, parameters, number=8, seed=0):
    """Return gradients of lengths that differ by a factor of up to ten, and preferences."""
    rng = np.random.default_rng(seed)
    lengths = 10 ** rng.uniform(-0.5, 0.5, (number, size, 1))
    rows = (rng.normal(size=(number, size, parameters)) * lengths).astype(np.float32)
    return rows, rng.dirichlet(np.ones(size), number).astype(np.float32)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    weights, direction = GOLDEN[name]
    found = weights_of(name, JACOBIAN @ JACOBIAN.T)
    np.testing.assert_allclose(found, weights, atol=3e-4)  # torchjd adds 1e-4 to the diagonal of G
    np.testing.assert_allclose(found @ JACOBIAN, direction, atol=2e-3)


def test_golden_direction_of_nash():
    direction = weights_of("nash-mtl", JACOBIAN @ JACOBIAN.T) @ JACOBIAN
    np.testing.assert_allclose(direction / np.linalg.norm(direction), [0.0542, 0.7061, 0.7061], atol=1e-4)


def test_the_setting_names_every_aggregation():
    assert set(get_args(Aggregator)) == {*AGGREGATIONS, *STEPWISE, "advantage-mgda"}


@pytest.mark.parametrize(("name", "fairness"), [("nash-mtl", 1.0), ("fairgrad", 2.0)])
@pytest.mark.parametrize(("size", "parameters"), [(2, 5), (4, 40), (9, 200)])
def test_gains_are_fair(name, fairness, size, parameters):
    """Gα = R p α^(-1/a), the equation of Nash-MTL (a = 1) and FairGrad; the even p gives the published one."""
    for rows, preference in zip(*jacobians(size, parameters), strict=True):
        preference = np.maximum(preference, 0.02)
        preference /= preference.sum()
        gram = rows @ rows.T
        found = weights_of(name, gram, preference)
        expected = size * preference * found ** (-1 / fairness)
        np.testing.assert_allclose(gram @ found, expected, rtol=1e-3, atol=1e-3 * expected.max())


@pytest.mark.parametrize("size", [2, 3, 5])
def test_mgda_is_the_shortest_combination(size):
    """Its direction d has <g_i, d> >= |d|², with equality where a weight is positive, which is optimal."""
    for rows, _ in zip(*jacobians(size, 30), strict=True):
        found = weights_of("mgda", rows @ rows.T)
        assert found.sum() == pytest.approx(1, abs=1e-5)
        assert (found >= 0).all()
        direction = found @ rows
        square = direction @ direction
        assert (rows @ direction >= square * (1 - 1e-3)).all()
        assert found @ (rows @ direction) == pytest.approx(square, rel=1e-3)
        normalised = weights_of("mgda-normalised", rows @ rows.T)
        lengths = np.linalg.norm(rows, axis=1)
        unit = rows / lengths[:, None]
        np.testing.assert_allclose(normalised * lengths, weights_of("mgda", unit @ unit.T), atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_cagrad_against_a_general_solver(size):
    """Minimise g_w·g_0 + c |g_0| |g_w| over the simplex (Liu et al., 2021, equation 2) by SLSQP, in float64."""
    for rows, preference in zip(*jacobians(size, 30), strict=True):
        gram = rows.astype(np.float64) @ rows.T
        reach = OPTIONS.radius * np.sqrt(preference @ gram @ preference)

        def objective(w, gram=gram, preference=preference, reach=reach):
            return w @ gram @ preference + reach * np.sqrt(w @ gram @ w)

        even = np.full(size, 1 / size)
        best = minimize(
            objective,
            even,
            bounds=[(0, 1)] * size,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-13, "maxiter": 500},
        ).x
        expected = (preference + reach / np.sqrt(best @ gram @ best) * best) @ rows
        direction = weights_of("cagrad", gram, preference) @ rows
        np.testing.assert_allclose(direction, expected, atol=5e-3 * np.linalg.norm(expected))


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_projections_conflict_with_no_gradient(name, size):
    for rows, preference in zip(*jacobians(size, 30), strict=True):
        direction = weights_of(name, rows @ rows.T, preference) @ rows
        least = -1e-4 * np.linalg.norm(direction) * np.linalg.norm(rows, axis=1)
        assert (rows @ direction >= least).all()


def test_without_conflict_the_preference_decides():
    rows = np.abs(np.random.default_rng(1).normal(size=(3, 20))).astype(np.float32)
    preference = np.array([0.2, 0.3, 0.5])
    for name, factor in (("pcgrad", 3), ("upgrad", 1), ("dualproj", 1)):
        np.testing.assert_allclose(weights_of(name, rows @ rows.T, preference), factor * preference, rtol=1e-3)


def test_equal_cosines_of_imtl_g_and_equal_lengths_of_aligned_mtl():
    for rows, _ in zip(*jacobians(3, 30), strict=True):
        direction = weights_of("imtl-g", rows @ rows.T) @ rows
        cosines = rows @ direction / np.linalg.norm(rows, axis=1)
        np.testing.assert_allclose(cosines, cosines[0], rtol=1e-3)
    orthogonal = np.diag([3.0, 2.0, 1.0])  # its principal components are the gradients: all as long as the shortest
    np.testing.assert_allclose(weights_of("aligned-mtl", orthogonal**2), np.array([1 / 3, 1 / 2, 1]) / 3, rtol=1e-4)


def test_pcgrad_has_a_random_order():
    """The only entry of a preference for one objective is its own projected gradient, which depends on the order."""
    rows = np.array([[1, 0, 0], [-1, 1, 0], [-1, -0.5, 1]], np.float32)
    keys = jax.random.split(jax.random.key(0), 20)
    gram = np.broadcast_to(rows @ rows.T, (20, 3, 3))
    found = np.asarray(compiled("pcgrad")(gram, np.tile(np.array([1, 0, 0], np.float32), (20, 1)), keys)) / 3

    def projected(order):
        own = rows[0].copy()
        for j in order:
            own -= min(own @ rows[j], 0) / (rows[j] @ rows[j]) * rows[j]
        return own

    either = np.stack([projected([1, 2]), projected([2, 1])])
    distance = np.linalg.norm((found @ rows)[:, None] - either, axis=-1)
    assert (distance.min(axis=1) < 1e-5).all()
    assert set(distance.argmin(axis=1)) == {0, 1}


DIFFICULT = {
    "opposed": [[1, 0, 0], [-1, 0, 0]],
    "nearly opposed": [[1, 0, 0], [-1, 1e-4, 0]],
    "the same": [[1, 2, 0], [1, 2, 0]],
    "one is nothing": [[1, 0, 0], [0, 0, 0]],
    "all are nothing": [[0, 0, 0], [0, 0, 0]],
    "tiny": [[1e-12, 0, 0], [-1e-12, 1e-13, 0]],
    "huge": [[1e12, 0, 0], [-1e12, 1e11, 0]],
    "of all lengths": [[1e-5, 1e-5, 0], [0, 1e3, 1e3]],
    "one objective": [[1, 2, 3]],
}


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_difficult_gradients_give_finite_weights(name):
    """Sizes of weights have a sum of 1 whatever the gradients, and no weight is of a gradient that is 0."""
    scaled = jax.jit(partial(aggregate, name))
    for what, rows in DIFFICULT.items():
        rows = np.array(rows, np.float32)
        for preference in {1: [[1.0]]}.get(len(rows), [[0.5, 0.5], [1.0, 0.0]]):
            found = np.asarray(scaled(rows @ rows.T, jnp.array(preference), jax.random.key(0)))
            assert np.isfinite(found).all(), what
            assert np.abs(found).sum() == pytest.approx(1, abs=1e-5), what
        if what == "one is nothing":
            np.testing.assert_allclose(found, [1, 0])
        if what == "all are nothing":
            np.testing.assert_allclose(found, preference)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_units_of_the_gradients_do_not_matter(name):
    rows, preference = jacobians(3, 30, number=1)
    gram, keys = rows @ np.swapaxes(rows, 1, 2), jax.random.split(jax.random.key(0), 1)
    scaled = jax.jit(jax.vmap(partial(aggregate, name)))
    np.testing.assert_allclose(scaled(1e6 * gram, preference, keys), scaled(gram, preference, keys), rtol=1e-4)


def test_against_torchjd():
    """Compare directions with those of torchjd, where it is installed, on random gradients."""
    pytest.importorskip("torchjd")
    import torch
    from torchjd import aggregation
    from torchjd.linalg import QuadprogProjector

    exact = QuadprogProjector(norm_eps=0.0, reg_eps=1e-10)
    peers = {
        # Frank-Wolfe nears the least norm as one over its iterations: 2000 are not enough for five gradients
        "mgda": lambda p: aggregation.MGDAWeighting(1e-9, 20_000),
        "imtl-g": lambda p: aggregation.IMTLGWeighting(),
        "aligned-mtl": lambda p: aggregation.AlignedMTLWeighting(p),
        "upgrad": lambda p: aggregation.UPGradWeighting(p, projector=exact),
        "dualproj": lambda p: aggregation.DualProjWeighting(p, projector=exact),
        "fairgrad": lambda p: aggregation.FairGradWeighting(OPTIONS.fairness),
    }
    for size, parameters in ((2, 10), (3, 50), (5, 40)):
        for rows, preference in zip(*jacobians(size, parameters, number=2, seed=size), strict=True):
            gram = rows.astype(np.float64) @ rows.T
            for name, make in peers.items():
                if name in ("mgda", "imtl-g", "fairgrad"):
                    preference = np.full(size, 1 / size)
                theirs = make(torch.tensor(preference, dtype=torch.float64))(torch.tensor(gram)).numpy() @ rows
                mine = weights_of(name, gram, preference) @ rows
                np.testing.assert_allclose(mine, theirs, atol=2e-3 * np.linalg.norm(theirs), err_msg=name)
