"""MO-REINFORCE: its gradient by hand, and a policy that learns what is best for a preference."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.baselines.mo_reinforce import MOReinforce, MOReinforceConfig
from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.envs.constructive.hypergrid import HyperGrid
from morl.errors import UserError

GRID = HyperGrid(side=8)
KEY = jax.random.key(0)


@cache
def learnt():
    agent = MOReinforce(MOReinforceConfig(batch=64, hidden=(32, 32)), GRID, 250)
    state, metrics = agent.run(agent.init(KEY), jax.random.key(1), 250)
    return agent, state, metrics


@pytest.mark.parametrize(("preference", "least"), [((1.0, 0.0), 0.93), ((0.0, 1.0), 0.93), ((0.5, 0.5), 0.86)])
def test_learns_what_is_best_for_a_preference(preference, least):
    """The best there is: 0.996, 0.979 and 0.907; the mean of a uniform policy is at most 0.6."""
    agent, state, _ = learnt()
    weights = jnp.tile(jnp.array(preference), (128, 1))
    for which, low, high in ((state, least, 1.0), (agent.init(KEY), 0.0, 0.7)):
        reward = (agent.sample(which, weights, KEY).end.values @ jnp.array(preference)).mean()
        assert low < float(reward) < high


def test_learns_to_be_sure():
    _, _, metrics = learnt()
    assert float(metrics["entropy"][0]) == pytest.approx(np.log(3), abs=0.02)
    assert float(metrics["entropy"][-1]) < 0.6


def test_the_gradient_by_hand():
    """Compare the gradient of the output bias, one-hot less π for each step, for two preferences with two samples."""
    agent = MOReinforce(MOReinforceConfig(batch=4, samples=2, hidden=(8,), entropy=0.0), GRID, 1)
    policy = agent.init(KEY).policy
    preference = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.3, 0.7], [0.3, 0.7]])
    batch = agent.sample(agent.init(KEY), preference, KEY)
    reward = jnp.array([1.0, 0.0, 0.25, 0.75])
    gradient, metrics = jax.jit(jax.grad(agent.loss, has_aux=True))(policy, batch, preference, reward)
    advantage = np.array([0.5, -0.5, -0.25, 0.25]) / np.std([1.0, 0.0, 0.25, 0.75])
    output = jax.jit(agent.sampler._network.outputs)(policy, batch, preference)
    mask = GRID.action_mask(batch.obs)
    chosen = jax.nn.one_hot(batch.action, 3) - jax.nn.softmax(jnp.where(mask > 0, output, -jnp.inf))
    by_hand = -np.einsum("b,bta,bt->a", advantage, chosen, batch.valid) / 4
    np.testing.assert_allclose(gradient.layers[-1].bias, by_hand, atol=1e-5)
    sure = jax.nn.log_softmax(jnp.where(mask > 0, output, -1e9))
    by_hand = (-(jnp.exp(sure) * sure).sum(axis=-1) * batch.valid).sum() / batch.valid.sum()
    assert float(metrics["entropy"]) == pytest.approx(float(by_hand), abs=1e-5)


def test_a_run_in_parts():
    agent = MOReinforce(MOReinforceConfig(batch=8, samples=4, hidden=(8,)), GRID, 4)
    start = agent.init(KEY)
    whole, _ = agent.run(start, KEY, 4)
    half, _ = agent.run(start, KEY, 2)
    both, _ = agent.run(half, KEY, 2)
    jax.tree.map(np.testing.assert_array_equal, whole, both)
    assert int(whole.updates) == 4


def test_settings_are_checked():
    with pytest.raises(UserError, match="samples must divide batch = 128, not 3"):
        MOReinforceConfig(samples=3)
    with pytest.raises(UserError, match="unknown network 'lstm'"):
        MOReinforceConfig(network="lstm")
    with pytest.raises(UserError, match="entropy must be at least 0"):
        MOReinforceConfig(entropy=-1.0)
    with pytest.raises(UserError, match="deep-sea-treasure-v0"):
        MOReinforce(MOReinforceConfig(), DeepSeaTreasure(), 1)
