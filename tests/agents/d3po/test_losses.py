"""The losses of D3PO against numbers computed by hand, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.d3po import losses
from morl.agents.ppo.losses import clipped_surrogate_loss
from morl.ops.distributions import Categorical, DiagonalNormal
from morl.ops.masking import standardise

RATIO = np.array([1.5, 0.5, 1.1, 9.0])
LOG_RATIO = jnp.log(jnp.asarray(RATIO, jnp.float32))
ADVANTAGE = jnp.array([[1.0, -1.0], [1.0, -1.0], [2.0, -3.0], [9.0, 9.0]])
PREFERENCE = jnp.array([[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
WEIGHT = jnp.array([1.0, 1.0, 1.0, 0.0])  # the last step was lost


def test_each_objective_is_clipped_before_it_is_weighed():
    """A ratio of 1.5 counts as 1.2 for a gain and in full for a loss, 0.5 in full for a gain and as 0.8 for a loss."""
    by_hand = np.mean([0.75 * 1.2 + 0.25 * -1.5, 0.5 * 0.5 + 0.5 * -0.8, 1.1 * -3.0])
    found = losses.late_weighted_surrogate_loss(LOG_RATIO, ADVANTAGE, PREFERENCE, WEIGHT, 0.2)
    np.testing.assert_allclose(found, -by_hand, rtol=1e-6)
    early = clipped_surrogate_loss(LOG_RATIO, jnp.sum(PREFERENCE * ADVANTAGE, axis=-1), WEIGHT, 0.2)
    assert found > early + 0.05  # clipping the weighted sum would let the objectives cancel first


def test_at_a_corner_it_is_the_loss_of_that_objective():
    corner = jnp.broadcast_to(jnp.array([0.0, 1.0]), PREFERENCE.shape)
    found = losses.late_weighted_surrogate_loss(LOG_RATIO, ADVANTAGE, corner, WEIGHT, 0.2)
    np.testing.assert_allclose(found, clipped_surrogate_loss(LOG_RATIO, ADVANTAGE[:, 1], WEIGHT, 0.2), rtol=1e-6)


def test_diversity_by_hand():
    """Distances ||w - w'||_1 are 0.5, 0 and 2; with α = 2 the divergences should be 1, 0 and 4."""
    other = jnp.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    divergence = jnp.array([1.0, 0.5, 1.0, 100.0])
    found = losses.diversity_loss(divergence, PREFERENCE, other, WEIGHT, 2.0)
    np.testing.assert_allclose(found, (0.0 + 0.25 + 9.0) / 3, rtol=1e-6)
    found = losses.diversity_loss(divergence, PREFERENCE, other, WEIGHT, 2.0, bound=True)
    np.testing.assert_allclose(found, 9.0 / 3, rtol=1e-6)  # the second differ by more than they need


def test_each_advantage_is_standardised_by_itself():
    rng = np.random.default_rng(0)
    advantage = jnp.asarray(rng.normal([5.0, -3.0], [100.0, 0.01], (8, 4, 2)), jnp.float32)
    weight = jnp.asarray(rng.random((8, 4)) < 0.8, jnp.float32)
    found = losses.standardise_each(advantage, weight)
    for i in range(2):
        np.testing.assert_array_equal(found[..., i], standardise(advantage[..., i], weight))
        kept = np.asarray(found[..., i])[np.asarray(weight) > 0]
        np.testing.assert_allclose([kept.mean(), kept.std()], [0, 1], atol=2e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e20])
def test_advantages_standardised_together_keep_their_proportions(unit):
    """(T, B) = (2, 1), w = (1/2, 1/2): centred (±3, ∓1), their weighted sum is ±1."""
    advantage = unit * jnp.array([[[7.0, 1.0]], [[1.0, 3.0]]])
    preference = jnp.full((2, 1, 2), 0.5)
    found = losses.standardise_together(advantage, preference, jnp.ones((2, 1)))
    np.testing.assert_allclose(found[:, 0], [[3.0, -1.0], [-3.0, 1.0]], rtol=2e-3)


def test_advantages_that_tell_nothing_are_zero():
    same = jnp.broadcast_to(jnp.array([0.3, 7.0]), (4, 2, 2))
    for found in (
        losses.standardise_each(same, jnp.ones((4, 2))),
        losses.standardise_together(same, jnp.full((4, 2, 2), 0.5), jnp.ones((4, 2))),
    ):
        np.testing.assert_array_equal(found, 0)


def slopes(function, x, step):
    """Return central differences of a function of a vector."""
    steps = step * np.eye(len(x), dtype=np.float32)
    return np.array([(function(x + d) - function(x - d)) / (2 * step) for d in steps])


def test_the_gradient_of_the_surrogate_is_that_of_finite_differences():
    def loss(log_ratio):
        return losses.late_weighted_surrogate_loss(log_ratio, ADVANTAGE, PREFERENCE, WEIGHT, 0.2)

    found = np.asarray(jax.grad(loss)(LOG_RATIO))
    np.testing.assert_allclose(found, slopes(loss, LOG_RATIO, 1e-2), atol=2e-3)
    # the gain of the first step is clipped, its loss is not; the second is the other way round; the last was lost
    np.testing.assert_allclose(found, -np.array([0.25 * -1.5, 0.5 * 0.5, -3.3, 0.0]) / 3, rtol=1e-5)


@pytest.mark.parametrize("family", ["discrete", "continuous"])
def test_the_gradient_of_diversity_is_that_of_finite_differences(family):
    if family == "discrete":
        actions, log_std = Categorical(3), jnp.zeros(())
    else:
        from gymnasium import spaces

        from morl.ops.actions import reals_of

        actions, log_std = DiagonalNormal(reals_of(spaces.Box(-1, 1, (3,), np.float32))), jnp.full(3, -0.5)
    elsewhere = jnp.array([[0.2, -0.4, 0.1]])
    w, other = jnp.array([[0.8, 0.2]]), jnp.array([[0.1, 0.9]])

    def loss(output):
        divergence = actions.divergence(output[None], log_std, elsewhere, log_std)
        return losses.diversity_loss(divergence, w, other, jnp.ones(1), 1.5)

    start = jnp.array([0.5, 0.3, -0.7])
    found = np.asarray(jax.grad(loss)(start))
    assert np.abs(found).max() > 0.1
    np.testing.assert_allclose(found, slopes(loss, start, 1e-2), rtol=2e-2, atol=2e-3)
    assert loss(start - 0.05 * found) < loss(start)
