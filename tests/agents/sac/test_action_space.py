"""Policies over action spaces, against numerical references."""

from math import erf, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.sac.action_space import MIN_STD, DiscreteActions, for_space
from morl.ops.masking import mask_logits


def bounded(low, high):
    return for_space(spaces.Box(np.asarray(low, np.float32), np.asarray(high, np.float32), dtype=np.float32))


BOX = bounded([-1.0], [3.0])
KEY = jax.random.key(0)
sampled = jax.jit(BOX.sample_with_log_prob)


def cumulative(x, mean, std, low, high):
    """Return the probability of an environment action below x, by the normal distribution of u, in float64."""
    u = np.arctanh((x - (low + high) / 2) / ((high - low) / 2))
    return np.array([0.5 * (1 + erf((value - mean) / (std * sqrt(2)))) for value in np.atleast_1d(u)])


def density(x, mean, std, low, high, step=1e-5):
    """Return the numerical derivative of :func:`cumulative`."""
    at = [cumulative(np.asarray(x, float) + d, mean, std, low, high) for d in (-step, step)]
    return (at[1] - at[0]) / (2 * step)


def std_of(raw):
    return np.log1p(np.exp(raw)) + MIN_STD


@pytest.mark.parametrize(("mean", "raw_std"), [(0.0, 0.0), (0.7, -1.0), (-0.5, 1.0)])
def test_the_log_probability_is_that_of_a_numerical_change_of_variables(mean, raw_std):
    output = jnp.broadcast_to(jnp.array([mean, raw_std], jnp.float32), (200, 2))
    action, log_prob = sampled(output, KEY)
    x = np.asarray(BOX.to_env(action), float)[:, 0]
    inside = (x > -0.99) & (x < 2.99)  # float32 has few digits of the distance to a bound
    assert inside.mean() > 0.7
    wanted = density(x[inside], mean, std_of(raw_std), -1.0, 3.0)
    np.testing.assert_allclose(np.exp(log_prob)[inside], wanted, rtol=2e-3)


def test_the_log_probabilities_of_several_numbers_add_up():
    both = bounded([-1.0, 0.0], [3.0, 0.5])
    output = jnp.broadcast_to(jnp.array([0.2, -0.3, -0.5, 0.1], jnp.float32), (50, 4))
    action, log_prob = jax.jit(both.sample_with_log_prob)(output, KEY)
    x = np.asarray(both.to_env(action), float)
    one = density(x[:, 0], 0.2, std_of(-0.5), -1.0, 3.0)
    two = density(x[:, 1], -0.3, std_of(0.1), 0.0, 0.5)
    near = np.abs(np.asarray(action)).max(axis=1) < 0.99
    np.testing.assert_allclose(np.asarray(log_prob)[near], np.log(one * two)[near], atol=5e-3)


def test_the_entropy_of_samples_is_that_of_an_integral():
    grid = np.linspace(-1, 3, 40_002)[1:-1]
    p = np.diff(cumulative(grid, 0.4, std_of(0.3), -1.0, 3.0)) / np.diff(grid)
    wanted = -np.sum(np.diff(grid) * p * np.log(p + 1e-300))
    output = jnp.broadcast_to(jnp.array([0.4, 0.3], jnp.float32), (100_000, 2))
    _, log_prob = sampled(output, KEY)
    assert float(-log_prob.mean()) == pytest.approx(wanted, abs=0.01)
    found = jax.jit(
        lambda: BOX.policy_actions(output, KEY, 0.3).entropy.mean()
    )()  # from -1 to 1: half of the range from -1 to 3
    assert float(found) == pytest.approx(wanted - np.log(2), abs=0.01)


def test_actions_stay_within_the_box_and_densities_finite():
    output = jnp.array([[30.0, 3.0], [-30.0, 3.0], [0.0, -40.0]], jnp.float32)

    def loss(output):
        action, log_prob = BOX.sample_with_log_prob(output, KEY)
        return jnp.sum(log_prob) + jnp.sum(action), (action, log_prob)

    gradient, (action, log_prob) = jax.jit(jax.grad(loss, has_aux=True))(output)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(gradient).all()
    narrow = bounded([-0.1], [0.3])
    for actions in (BOX, narrow):
        found = np.asarray(actions.to_env(action))
        assert (found >= np.float32(actions.box.low)).all()
        assert (found <= np.float32(actions.box.high)).all()


def test_the_mode_and_the_scale():
    output = jnp.array([[0.5, 2.0], [0.0, 1.0]], jnp.float32)
    np.testing.assert_allclose(BOX.mode(output)[:, 0], [np.tanh(0.5), 0.0], rtol=1e-6)
    np.testing.assert_allclose(BOX.to_env(jnp.array([[-1.0], [0.0], [1.0]]))[:, 0], [-1, 1, 3])


def test_samples_are_differentiated_through():
    """Check that for fixed noise d tanh(u) / d mean is the slope 1 - a²."""
    output = jnp.array([0.3, 0.0], jnp.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda x: BOX.sample(x, KEY)[0]))(output)
    np.testing.assert_allclose(slope[0], 1 - value**2, rtol=1e-5)


def test_target_entropies():
    box = bounded([-2.0, 0.0], [2.0, 1.0])
    found = jax.jit(lambda: box.policy_actions(jnp.zeros((3, 4)), KEY, 0.25).target_entropy)()
    np.testing.assert_allclose(found, [2 * np.log(0.5)] * 3, rtol=1e-6)  # half of a length of 2
    logits = mask_logits(jnp.array([[0.0, 5.0, 1.0], [0.0, 0.0, 0.0]]), jnp.array([[1, 0, 1], [1, 1, 1]]))
    found = DiscreteActions(3).policy_actions(logits, KEY, 0.5).target_entropy
    np.testing.assert_allclose(found, [0.5 * np.log(2), 0.5 * np.log(3)], rtol=1e-6)


def test_discrete_expectations_are_exact_and_leave_out_masked_actions():
    logits = mask_logits(jnp.log(jnp.array([[1.0, 7.0, 3.0]])), jnp.array([[1, 0, 1]]))
    policy = DiscreteActions(3).policy_actions(logits, KEY, 0.5)
    np.testing.assert_allclose(policy.probability, [[0.25, 0.0, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(policy.expectation(jnp.array([[2.0, 1e9, 4.0]])), [3.5], rtol=1e-6)
    np.testing.assert_allclose(policy.entropy, [0.5623351], rtol=1e-6)
    assert policy.action is None


def test_values_of_recorded_actions():
    values = jnp.arange(6.0).reshape(1, 3, 2)
    np.testing.assert_array_equal(DiscreteActions(3).value_of(values, jnp.array([2])), [[4, 5]])
    np.testing.assert_array_equal(BOX.value_of(values[:, :1], jnp.array([[0.3]])), [[0, 1]])


def test_for_space():
    assert for_space(spaces.Discrete(4, start=-1)) == DiscreteActions(4, -1)
    assert for_space(spaces.Box(-1, 3, (1,), np.float32)) == BOX


def test_combinations_of_parts_are_one_choice():
    space = spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[1, 0], [0, -1]])
    actions = for_space(space)
    assert (actions.num_actions, actions.recorded.shape) == (48, ())
    found = np.asarray(actions.to_env(jnp.arange(48)))
    assert len({row.tobytes() for row in found}) == 48
    assert all(space.contains(action) for action in found)
    np.testing.assert_array_equal(found[5], [[1, 0], [1, 0]])
    assert "48 combinations of 3 x 2 x 2 x 4 values" in actions.notes[0]
    assert for_space(spaces.Box(-1, 1, (2,), np.int8)).num_actions == 9
    assert "rounded" in for_space(spaces.Box(0, 99, (2,), np.int8)).notes[0]


def test_numbers_without_two_bounds_are_kept_near():
    space = spaces.Box(np.array([-np.inf, 3.0, -np.inf], np.float32), np.array([np.inf, np.inf, 5.0], np.float32))
    actions = for_space(space)
    np.testing.assert_allclose(actions.to_env(jnp.array([[-1.0] * 3, [1.0] * 3])), [[-1, 3, 3], [1, 5, 5]])
    assert len(actions.notes) == 3


def test_a_number_of_one_value_has_a_finite_density():
    actions = for_space(spaces.Box(np.array([2, 0], np.float32), np.array([2, 1], np.float32)))

    @jax.jit
    def drawn(output):
        policy = actions.policy_actions(output, KEY, 0.3)
        return policy.log_prob, actions.to_env(policy.action)

    log_prob, action = drawn(jnp.zeros((5, 4)))
    assert np.isfinite(log_prob).all()
    np.testing.assert_array_equal(action[:, 0], [2] * 5)
