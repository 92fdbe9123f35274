"""The losses of soft actor-critic against numbers computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.sac import losses
from morl.agents.sac.action_space import PolicyActions
from morl.ops import scalarisation

ENTROPY = 0.5623351  # of probabilities 1/4 and 3/4, in nats
PROBABILITY = jnp.array([[0.25, 0.75]])
DISCRETE = PolicyActions(None, PROBABILITY, jnp.log(PROBABILITY), jnp.array([0.2079442]))
SAMPLE = PolicyActions(jnp.array([[0.1]]), jnp.ones((1, 1)), jnp.array([[-2.0]]), jnp.array([0.5]))
ONE = jnp.ones(1)


def test_the_soft_value_adds_the_entropy_once_to_each_objective():
    values = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    found = losses.soft_value(DISCRETE, values, jnp.float32(0.5))  # 2.5 and 3.5, and half of the entropy
    np.testing.assert_allclose(found, [[2.7811676, 3.7811676]], rtol=1e-6)
    weighted = (found @ jnp.array([0.3, 0.7]))[0]
    np.testing.assert_allclose(weighted, 0.3 * 2.5 + 0.7 * 3.5 + 0.5 * ENTROPY, rtol=1e-6)


def test_the_soft_value_of_a_sample():
    found = losses.soft_value(SAMPLE, jnp.array([[[1.0, 2.0]]]), jnp.float32(0.25))
    np.testing.assert_allclose(found, [[1.5, 2.5]])  # its log density is -2


def test_the_target_bootstraps_unless_the_episode_terminated():
    reward = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    next_value = jnp.array([[2.0, 3.0], [jnp.nan, jnp.nan]])
    found = losses.critic_target(reward, jnp.array([0.9, 0.81]), jnp.array([False, True]), next_value)
    np.testing.assert_allclose(found, [[2.8, 2.7], [1.0, 0.0]], rtol=1e-6)


def test_the_critic_loss_is_summed_over_twins_and_objectives():
    values = jnp.array([[[1.0, 2.0], [5.0, 5.0]], [[2.0, 0.0], [3.0, 3.0]]])
    target = jnp.array([[1.0, 1.0], [4.0, 4.0]])
    assert float(losses.critic_loss(values, target, jnp.array([1.0, 1.0]))) == 0.5 * (3 + 4) / 2
    assert float(losses.critic_loss(values, target, jnp.array([1.0, 0.0]))) == 0.5 * 3
    slope = jax.grad(losses.critic_loss)(values, target, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(slope, [[[0, 1], [0, 0]], [[1, -1], [0, 0]]])


def test_the_lesser_twin_keeps_its_whole_vector():
    """The twins are worth 3 and 4 for even weights; a minimum per objective would be (1, 4)."""
    values = jnp.array([[[[1.0, 5.0]]], [[[4.0, 4.0]]]])

    def least(*weights):
        scalarise = lambda x: scalarisation.linear(x, jnp.array([[weights]]))  # noqa: E731
        return losses.least_by_worth(values, scalarise).tolist()

    assert least(0.5, 0.5) == [[[1.0, 5.0]]]
    assert least(0.1, 0.9) == [[[4.0, 4.0]]]


def test_the_actor_loss():
    worth = jnp.array([[1.0, 2.0]])
    found = losses.actor_loss(DISCRETE, worth, jnp.float32(0.5), ONE)
    np.testing.assert_allclose(found, -0.5 * ENTROPY - 1.75, rtol=1e-6)
    np.testing.assert_allclose(losses.actor_loss(SAMPLE, jnp.array([[3.0]]), jnp.float32(0.5), ONE), -1.0 - 3.0)
    assert float(losses.actor_loss(DISCRETE, worth, jnp.float32(0.5), jnp.zeros(1))) == 0.0


def test_the_actor_loss_is_least_where_probabilities_are_those_of_a_softmax():
    """The optimum is softmax(worth / temperature): there the gradient for the logits is 0."""

    def loss(logits):
        policy = PolicyActions(None, jax.nn.softmax(logits), jax.nn.log_softmax(logits), ONE)
        return losses.actor_loss(policy, jnp.array([[1.0, 2.0]]), jnp.float32(0.5), ONE)

    np.testing.assert_allclose(jax.grad(loss)(jnp.array([[2.0, 4.0]])), 0.0, atol=1e-6)
    slope = jax.grad(loss)(jnp.array([[0.0, 0.0]]))  # at equal probabilities it is -(w_k - mean w) / 2
    np.testing.assert_allclose(slope, [[0.25, -0.25]], rtol=1e-5)


def test_the_temperature_loss():
    """The entropy is above its target, by 0.3543909, so the temperature has to fall; the policy gets no gradient."""
    found, slope = jax.value_and_grad(losses.temperature_loss)(jnp.log(0.5), DISCRETE, ONE)
    np.testing.assert_allclose(found, -0.6931472 * 0.3543909, rtol=1e-5)
    np.testing.assert_allclose(slope, 0.3543909, rtol=1e-5)
    for leaf in jax.tree.leaves(jax.grad(losses.temperature_loss, argnums=1)(jnp.log(0.5), DISCRETE, ONE)):
        assert not np.asarray(leaf).any()
    _, slope = jax.value_and_grad(losses.temperature_loss)(jnp.log(0.5), SAMPLE, ONE)
    assert float(slope) == 1.5  # the sample's entropy 2 less the target 0.5


def test_the_lesser_value_in_each_objective():
    values = jnp.array([[[[1.0, 5.0]]], [[[4.0, 4.0]]]])
    assert losses.least_each(values).tolist() == [[[1.0, 4.0]]]


def test_importance_weighs_the_critic_loss_only():
    """Half the weight, half the loss, of the same number of transitions."""
    values = jnp.array([[[1.0, 2.0], [5.0, 5.0]], [[2.0, 0.0], [3.0, 3.0]]])
    target = jnp.array([[1.0, 1.0], [4.0, 4.0]])
    found = losses.critic_loss(values, target, jnp.array([1.0, 1.0]), jnp.array([0.5, 1.0]))
    assert float(found) == 0.5 * (0.5 * 3 + 4) / 2
    found = losses.critic_loss(values, target, jnp.array([1.0, 0.0]), jnp.array([0.5, 1.0]))
    assert float(found) == 0.5 * 0.5 * 3


def test_the_error_in_what_a_transition_is_worth():
    """Errors (1, -2) and (3, 2) of the twins are worth 0.25 - 1.5 and 0.75 + 1.5."""
    values, target = jnp.array([[[2.0, 0.0]], [[4.0, 4.0]]]), jnp.array([[1.0, 2.0]])
    found = losses.scalar_error(values, target, jnp.array([[0.25, 0.75]]))
    np.testing.assert_allclose(found, [(1.25 + 2.25) / 2])
