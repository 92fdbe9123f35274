"""Aggregations of advantages, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.aggregation.advantages import advantage_mgda, pama, scale_to_unit, unanimous, weighted_sum

EVEN = jnp.array([0.5, 0.5])
ADVANTAGE = jnp.array([[2.0, 4.0], [-2.0, -6.0], [3.0, -1.0], [0.0, 5.0]])


def test_projections_of_zero():
    np.testing.assert_array_equal(pama(ADVANTAGE, EVEN), [1, 0, 0, 0])
    np.testing.assert_array_equal(unanimous(ADVANTAGE, EVEN), [1, -1, 0, 0])


def test_weights_scale_and_none_leaves_an_objective_out():
    np.testing.assert_allclose(unanimous(ADVANTAGE, jnp.array([0.9, 0.1])), [0.4, -0.6, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(unanimous(ADVANTAGE, jnp.array([1.0, 0.0])), ADVANTAGE[:, 0])


def test_advantage_mgda_by_hand():
    """Moments [[1, -1], [-1, 4]]: the minimum over the simplex is at (4 + 1) / (1 + 4 + 2) = 5/7."""
    advantage = jnp.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, 2.0]])[:, None]
    moments = np.einsum("tbi,tbj->ij", advantage, advantage) / 4
    np.testing.assert_allclose(moments, [[1, -1], [-1, 4]])
    found = advantage_mgda(advantage, jnp.ones((4, 1)))
    np.testing.assert_allclose(found, [5 / 7, 2 / 7], atol=1e-5)
    lost = jnp.concatenate([advantage, jnp.full((1, 1, 2), 100.0)])
    weight = jnp.array([1.0, 1, 1, 1, 0])[:, None]
    np.testing.assert_allclose(advantage_mgda(lost, weight), found, atol=1e-5)


def test_scale_is_the_root_mean_square_of_counted_values():
    scaled = scale_to_unit(jnp.array([3.0, 4.0, 100.0]), jnp.array([1.0, 1.0, 0.0]))
    assert np.sqrt(np.mean(np.asarray(scaled[:2]) ** 2)) == pytest.approx(1)
    np.testing.assert_array_equal(scale_to_unit(jnp.zeros(2), jnp.ones(2)), [0, 0])


def test_a_weighted_sum_is_standardised_where_objectives_agree_and_small_where_they_cancel_out():
    rng = np.random.default_rng(0)
    one, weight = jnp.asarray(rng.normal(3, 2, (5, 4)), jnp.float32), jnp.ones((5, 4)).at[0].set(0)
    agree = weighted_sum(jnp.stack([one, 10 * one], axis=-1), jnp.array([0.3, 0.7]), weight)
    assert np.mean(agree[1:]) == pytest.approx(0, abs=1e-5)
    assert np.std(agree[1:]) == pytest.approx(1, rel=1e-5)
    for opposed in (jnp.stack([one, -one], axis=-1), jnp.ones((5, 4, 2))):
        np.testing.assert_allclose(weighted_sum(opposed, jnp.array([0.5, 0.5]), weight), 0, atol=1e-6)
