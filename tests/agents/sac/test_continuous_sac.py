"""Continuous SAC on probe environments with known values and best actions."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.agents.sac.learning import GAMMA, act, learn, learn_together
from tests.probes import Probe

WEIGHTS = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0]])
BEST = WEIGHTS @ [0.6, -0.2]  # of -w1 (a - 0.6)^2 - w2 (a + 0.2)^2


def values(learner, state, actions, preference=(0.5, 0.5)):
    """Return (N, R) of the first critic, of actions as the environment takes them."""
    number = len(actions)
    inputs = learner.networks.inputs(state.learning.obs_stats, jnp.zeros((number, 2)))
    recorded = jnp.asarray(actions, jnp.float32)[:, None] / 2  # of the box from -2 to 2
    preference = jnp.broadcast_to(jnp.array(preference), (number, 2))
    return np.asarray(learner._twin_values(state.params.critics, inputs, recorded, preference))[0, :, 0]


@pytest.fixture(scope="module")
def learnt():
    """Return a learner, and the state and metrics of a policy for each kind and temperature."""
    return learn_together([("steer", 1e-3), ("adrift", 1e-3), ("adrift", 0.5)], updates=300, relabel_preferences=True)


def test_the_best_action_of_every_preference(learnt):
    learner, (state, _) = learnt[0], learnt[1]["steer", 1e-3]
    found = [act(learner, state, weights)[0, 0] for weights in WEIGHTS]
    np.testing.assert_allclose(found, BEST, atol=0.1)  # an untrained policy has 0 for all


def test_values_of_actions(learnt):
    learner, (state, metrics) = learnt[0], learnt[1]["steer", 1e-3]
    at = np.array([-0.2, 0.2, 0.6])
    wanted = -((at[:, None] - np.array([0.6, -0.2])) ** 2)
    np.testing.assert_allclose(values(learner, state, at), wanted, atol=0.1)
    assert metrics["critic_loss"][5] > 0.1 > 0.01 > metrics["critic_loss"][-1]


@pytest.mark.slow
def test_without_its_preference_it_cannot():
    learner, state, _ = learn(Probe("steer"), updates=100, preference_input=False)
    first, last = (act(learner, state, weights)[0, 0] for weights in WEIGHTS[[0, -1]])
    assert first == last


def test_tchebycheff_prefers_the_middle():
    """The larger weighted distance is least at 0.2 for even weights, and at 0.4, where 0.9 d1² = 0.1 d2², for 0.9."""
    learner, state, _ = learn(Probe("steer"), scalarisation="tchebycheff")
    assert act(learner, state, (0.5, 0.5))[0, 0] == pytest.approx(0.2, abs=0.1)
    assert act(learner, state, (0.9, 0.1))[0, 0] == pytest.approx(0.4, abs=0.1)


def test_entropy_is_worth_its_temperature(learnt):
    """All actions are equal for ever: each next step adds temperature * log 2, of even chances from -1 to 1."""
    learner, (state, metrics) = learnt[0], learnt[1]["adrift", 0.5]
    entropy = metrics["entropy"][-50:].mean()
    assert entropy == pytest.approx(np.log(2), abs=0.05)
    bonus = GAMMA * 0.5 * np.log(2) / (1 - GAMMA)
    np.testing.assert_allclose(values(learner, state, [-1.0, 0.0, 1.0]), [[10 + bonus, 20 + bonus]] * 3, rtol=0.06)


def test_truncation_bootstraps(learnt):
    """Worth 1 / (1 - gamma) = 10 a unit, not the 4.1 of five steps."""
    learner, (state, _) = learnt[0], learnt[1]["adrift", 1e-3]
    taken = act(learner, state, (0.5, 0.5))[0]  # all are worth the same, and it tries few others
    np.testing.assert_allclose(values(learner, state, taken), [[10, 20]], rtol=0.05)


@pytest.mark.slow
def test_a_learnt_temperature_finds_its_entropy():
    """The target is the entropy of even chances in a tenth of the range."""
    settings = {"learn_temperature": True, "target_entropy": 0.1, "anneal": False}
    learner, found = learn_together([("steer", 1e-3), ("steer", 1.0)], updates=400, **settings)
    for state, metrics in found.values():
        assert metrics["entropy"][-50:].mean() == pytest.approx(np.log(0.2), abs=0.15)
        spread = act(learner, state, (0.5, 0.5), number=1000, greedy=False).std()
        assert spread == pytest.approx(0.4 / np.sqrt(2 * np.pi * np.e), rel=0.25)  # of a normal of that entropy


def test_actions_are_within_the_box(learnt):
    learner, (state, _) = learnt[0], learnt[1]["steer", 1e-3]
    sampled = act(learner, state, (0.5, 0.5), number=1000, greedy=False)
    assert sampled.shape == (1000, 1)
    assert np.abs(sampled).max() <= 2
    assert state.replay.rows.action.shape == (1024, 1)
    assert np.abs(state.replay.rows.action).max() <= 1  # as they are recorded
