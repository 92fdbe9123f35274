"""Scalarisations: numbers by hand, in NumPy and in JAX, and what each of them can reach."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morl.ops import scalarisation
from morl.ops.scalarisation import LOG_REWARDS, FocusRegion, linear, log_focus, tchebycheff, temper

VALUES, PREFERENCE = np.array([0.5, 0.2]), np.array([0.25, 0.75])


@pytest.mark.parametrize("xp", [np, jnp])
class TestOfValues:
    def test_linear_by_hand(self, xp):
        values = xp.asarray([[4.0, 2.0], [-1.0, 3.0]])
        np.testing.assert_array_equal(linear(values, xp.asarray([[0.25, 0.75]])), [2.5, 2.0])

    def test_tchebycheff_by_hand(self, xp):
        """Weighted distances to (5, 4): 0.25 * 1 and 0.75 * 2; 0.25 * 6 and 0.75 * 1."""
        values = xp.asarray([[4.0, 2.0], [-1.0, 3.0]])
        got = tchebycheff(values, xp.asarray([[0.25, 0.75]]), xp.asarray([[5.0, 4.0]]))
        np.testing.assert_array_equal(got, [-1.5, -1.5])

    def test_only_tchebycheff_reaches_a_concave_region(self, xp):
        """(0.4, 0.4) is not dominated by (1, 0) and (0, 1), and lies below the line between them."""
        front = xp.asarray([[1.0, 0.0], [0.4, 0.4], [0.0, 1.0]])
        weights = [xp.asarray([[w, 1 - w]]) for w in np.linspace(0.01, 0.99, 99)]
        assert {int(linear(front, w).argmax()) for w in weights} == {0, 2}
        assert {int(tchebycheff(front, w, xp.ones((1, 2))).argmax()) for w in weights} == {0, 1, 2}


class TestLogRewards:
    @pytest.mark.parametrize(
        ("name", "reward"),
        [("weighted_sum", 0.275), ("log_sum", 0.5**0.25 * 0.2**0.75), ("tchebycheff", 0.4)],
    )
    def test_by_hand(self, name, reward):
        log_reward = LOG_REWARDS[name]
        assert log_reward(VALUES, PREFERENCE, 1e-8) == pytest.approx(math.log(reward), rel=1e-9)
        found = jax.jit(log_reward)(jnp.array(VALUES), jnp.array(PREFERENCE), 1e-8)
        assert float(found) == pytest.approx(math.log(reward), rel=1e-5)

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2, max_size=5))
    def test_they_are_logarithms_of_the_plain_ones(self, pairs):
        values, weights = np.array(pairs).T
        weights = weights / weights.sum()
        total = scalarisation.log_weighted_sum(values, weights, 1e-8)
        assert total == pytest.approx(np.log(linear(values, weights)), abs=1e-9)
        distance = tchebycheff(values, weights, np.ones(len(values)))
        assert scalarisation.log_tchebycheff(values, weights, 1e-8) == pytest.approx(np.log(1 + distance), abs=1e-9)
        # the weighted arithmetic mean is at least the geometric one
        assert scalarisation.log_weighted_product(values, weights, 1e-8) <= total + 1e-9

    def test_a_corner_sees_one_objective(self):
        corner = np.array([0.0, 1.0])
        log_reward = LOG_REWARDS["weighted_sum"]
        assert log_reward(np.array([1.0, 1e-20]), corner, 1e-30) == pytest.approx(math.log(1e-20))
        found = log_reward(jnp.array([1.0, 0.0]), jnp.array(corner), 1e-30)
        assert float(found) == pytest.approx(math.log(1e-30), rel=1e-6)

    def test_a_region_of_focus(self):
        region = FocusRegion(cosine=0.8, edge=0.25)
        log_reward = partial(log_focus, direction=np.array([3.0, 4.0]), floor=1e-8, region=region)
        assert log_reward(np.array([0.3, 0.4])) == pytest.approx(math.log(0.7))  # the goal itself
        assert log_reward(np.array([0.0, 0.5])) == pytest.approx(math.log(0.5 * 0.25), rel=1e-6)  # cosine 0.8, the edge
        assert log_reward(np.array([0.5, 0.1])) == pytest.approx(math.log(1e-8))  # outside
        assert log_reward(np.array([0.0, 0.0])) == pytest.approx(math.log(1e-8))

    def test_the_least_tempered_reward(self):
        log_reward = np.log(np.array([1e-8, 0.5]))
        np.testing.assert_allclose(temper(log_reward, 96.0, -75.0), [-75.0, 96 * math.log(0.5)])
