"""Features and action distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from morl import distributions
from morl.spaces import encoder


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.Discrete(4, start=2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
    ],
)
def test_features_are_those_of_gymnasium(space):
    """``gymnasium.spaces.flatten`` is the reference; batches of any leading shape."""
    encode, size = encoder(space)
    space.seed(1)
    samples = [space.sample() for _ in range(6)]
    expected = np.stack([spaces.flatten(space, sample) for sample in samples])
    batch = jnp.asarray(np.stack(samples))
    np.testing.assert_allclose(encode(batch), expected)
    assert encode(batch.reshape(2, 3, *batch.shape[1:])).shape == (2, 3, size)
    assert encode(batch[0]).shape == (size,)


def test_normal_likelihood_and_entropy_against_scipy():
    family = distributions.for_space(spaces.Box(-2, 2, (2,), np.float32))
    mean, log_std, action = jnp.array([[0.3, -0.2]]), jnp.array([-0.5, 0.1]), jnp.array([[0.1, 0.4]])
    reference = stats.multivariate_normal([0.3, -0.2], np.diag(np.exp(2 * np.asarray(log_std))))
    np.testing.assert_allclose(family.log_prob(mean, log_std, action)[0], reference.logpdf([0.1, 0.4]), rtol=1e-5)
    np.testing.assert_allclose(family.entropy(mean, log_std)[0], reference.entropy(), rtol=1e-5)


def test_normal_actions_reach_the_environment_within_bounds():
    family = distributions.for_space(spaces.Box(np.array([-1, 0], np.float32), np.array([3, 10], np.float32)))
    np.testing.assert_allclose(family.to_env(jnp.array([[-1.0, 1.0], [0.0, -5.0]])), [[-1, 10], [1, 0]])


def test_categorical_samples_follow_the_logits():
    family = distributions.for_space(spaces.Discrete(3, start=5))
    probabilities = np.array([0.2, 0.5, 0.3])
    logits = jnp.broadcast_to(jnp.log(probabilities), (20_000, 3))
    actions = np.asarray(family.to_env(family.sample(logits, jnp.zeros(()), jax.random.key(0))))
    counts = np.bincount(actions - 5, minlength=3)
    assert stats.chisquare(counts, probabilities * len(actions)).pvalue > 0.001
    np.testing.assert_allclose(family.log_prob(logits, jnp.zeros(()), jnp.int32(1))[0], np.log(0.5), rtol=1e-5)
    np.testing.assert_allclose(family.entropy(logits, jnp.zeros(()))[0], stats.entropy(probabilities), rtol=1e-5)
