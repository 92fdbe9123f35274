"""Features and action distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from morl.networks.encoders import encoder
from morl.ops import distributions


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.Discrete(4, start=2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [0, -2]]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 3)),
    ],
)
def test_features_are_those_of_gymnasium(space):
    """``gymnasium.spaces.flatten`` is the reference; batches of any leading shape."""
    encode, size, _ = encoder(space)
    space.seed(1)
    samples = [space.sample() for _ in range(6)]
    expected = np.stack([spaces.flatten(space, sample) for sample in samples])
    batch = jnp.asarray(np.stack(samples))
    np.testing.assert_allclose(encode(batch), expected)
    assert encode(batch.reshape(2, 3, *batch.shape[1:])).shape == (2, 3, size)
    assert encode(batch[0]).shape == (size,)


def test_integers_of_a_grid_are_one_hot():
    encode, size, one_hot = encoder(spaces.Box(np.array([0, -1]), np.array([2, 1]), dtype=np.int32))
    assert (size, one_hot) == (6, True)
    np.testing.assert_array_equal(encode(jnp.array([[2, -1], [0, 1]])), [[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1]])
    _, size, one_hot = encoder(spaces.Box(0, 255, (4, 4, 3), np.uint8))
    assert (size, one_hot) == (48, False)
    _, size, one_hot = encoder(spaces.Box(0, 2**31 - 2, (2,), np.int32))  # too many values
    assert (size, one_hot) == (2, False)
    assert encoder(spaces.Discrete(3)).one_hot


SPACES = [spaces.Discrete(3), spaces.Box(-2, 2, (3,), np.float32), spaces.MultiDiscrete([3])]


@pytest.mark.parametrize("space", SPACES)
def test_divergence_is_the_mean_difference_of_likelihoods(space):
    family = distributions.for_space(space)
    output, other = jnp.array([[0.3, -0.2, 0.5]]), jnp.array([[-0.1, 0.4, 0.2]])
    scales = (jnp.zeros(()),) * 2 if not isinstance(space, spaces.Box) else (jnp.full(3, -0.5), jnp.full(3, 0.1))

    @jax.jit
    def differences(output):
        many = jnp.broadcast_to(output, (200_000, 3))
        action = family.sample(many, scales[0], jax.random.key(0))
        return family.log_prob(many, scales[0], action) - family.log_prob(other, scales[1], action)

    difference, divergence = np.asarray(differences(output)), jax.jit(family.divergence)
    got = divergence(output, scales[0], other, scales[1])
    np.testing.assert_allclose(got[0], difference.mean(), atol=4 * float(difference.std()) / 200_000**0.5)
    assert float(divergence(output, scales[0], output, scales[0])[0]) == pytest.approx(0, abs=1e-6)


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
    log_prob = family.log_prob(logits, jnp.zeros(()), jnp.ones(20_000, jnp.int32))
    np.testing.assert_allclose(log_prob[0], np.log(0.5), rtol=1e-5)
    np.testing.assert_allclose(family.entropy(logits, jnp.zeros(()))[0], stats.entropy(probabilities), rtol=1e-5)


PARTS = spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[1, 0], [0, -1]])


def test_parts_are_independent_choices():
    """Sums over all combinations of the parts are the reference."""
    family = distributions.for_space(PARTS)
    assert family.num_outputs == 4 * 4
    output, other = jax.random.normal(jax.random.key(1), (2, family.num_outputs))
    every = jnp.asarray(np.stack(np.meshgrid(*map(np.arange, (3, 2, 2, 4)), indexing="ij"), -1).reshape(-1, 4))
    none = jnp.zeros(())
    log_prob, log_other = (family.log_prob(jnp.tile(x, (len(every), 1)), none, every) for x in (output, other))
    p = np.exp(np.asarray(log_prob, float))
    log_prob, log_other = np.asarray(log_prob), np.asarray(log_other)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert float(family.entropy(output, none)) == pytest.approx(-float((p * log_prob).sum()), rel=1e-4)
    assert float(family.divergence(output, none, other, none)) == pytest.approx(
        float((p * (log_prob - log_other)).sum()), rel=1e-4
    )
    np.testing.assert_array_equal(family.mode(output, none), every[np.argmax(p)])
    drawn = family.sample(jnp.tile(output, (4000, 1)), none, jax.random.key(0))
    counts = np.bincount(np.ravel_multi_index(np.asarray(drawn).T, (3, 2, 2, 4)), minlength=len(every))
    assert stats.chisquare(counts, 4000 * p / p.sum()).pvalue > 0.001
    in_env = np.asarray(family.to_env(drawn))
    assert in_env.shape == (4000, 2, 2)
    assert all(PARTS.contains(action) for action in in_env[:50])
    np.testing.assert_array_equal(in_env[0], np.asarray(drawn[0]).reshape(2, 2) + PARTS.start)


def test_numbers_without_two_bounds_are_in_their_own_units():
    low, high = np.array([[-np.inf, 3.0], [-np.inf, -1.0]]), np.array([[np.inf, np.inf], [5.0, 1.0]])
    family = distributions.for_space(spaces.Box(low, high, dtype=np.float64))
    found = family.to_env(jnp.array([[0.0] * 4, [-2.5] * 4, [2.5] * 4]))
    np.testing.assert_allclose(found, [[[0, 4], [4, 0]], [[-2.5, 3], [1.5, -1]], [[2.5, 6.5], [5, 1]]])
    assert [note.split(":")[0] for note in family.notes[:2]] == [
        "1 of 4 numbers of an action have no bounds",
        "2 of 4 numbers of an action have one bound",
    ]
    assert distributions.for_space(spaces.Box(-1, 1, (2,))).notes == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_integers_of_a_wide_range_are_rounded(dtype):
    family = distributions.for_space(spaces.Box(0, 200, (3,), dtype))
    found = np.asarray(family.to_env(jnp.array([-3.0, 0.004, 1.0])))
    np.testing.assert_array_equal(found, [0, 100, 200])
    assert found.dtype == jax.dtypes.canonicalize_dtype(dtype)
    assert "rounded" in family.notes[0]


def test_bounds_that_float32_cannot_tell_apart_are_told():
    assert "fewer than 1000 numbers" in distributions.for_space(spaces.Box(1e6, 1e6 + 1, (1,), np.float64)).notes[0]


def test_integers_without_bounds_are_of_32_bits_in_jax():
    for dtype in (np.int32, np.int64):
        found = np.asarray(
            distributions.for_space(spaces.Box(-np.inf, np.inf, (2,), dtype)).to_env(jnp.array([-2.4, 1e20]))
        )
        assert found.dtype == np.int32
        assert found[0] == -2
        assert found[1] > 2**30
