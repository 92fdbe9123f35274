"""Equations of GPI-LS by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.gpi_ls import losses
from morl.agents.sac.losses import critic_target


def test_weights_of_a_preference_in_other_units():
    units = jnp.array([10.0, 0.1])
    np.testing.assert_allclose(
        losses.weights_of(jnp.array([0.01, 0.99]), units), [0.1 / 0.199, 0.099 / 0.199], rtol=1e-5
    )
    np.testing.assert_allclose(losses.weights_of(jnp.array([[0.0, 1.0], [1.0, 0.0]]), units), [[0, 1], [1, 0]])


def test_the_lesser_critic_is_chosen_by_its_worth_for_each_action():
    values = jnp.array([[[[1.0, 5.0], [0.0, 0.0]]], [[[4.0, 1.0], [1.0, -3.0]]]])
    found = losses.least_by_worth(values, jnp.array([[[0.9, 0.1]]]))  # worth 1.4, 0 and 3.7, 0.6
    np.testing.assert_array_equal(found, [[[1, 5], [0, 0]]])
    found = losses.least_by_worth(values, jnp.array([[[0.0, 1.0]]]))  # worth 5, 0 and 1, -3
    np.testing.assert_array_equal(found, [[[4, 1], [1, -3]]])
    np.testing.assert_array_equal(losses.least_by_worth(values[:1], jnp.array([[[0.0, 1.0]]])), values[0])


def test_the_best_action_over_all_policies():
    """Policy 0 thinks of action 0 as worth 3, policy 1 of action 2 as worth 4."""
    values = jnp.array([[[[3.0, 0], [1, 0], [0, 0]], [[2, 0], [0, 0], [4, 9]]]])
    scalar = jnp.array([[1.0, 0.0]])
    assert losses.gpi_action(values, scalar, None).tolist() == [2]
    assert losses.gpi_action(values, scalar, jnp.array([[1, 1, 0]])).tolist() == [0]
    assert losses.gpi_action(values[:, :1], scalar, None).tolist() == [0]


def test_the_policy_of_the_largest_worth():
    values = jnp.array([[[1.0, 2.0], [2.0, 0.0], [0.0, 2.5]]])
    np.testing.assert_array_equal(losses.gpi_policy(values, jnp.array([[1.0, 0.0]])), [[0, 1, 0]])
    np.testing.assert_array_equal(losses.gpi_policy(values, jnp.array([[0.5, 0.5]])), [[1, 0, 0]])


def test_nothing_follows_a_true_end():
    reward, following = jnp.array([[1.0, 2.0]] * 2), jnp.array([[10.0, 20.0]] * 2)
    target = critic_target(reward, jnp.array([0.5, 0.5]), jnp.array([False, True]), following)
    np.testing.assert_allclose(target, [[6, 12], [1, 2]])


@pytest.mark.parametrize(("delta", "loss"), [(None, (0.5 + 4.5) / 1), (1.0, 0.5 + 2.5)])
def test_the_loss_of_the_critics(delta, loss):
    error = jnp.array([[[1.0, -3.0], [100.0, 100.0]]])
    assert float(losses.critic_loss(error, jnp.array([1.0, 0.0]), delta)) == pytest.approx(loss)


def test_priorities_are_of_the_error_that_matters():
    error = jnp.array([[[1.0, -1.0], [4.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]])
    scalar = jnp.full((3, 2), 0.5)
    found = losses.priority(error, scalar, 0.01, 0.5)  # |w·δ|: the larger of 0 and 0.5; 2; nothing
    np.testing.assert_allclose(found, [0.5**0.5, 2**0.5, 0.1], rtol=1e-6)
