"""Masked statistics against NumPy on the values of weight 1 alone, and masked logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.masking import mask_logits, masked_mean, masked_variance, standardise

X = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 100.0]], np.float32)
COUNTS = np.array([[1, 1, 1], [1, 1, 0]], bool)


@pytest.mark.parametrize("kind", [bool, np.float32])
def test_a_mean_by_hand(kind):
    assert float(masked_mean(X, COUNTS.astype(kind))) == 3.0
    np.testing.assert_array_equal(masked_mean(X, COUNTS.astype(kind), axis=0), [2, 3.5, 4])
    np.testing.assert_allclose(masked_mean(X, COUNTS.astype(kind), axis=1, keepdims=True), [[7 / 3], [4]], rtol=1e-6)


def test_a_variance_by_hand():
    """1, 2, 4, 3, 5 are 4, 1, 1, 0, 4 away from their mean, squared."""
    assert float(masked_variance(X, COUNTS)) == pytest.approx(2.0)
    np.testing.assert_allclose(masked_variance(X, COUNTS, axis=0), [1, 2.25, 0])


def test_one_weight_for_all_objectives():
    rng = np.random.default_rng(0)
    x, counts = rng.normal(3, 2, (20, 4, 3)), rng.random((20, 4)) < 0.7
    weight = jnp.asarray(counts, jnp.float32)[..., None]
    x32 = jnp.asarray(x, jnp.float32)
    np.testing.assert_allclose(masked_mean(x32, weight, (0, 1)), x[counts].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(masked_variance(x32, weight, (0, 1)), x[counts].var(axis=0), rtol=1e-5)


def test_where_nothing_counts():
    nothing = np.zeros_like(X)
    assert float(masked_mean(X, nothing)) == 0
    assert float(masked_variance(X, nothing)) == 0


def test_standardised_values_that_count_have_mean_0_and_deviation_1():
    got = np.asarray(standardise(X, COUNTS))[COUNTS]
    np.testing.assert_allclose(got, (X[COUNTS] - 3) / np.sqrt(2), rtol=1e-5)
    np.testing.assert_array_equal(standardise(jnp.ones((2, 3)), COUNTS), np.zeros((2, 3)))


@pytest.mark.parametrize("unit", [2.0**-100, 2.0**-30, 2.0**80])
def test_standardised_values_do_not_depend_on_the_unit(unit):
    x = np.random.default_rng(0).normal(2, 1, (50, 8)).astype(np.float32)
    weight = np.arange(50 * 8).reshape(50, 8) % 3 > 0
    np.testing.assert_allclose(standardise(x * np.float32(unit), weight), standardise(x, weight), rtol=2e-3)


@pytest.mark.parametrize("value", [0.1, 1e-9, 3e20, 0.0])
def test_values_that_are_all_equal_become_0_whatever_their_sum_is_rounded_to(value):
    x = jnp.full((500, 16), value, jnp.float32)
    np.testing.assert_array_equal(standardise(x, jnp.ones((500, 16))), np.zeros((500, 16)))


def test_forbidden_actions_have_no_probability_and_no_gradient():
    logits, mask = jnp.array([[3.0, -2.0, 1.0]]), jnp.array([[1.0, 0.0, 1.0]])
    probability = jax.nn.softmax(mask_logits(logits, mask))
    np.testing.assert_allclose(probability, [[np.e**2 / (1 + np.e**2), 0, 1 / (1 + np.e**2)]], rtol=1e-6)
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(mask_logits(logits, mask > 0), mask_logits(logits, mask))
    gradient = jax.grad(lambda x: jax.nn.log_softmax(mask_logits(x, mask))[0, 0])(logits)
    assert bool(jnp.isfinite(gradient).all())
    assert float(gradient[0, 1]) == 0
    assert mask_logits(logits, None) is logits
