"""Distributions of actions in the environment's numbers: sums and integrals are 1, frequencies are as they say."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from morl.agents.sac.action_space import SquashedGaussian
from morl.analysis.offline.behaviour import Behaviour
from morl.analysis.offline.policies import Normals, _discrete, _integers, action_model
from morl.errors import UserError
from morl.ops.actions import integers_of, reals_of

BOX = spaces.Box(np.array([-2.0], np.float32), np.array([4.0], np.float32))
KEY = jax.random.key(0)


def f32(x):
    return jnp.asarray(x, jnp.float32)


def by_number(params, obs, preference):
    """Logits (B, 1, 3) that are the parameters."""
    return jnp.broadcast_to(params[None, None], (len(obs), 1, len(params)))


def test_clipped_normals_are_scipys():
    """The environment's number is 1 + 3 u with u normal, clipped at -2 and 4."""
    model, number = Normals(None, reals_of(BOX)), stats.norm(1 + 3 * 0.3, 3 * 0.8)
    described = f32([[0.3]] * 4), f32([[np.log(0.8)]] * 4)
    got = model.log_prob(described, f32([[-2.0], [0.0], [3.5], [4.0]]))
    np.testing.assert_allclose(
        got, [number.logcdf(-2), number.logpdf(0), number.logpdf(3.5), number.logsf(4)], rtol=1e-4
    )
    drawn = np.asarray(model.sample((jnp.full((20_000, 1), 0.3), jnp.full((20_000, 1), np.log(0.8), jnp.float32)), KEY))
    np.testing.assert_allclose([(drawn <= -2).mean(), (drawn >= 4).mean()], [number.cdf(-2), number.sf(4)], atol=0.01)
    assert drawn[(drawn > -2) & (drawn < 4)].mean() == pytest.approx(
        number.expect(lambda x: x, lb=-2, ub=4, conditional=True), abs=0.05
    )


def test_squashed_normals_are_those_of_the_actor():
    box = reals_of(spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([4.0, 0.5], np.float32)))
    family, model = SquashedGaussian(box), Normals(None, box, squashed=True)
    output = jax.random.normal(KEY, (50, 4), dtype=jnp.float32)
    action, log_prob = family.sample_with_log_prob(output, jax.random.key(1))
    mean, raw = jnp.split(output, 2, axis=-1)
    described = mean, jnp.log(jax.nn.softplus(raw) + 1e-3)
    np.testing.assert_allclose(model.log_prob(described, family.to_env(action)), log_prob, rtol=2e-3, atol=2e-3)
    edge = model.log_prob((f32([[12.0, 0.0]]), f32([[0.0, 0.0]])), f32([[4.0, 0.25]]))
    assert float(edge[0]) == pytest.approx(stats.norm.logpdf(0) - np.log(0.25), abs=1e-3)  # the first is at its bound


def test_uniform_numbers_have_their_density_and_no_weight_at_bounds():
    model = Normals(None, reals_of(BOX))
    uniform = model.uniform(f32([[0.0]] * 3))
    np.testing.assert_allclose(model.log_prob(uniform, f32([[0.0], [3.0], [4.0]])), [-np.log(6), -np.log(6), -np.inf])
    drawn = np.asarray(model.sample(model.uniform(jnp.zeros((5000, 1), jnp.float32)), KEY))
    assert (drawn.min(), drawn.max()) == pytest.approx((-2, 4), abs=0.01)
    assert drawn.mean() == pytest.approx(1, abs=0.1)


def test_choices_count_from_their_start_and_heed_masks():
    mask = lambda obs: jnp.broadcast_to(jnp.asarray([1, 0, 1], jnp.int8), (len(obs), 3))  # noqa: E731
    model = _discrete(by_number, spaces.Discrete(3, start=5), mask)
    obs = jnp.zeros((3, 1), jnp.float32)
    got = jnp.exp(model.log_prob(model.uniform(obs), jnp.asarray([5, 6, 7], jnp.int32)))
    np.testing.assert_allclose(got, [0.5, 0, 0.5], atol=1e-6)
    assert set(np.asarray(model.sample(model.uniform(jnp.zeros((100, 1), jnp.float32)), KEY)).tolist()) == {5, 7}


def test_choices_of_several_parts_are_independent():
    space = spaces.MultiDiscrete([2, 3])
    logits = np.log([[[0.25, 0.75, 1e-30], [0.2, 0.3, 0.5]]] * 2)
    model = _integers(None, integers_of(space))
    got = jnp.exp(model.log_prob(f32(logits), jnp.asarray([[1, 2], [0, 0]], jnp.int32)))
    np.testing.assert_allclose(got, [0.75 * 0.5, 0.25 * 0.2], rtol=1e-5)
    features = model.expected_features(f32(logits), KEY)[0]
    np.testing.assert_allclose(features, [0.25, 0.75, 0, 0.2, 0.3, 0.5], atol=1e-6)
    uniform = jnp.exp(model.log_prob(model.uniform(jnp.zeros((2, 1), jnp.float32)), jnp.asarray([[1, 2], [0, 0]])))
    np.testing.assert_allclose(uniform, [1 / 6, 1 / 6], rtol=1e-5)


def test_a_mixture_has_the_probability_of_the_episode():
    """Over an episode the product is the mean of the policies' own products, and frequencies are as it says."""
    model = _discrete(by_number, spaces.Discrete(3), None)
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    params, preferences = f32(np.log(chances)), jnp.ones((2, 1), jnp.float32)
    behaviour, number = Behaviour(model, epsilon=0.3), 20_000
    acting = behaviour.start(2, number, KEY)
    obs, total, path = jnp.zeros((number, 1), jnp.float32), 0.0, []
    for t in range(2):
        acting, action, log_prob = behaviour.act(params, preferences, acting, obs, jax.random.key(t + 5))
        total, path = total + log_prob, [*path, np.asarray(action)]
    own = 0.7 * chances + 0.3 / 3
    exact = np.einsum("ka,kb->ab", own, own) / 2
    np.testing.assert_allclose(np.exp(total), exact[path[0], path[1]], rtol=1e-4)
    seen = np.zeros((3, 3))
    np.add.at(seen, tuple(path), 1 / number)
    np.testing.assert_allclose(seen, exact, atol=0.015)


def test_greedy_actions_are_certain():
    learner = SimpleNamespace(
        act=lambda params, obs, preference, key, greedy: jnp.argmax(obs, axis=-1), to_env=lambda action: action + 2
    )
    model = action_model(learner, spaces.Discrete(3, start=2), "greedy")
    described = model.describe(None, f32([[0, 1, 0], [0, 0, 1]]), None)
    np.testing.assert_array_equal(jnp.exp(model.log_prob(described, jnp.asarray([3, 2], jnp.int32))), [1, 0])
    with pytest.raises(UserError, match="greedy actions that are real numbers have no density"):
        action_model(learner, BOX, "greedy")
    with pytest.raises(UserError, match="probabilities of this agent's sampled actions are not known"):
        action_model(learner, spaces.Discrete(3), "sampled")
