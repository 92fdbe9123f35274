"""Utilities of a vector by hand, their properties, and the best mixture of policies."""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from morl.ops.utilities.functions import LEAST_GAIN
from morl.ops.utilities.mixtures import best_mixture
from morl.ops.utilities.named import UTILITIES, WITH_POINT, named_utility
from morl.ops.utilities.names import NAMES

WEIGHTS = jnp.array([0.25, 0.75])
SHAPE = {"point": (1.0, 2.0), "widths": (1.0, 2.0)}
# of returns (4, 5): gains over the point are 3 and 1.5
BY_HAND = {
    "linear": ({}, 0.25 * 4 + 0.75 * 5),
    "tchebycheff": (SHAPE, 0.75),
    "smooth-tchebycheff": ({**SHAPE, "smoothness": 2.0}, -2 * np.log(np.exp(-0.75 / 2) + np.exp(-1.125 / 2))),
    "achievement": (SHAPE, 1.5 + 1e-3 * (0.75 + 1.125)),
    "nash-welfare": (SHAPE, 0.25 * np.log(3) + 0.75 * np.log(1.5)),
    "p-mean": ({**SHAPE, "power": -1.0}, 1 / (0.25 / 3 + 0.75 / 1.5)),
    "alpha-fair": ({**SHAPE, "power": 2.0}, -(0.25 / 3 + 0.75 / 1.5)),
    "gini": (SHAPE, 0.75 * 1.5 + 0.25 * 3),
    "max-min": (SHAPE, 1.5),
    "lexicographic": (SHAPE, 0.01 * 1.5),
}


def test_every_utility_is_named_and_tried():
    assert set(NAMES) == set(UTILITIES) == set(BY_HAND)
    assert set(WITH_POINT) < set(NAMES)
    assert get_args(get_type_hints(named_utility)["point"]) == (float,)


@pytest.mark.parametrize("name", NAMES)
def test_by_hand(name):
    shape, expected = BY_HAND[name]
    utility = named_utility(name, 2, **shape)
    assert float(utility(jnp.array([4.0, 5.0]), WEIGHTS)) == pytest.approx(expected, rel=1e-5)
    stacked = utility(jnp.array([[4.0, 5.0], [4.0, 5.0]]), WEIGHTS)
    np.testing.assert_allclose(stacked, [expected] * 2, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_concave_and_never_falls_and_has_a_gradient_everywhere(name):
    utility = named_utility(name, 2, **BY_HAND[name][0])
    points = np.random.default_rng(0).uniform(-5, 8, (200, 2, 2)).astype(np.float32)
    if name == "p-mean":  # below its point only the gradient is promised
        points = np.array([1.1, 2.2], np.float32) + np.abs(points)
    one, two = points[:, 0], points[:, 1]
    value = jax.jit(jax.vmap(lambda x: utility(x, WEIGHTS)))
    middle, ends = value((one + two) / 2), (value(one) + value(two)) / 2
    assert (middle >= ends - 1e-3 * (1 + np.abs(ends))).all()
    assert (value(one + np.abs(two)) >= value(one) - 1e-4 * (1 + np.abs(value(one)))).all()
    slopes = np.asarray(jax.vmap(jax.grad(lambda x: utility(x, WEIGHTS)))(one - 4))
    assert np.isfinite(slopes).all()
    assert (slopes >= 0).all()
    assert (slopes.sum(axis=1) > 0).all()


def test_limits_of_the_families():
    returns = jnp.array([4.0, 5.0])

    def value(name, **shape):
        return float(named_utility(name, 2, **{**SHAPE, **shape})(returns, WEIGHTS))

    assert value("p-mean", power=1.0) == pytest.approx(0.25 * 3 + 0.75 * 1.5, rel=1e-5)
    assert value("p-mean", power=0.0) == pytest.approx(np.exp(value("nash-welfare")), rel=1e-5)
    assert value("p-mean", power=-50.0) == pytest.approx(1.5, rel=0.02)
    assert value("alpha-fair", power=1.0) == value("nash-welfare")
    assert value("smooth-tchebycheff", smoothness=1e-3) == pytest.approx(value("tchebycheff"), rel=1e-3)
    assert LEAST_GAIN > 0


@pytest.mark.parametrize(("name", "single", "mixed"), [("max-min", 0.3, 0.8), ("linear", 2.0, 2.0)])
def test_a_mixture_reaches_what_no_policy_does(name, single, mixed):
    """Policies (4, 0), (0, 1) and (0.3, 0.3): λ of the first and the rest of the second is even at λ = 1/5."""
    found = best_mixture(np.array([[4.0, 0], [0, 1], [0.3, 0.3]]), named_utility(name, 2), np.array([0.5, 0.5]))
    assert found.policy_utility == pytest.approx(single)
    assert found.utility == pytest.approx(mixed, abs=1e-4)
    assert found.shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.returns, found.shares @ [[4.0, 0], [0, 1], [0.3, 0.3]])


def test_the_best_mixture_for_a_smooth_utility_against_a_general_solver():
    returns = np.random.default_rng(1).uniform(0, 1, (6, 3))
    utility, weights = named_utility("nash-welfare", 3, point=(0, 0, 0)), np.array([0.2, 0.3, 0.5])
    found = best_mixture(returns, utility, weights)
    best = minimize(
        lambda x: -float(weights @ np.log(x @ returns)),
        np.full(6, 1 / 6),
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert found.utility == pytest.approx(-best.fun, abs=1e-3)
    assert found.utility >= found.policy_utility


def test_a_utility_that_is_not_concave_gives_no_less_than_the_best_policy():
    found = best_mixture(np.array([[1.0, 0], [0, 1]]), lambda v, w: jnp.sum(v**2), np.array([0.5, 0.5]))
    assert found.utility == found.policy_utility == 1
